//! Images of many layers: joined into one directory that shows what an overlay of them would show.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use podyard_image::Image;

use crate::support::*;

/// What is below, each with its kind, mode and content.
fn tree(root: &Path) -> Vec<String> {
    let mut lines: Vec<String> = files_below(root)
        .iter()
        .map(|path| {
            let path = Path::new(path);
            let status = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(root).unwrap().display();
            let mode = status.permissions().mode() & 0o7777;
            if status.is_dir() {
                format!("{name}/ {mode:o}")
            } else if status.is_symlink() {
                format!("{name} -> {}", fs::read_link(path).unwrap().display())
            } else {
                let content = fs::read_to_string(path).unwrap();
                format!("{name} {mode:o} {content}")
            }
        })
        .collect();
    lines.sort();
    lines
}

/// Layers that add to, replace and hide what is below them, among others that matter to nobody.
fn image() -> TestImage {
    let directory = |layer: Layer, path: &str, mode: u32| {
        layer.entry(tar::EntryType::Directory, path, "", mode, b"")
    };
    let lowest = Layer::new()
        .dir("a")
        .file("a/one", "1")
        .file("a/two", "2")
        .hard_link("a/same", "a/one")
        .symlink("link", "a/one")
        .file("replaced", "old")
        .dir("becomes-file")
        .file("becomes-file/x", "x")
        .file("becomes-directory", "f")
        .dir("opaque")
        .file("opaque/hidden", "h")
        .dir("gone")
        .file("gone/deep", "d")
        .file("comes-back", "before");
    let second = directory(Layer::new(), "a", 0o700)
        .file("a/.wh.two", "")
        .file("a/three", "3")
        .file("replaced", "new")
        .file("becomes-file", "now")
        .dir("becomes-directory")
        .file("becomes-directory/y", "y")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/shown", "s")
        .file(".wh.gone", "")
        .file(".wh.comes-back", "");
    let last = Layer::new()
        .file("comes-back", "after")
        .symlink("link", "a/three");
    (0..20)
        .map(|number| Layer::new().file(&format!("n/{number}"), format!("{number}")))
        .fold(
            TestImage::new().layer(lowest).layer(second),
            TestImage::layer,
        )
        .layer(last)
}

fn import(dir: &TempDir) -> Image {
    import_image(dir, &image()).unwrap()
}

#[test]
fn what_an_overlay_would_show() {
    let dir = TempDir::new();
    let image = import(&dir);
    let [joined] = &image.layers[..] else {
        panic!("{:?}", image.layers)
    };
    let mut expected: Vec<String> = (0..20).map(|n| format!("n/{n} 644 {n}")).collect();
    expected.extend(
        [
            "a/ 700",
            "a/one 644 1",
            "a/same 644 1",
            "a/three 644 3",
            "becomes-directory/ 755",
            "becomes-directory/y 644 y",
            "becomes-file 644 now",
            "comes-back 644 after",
            "link -> a/three",
            "n/ 755",
            "opaque/ 755",
            "opaque/shown 644 s",
            "replaced 644 new",
        ]
        .map(str::to_owned),
    );
    expected.sort();
    assert_eq!(tree(joined), expected);
    let inode = |name: &str| fs::metadata(joined.join(name)).unwrap().ino();
    assert_eq!(inode("a/one"), inode("a/same"), "one file still");
    let changed = fs::metadata(joined.join("a")).unwrap().mtime();
    assert_eq!(changed, 1_700_000_000, "as in the archive");
}

/// Names, kinds, modes, owners, sizes and times as `stat` tells them, and contents, of a directory or of an overlay of several.
fn listed(lowest_first: &[std::path::PathBuf]) -> String {
    const LIST: &str = r#"cd "$1" && find . | sort | while read -r f; do
        stat -c '%n %a %u %g %F %s %Y' "$f"; test ! -f "$f" || cat "$f"; done"#;
    let mount = r#"mount -t overlay overlay -o "lowerdir=$2" "$1""#;
    let place = TempDir::new();
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-ec"]);
    match lowest_first {
        [one] => command.args([LIST, "sh"]).arg(one),
        layers => {
            let topmost_first: Vec<_> = layers.iter().rev().map(|l| l.to_str().unwrap()).collect();
            let script = format!("{mount}\n{LIST}");
            command
                .arg(script)
                .arg("sh")
                .arg(place.path())
                .arg(topmost_first.join(":"))
        }
    };
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The kernel's own word on it, which only root can have.
#[test]
fn what_the_kernels_overlay_shows() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let dir = TempDir::new();
    let joined = import(&dir).layers;
    let shown = listed(&joined);
    fs::remove_dir_all(joined[0].parent().unwrap()).unwrap();
    let image = dir.store().lookup(&reference("test:1")).unwrap().unwrap();
    assert_eq!(image.layers.len(), 23);
    assert_eq!(shown, listed(&image.layers));
    assert!(shown.contains("./opaque/shown"), "{shown}");
}

/// The layers stay as they are, for images that have some of them.
#[test]
fn its_layers_are_others_layers() {
    let dir = TempDir::new();
    import(&dir);
    let mut few = image();
    few.layers.truncate(2);
    let few = import_bytes(&dir, &archive(&oci_layout(&[(&few, named("few:1"))]))).unwrap();
    let [lowest, second] = &few[0].layers[..] else {
        panic!("{few:?}")
    };
    assert_eq!(fs::read_to_string(lowest.join("a/two")).unwrap(), "2");
    assert_eq!(fs::read_to_string(lowest.join("gone/deep")).unwrap(), "d");
    assert_eq!(fs::read_to_string(second.join("replaced")).unwrap(), "new");
}

#[test]
fn it_goes_with_its_image() {
    let dir = TempDir::new();
    let store = dir.store();
    let image = import(&dir);
    assert_eq!(store.gc().unwrap().layers, 0);
    assert!(image.layers[0].exists());
    store.remove(&reference("test:1")).unwrap();
    let report = store.gc().unwrap();
    assert_eq!(report.layers, 23, "those of the image");
    assert_empty(&store);
}

/// An image that was there before layers were joined is mounted as it is, until it comes again.
#[test]
fn without_it_there_are_the_layers() {
    let dir = TempDir::new();
    let joined = import(&dir).layers.remove(0);
    fs::remove_dir_all(joined.parent().unwrap()).unwrap();
    let store = dir.store();
    let image = store.lookup(&reference("test:1")).unwrap().unwrap();
    assert_eq!(image.layers.len(), 23);
    assert!(image.layers.iter().all(|layer| layer.exists()));
    assert_eq!(import(&dir).layers, [joined]);
}
