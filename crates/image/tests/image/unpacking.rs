//! Layers: what becomes of every kind of entry, and of entries that want out.
//!
//! Most of this needs root, as unpacking with owners, whiteouts and trusted attributes does.

use std::error::Error;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use podyard_image::{ImportError, LayerError};
use tar::EntryType;

use crate::support::*;

/// The directory of an image's only layer.
fn unpack(dir: &TempDir, layer: Layer) -> PathBuf {
    import_layer(dir, layer)
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
        .layers
        .remove(0)
}

fn refused(layer: Layer) -> String {
    let dir = TempDir::new();
    let error = import_layer(&dir, layer).expect_err("has to be refused");
    assert!(matches!(&error, ImportError::Layer { .. }), "{error:?}");
    assert_empty(&dir.store());
    chain(&error)
}

fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn opaque(path: &Path) -> bool {
    let mut value = [0; 1];
    rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value) == Ok(1) && value == *b"y"
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|status| status.file_type().is_char_device() && status.rdev() == 0)
}

#[test]
fn every_kind_of_file_with_its_attributes() {
    let dir = TempDir::new();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o4755);
    header.set_uid(12);
    header.set_gid(34);
    header.set_mtime(1_234_567_890);
    header.set_size(3);
    let root = unpack(
        &dir,
        Layer::new()
            .entry(EntryType::Directory, "./", "", 0o751, b"")
            .entry(EntryType::Directory, "sticky/", "", 0o1777, b"")
            .raw(header, "sticky/setuid", "", b"abc")
            .hard_link("hard", "./sticky/setuid")
            .symlink("soft", "/nowhere/at/all")
            .hard_link("hard-to-soft", "soft")
            .entry(EntryType::Fifo, "fifo", "", 0o600, b"")
            .entry(EntryType::Continuous, "contiguous", "", 0o640, b"x")
            .file("empty", ""),
    );
    let status = |path: &str| fs::symlink_metadata(root.join(path)).unwrap();
    assert_eq!(status("").mode() & 0o7777, 0o751);
    assert_eq!(status("sticky").mode() & 0o7777, 0o1777);
    assert_eq!(
        status("sticky").mtime(),
        1_700_000_000,
        "not when its files were made"
    );
    let setuid = status("sticky/setuid");
    assert_eq!(
        (
            setuid.mode() & 0o7777,
            setuid.uid(),
            setuid.gid(),
            setuid.mtime()
        ),
        (0o4755, 12, 34, 1_234_567_890)
    );
    assert_eq!((setuid.nlink(), setuid.ino()), (2, status("hard").ino()));
    assert_eq!(fs::read(root.join("hard")).unwrap(), b"abc");
    assert_eq!(
        fs::read_link(root.join("soft")).unwrap(),
        Path::new("/nowhere/at/all")
    );
    assert_eq!(status("hard-to-soft").ino(), status("soft").ino());
    assert_eq!(status("soft").mtime(), 1_700_000_000);
    assert!(status("fifo").file_type().is_fifo());
    assert_eq!(fs::read(root.join("contiguous")).unwrap(), b"x");
    assert_eq!(status("empty").len(), 0);
}

#[test]
fn parents_that_are_not_listed() {
    let dir = TempDir::new();
    let root = unpack(
        &dir,
        Layer::new()
            .file("a/b/c", "1")
            .dir("x/y/z")
            .file("/abs/./d//e", "2")
            .file("a/../f", "3"),
    );
    assert_eq!(fs::read(root.join("a/b/c")).unwrap(), b"1");
    assert_eq!(
        fs::metadata(root.join("a/b")).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    assert!(root.join("x/y/z").is_dir());
    assert_eq!(fs::read(root.join("abs/d/e")).unwrap(), b"2");
    assert_eq!(fs::read(root.join("f")).unwrap(), b"3");
}

/// Goal: names beyond the old header's 100 bytes, by GNU and by pax, up to the limits.
#[test]
fn long_names() {
    let dir = TempDir::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(255));
    let deep = "0123456789/".repeat(300);
    let target = "t/".repeat(1000);
    let root = unpack(
        &dir,
        Layer::new()
            .file(&long, "gnu")
            .pax(&[("path", format!("{deep}pax").as_bytes())])
            .file("short", "pax")
            .symlink("gnu-link", &target)
            .pax(&[("linkpath", target.as_bytes()), ("mtime", b"-1.5")])
            .symlink("pax-link", "short"),
    );
    assert_eq!(fs::read(root.join(&long)).unwrap(), b"gnu");
    assert_eq!(fs::read(root.join(deep).join("pax")).unwrap(), b"pax");
    for link in ["gnu-link", "pax-link"] {
        assert_eq!(fs::read_link(root.join(link)).unwrap(), Path::new(&target));
    }
    let status = fs::symlink_metadata(root.join("pax-link")).unwrap();
    assert_eq!((status.mtime(), status.mtime_nsec()), (-2, 500_000_000));
    for too_long in ["n".repeat(256), "n/".repeat(2500)] {
        let text = refused(Layer::new().file(&too_long, ""));
        assert!(text.contains("too long"), "{text}");
    }
}

#[test]
fn extended_attributes() {
    let dir = TempDir::new();
    // CAP_NET_BIND_SERVICE, as setcap writes it.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let root = unpack(
        &dir,
        Layer::new()
            .pax(&[
                ("SCHILY.xattr.security.capability", &capability),
                ("SCHILY.xattr.user.note", b"kept"),
                ("SCHILY.xattr.trusted.overlay.redirect", b"/etc/shadow"),
                ("SCHILY.xattr.trusted.overlay.metacopy", b""),
                ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ("SCHILY.xattr.security.selinux", b"label"),
            ])
            .file("program", "x"),
    );
    let mut names = vec![0; 1000];
    let length = rustix::fs::llistxattr(root.join("program"), &mut names).unwrap();
    let mut names: Vec<&[u8]> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [&b"security.capability"[..], b"user.note"],
        "and nothing that overlayfs would follow"
    );
    let mut value = [0; 20];
    rustix::fs::lgetxattr(root.join("program"), "security.capability", &mut value).unwrap();
    assert_eq!(
        value, capability,
        "a change of owner afterwards would have cleared it"
    );
}

/// Goal: whiteouts become what overlayfs reads, in whichever order the archive has them.
#[test]
fn whiteouts() {
    let dir = TempDir::new();
    let root = unpack(
        &dir,
        Layer::new()
            .file("a/.wh.gone", "")
            .file(".wh.also-gone", "")
            .file("opaque/.wh..wh..opq", "")
            .file("opaque/new", "1")
            // A directory that replaces one of a lower layer, in both orders.
            .file(".wh.first", "")
            .dir("first")
            .dir("second")
            .file(".wh.second", "")
            // A file of this layer hides the lower one anyway.
            .file(".wh.file-first", "")
            .file("file-first", "2")
            .file("file-second", "3")
            .file(".wh.file-second", "")
            .file(".wh.gone-twice", "")
            .file(".wh.gone-twice", "")
            .file(".wh..wh.plnk/1.2", "")
            .file(".wh..wh.aufs", ""),
    );
    for path in ["a/gone", "also-gone", "gone-twice"] {
        assert!(is_whiteout(&root.join(path)), "{path}");
    }
    for path in ["opaque", "first", "second"] {
        assert!(
            root.join(path).is_dir() && opaque(&root.join(path)),
            "{path}"
        );
    }
    assert!(!opaque(&root.join("a")));
    assert_eq!(fs::read(root.join("opaque/new")).unwrap(), b"1");
    assert_eq!(fs::read(root.join("file-first")).unwrap(), b"2");
    assert_eq!(fs::read(root.join("file-second")).unwrap(), b"3");
    let names: Vec<String> = files_below(&root)
        .into_iter()
        .filter(|name| name.contains(".wh."))
        .collect();
    assert!(names.is_empty(), "{names:?}");
    for bad in [".wh.", ".wh..", ".wh...", "a/.wh..."] {
        let text = refused(Layer::new().file(bad, ""));
        assert!(text.contains("not a name"), "{text}");
    }
}

/// Goal: an opaque root hides all lower layers, which overlayfs would not do by itself.
#[test]
fn an_opaque_root() {
    let dir = TempDir::new();
    let image = TestImage::new()
        .layer(Layer::new().file("lower", "1"))
        .layer(Layer::new().file(".wh..wh..opq", "").file("upper", "2"))
        .layer(Layer::new().file("top", "3"));
    let layers = import_image(&dir, &image).unwrap().layers;
    assert_eq!(layers.len(), 2);
    assert!(layers[0].join("upper").exists() && layers[1].join("top").exists());
}

#[test]
fn the_last_of_duplicate_entries_counts() {
    let dir = TempDir::new();
    let root = unpack(
        &dir,
        Layer::new()
            .file("file", "old")
            .hard_link("link", "file")
            .file("file", "new")
            .file("becomes-dir", "")
            .dir("becomes-dir")
            .file("becomes-dir/inside", "1")
            .dir("becomes-file")
            .file("becomes-file/inside", "")
            .dir("becomes-file-2")
            .file("becomes-file", "2")
            .dir("merged")
            .file("merged/kept", "3")
            .entry(EntryType::Directory, "merged", "", 0o700, b"")
            .symlink("link-becomes-dir", "merged")
            .dir("link-becomes-dir")
            .file("link-becomes-dir/own", "4"),
    );
    assert_eq!(fs::read(root.join("file")).unwrap(), b"new");
    assert_eq!(
        fs::read(root.join("link")).unwrap(),
        b"old",
        "a link keeps what it was made to"
    );
    assert_eq!(fs::read(root.join("becomes-dir/inside")).unwrap(), b"1");
    assert_eq!(fs::read(root.join("becomes-file")).unwrap(), b"2");
    assert!(root.join("becomes-file-2").is_dir());
    assert_eq!(fs::read(root.join("merged/kept")).unwrap(), b"3");
    assert_eq!(
        fs::metadata(root.join("merged")).unwrap().mode() & 0o777,
        0o700
    );
    assert_eq!(fs::read(root.join("link-becomes-dir/own")).unwrap(), b"4");
    assert!(!root.join("merged/own").exists());
}

/// Goal: every known way out of the directory ends inside of it or is refused, and nothing outside changes.
#[test]
fn ways_out() {
    let base = TempDir::new();
    let outside = base.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "untouched").unwrap();
    let outside_text = outside.to_str().unwrap();
    let up = format!(
        "{}{}",
        "../".repeat(20),
        outside_text.trim_start_matches('/')
    );

    for path in ["../evil", "a/../../evil", "/../evil", &up] {
        let text = refused(Layer::new().file(path, "x"));
        assert!(text.contains("leads out of the layer"), "{path}: {text}");
        let text = refused(Layer::new().hard_link("link", path));
        assert!(text.contains("leads out of the layer"), "{path}: {text}");
    }

    // Absolute and climbing links as parents lead to the layer's own root.
    for target in [outside_text, &up] {
        let inner = outside_text.trim_start_matches('/');
        let dir = TempDir::new();
        let root = unpack(
            &dir,
            Layer::new()
                .dir(inner)
                .file(&format!("{inner}/mine"), "inside")
                .symlink("escape", target)
                .file("escape/evil", "x")
                .file("escape/.wh.victim", "")
                .file("escape/.wh..wh..opq", "")
                .hard_link("stolen", "escape/mine")
                .entry(EntryType::Directory, "escape/dir", "", 0o777, b""),
        );
        assert_eq!(fs::read(root.join(inner).join("evil")).unwrap(), b"x");
        assert!(is_whiteout(&root.join(inner).join("victim")));
        assert_eq!(fs::read(root.join("stolen")).unwrap(), b"inside");
    }

    // What is not there inside is refused rather than made outside.
    for layer in [
        Layer::new()
            .symlink("escape", outside_text)
            .file("escape/evil", "x"),
        Layer::new().symlink("escape", &up).dir("escape/evil"),
        Layer::new()
            .symlink("escape", outside_text)
            .hard_link("stolen", "escape/victim"),
        Layer::new().hard_link("stolen", &format!("{outside_text}/victim")),
        Layer::new()
            .symlink("a", "b")
            .symlink("b", "a")
            .file("a/evil", "x"),
        Layer::new()
            .symlink("proc", "/proc/self/root")
            .file(&format!("proc/{outside_text}/evil"), "x"),
    ] {
        refused(layer);
    }

    // A file entry never writes through a link that is already there.
    let dir = TempDir::new();
    let victim = format!("{outside_text}/victim");
    let root = unpack(
        &dir,
        Layer::new()
            .symlink("link", &victim)
            .file("link", "overwritten"),
    );
    assert_eq!(fs::read(root.join("link")).unwrap(), b"overwritten");
    // Nor does a directory entry change what a link points to.
    let root = unpack(
        &TempDir::new(),
        Layer::new().symlink("link", outside_text).dir("link"),
    );
    assert!(!root.join("link").is_symlink());

    assert_eq!(
        fs::read_to_string(outside.join("victim")).unwrap(),
        "untouched"
    );
    assert_eq!(
        files_below(&outside),
        [outside.join("victim").display().to_string()]
    );
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn device_nodes_are_left_out() {
    let dir = TempDir::new();
    let mut disk = tar::Header::new_gnu();
    disk.set_entry_type(EntryType::Block);
    disk.set_mode(0o666);
    disk.set_device_major(8).unwrap();
    disk.set_device_minor(0).unwrap();
    let mut zero = disk.clone();
    zero.set_entry_type(EntryType::Char);
    zero.set_device_major(0).unwrap();
    let root = unpack(
        &dir,
        Layer::new()
            .raw(disk, "dev/sda", "", b"")
            .raw(zero, "hide", "", b"")
            .file("etc/x", "1"),
    );
    assert!(!root.join("dev/sda").exists());
    assert!(
        !root.join("hide").exists(),
        "nor is a device a back door for a whiteout"
    );
    assert!(root.join("etc/x").exists());
}

#[test]
fn hard_links_need_a_file_of_the_layer() {
    for (layer, expected) in [
        (Layer::new().hard_link("a", "missing"), "not in the layer"),
        (
            Layer::new().hard_link("a", "missing/too"),
            "not in the layer",
        ),
        (Layer::new().dir("d").hard_link("a", "d"), "to a directory"),
        (Layer::new().hard_link("a", "/"), "to the root"),
        (
            Layer::new().file("f", "").file("f/below", ""),
            "not a directory",
        ),
        (
            Layer::new().file("f", "").hard_link("a", "f/below"),
            "not in the layer",
        ),
        (
            Layer::new().entry(EntryType::Regular, ".", "", 0o644, b""),
            "the root is not a directory",
        ),
    ] {
        let text = refused(layer);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let dir = TempDir::new();
    let root = unpack(
        &dir,
        Layer::new()
            .file("a", "1")
            .hard_link("a", "a")
            .hard_link("a", "./a"),
    );
    assert_eq!(fs::read(root.join("a")).unwrap(), b"1");
}

/// Goal: files with holes in all four encodings, as GNU tar itself writes them, keep holes and content.
#[test]
fn sparse_files() {
    let source = TempDir::new();
    let file = fs::File::create(source.path().join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    for (offset, text) in [
        (0_u64, "start"),
        (30 << 20, "middle"),
        ((64 << 20) - 3, "end"),
    ] {
        std::os::unix::fs::FileExt::write_all_at(&file, text.as_bytes(), offset).unwrap();
    }
    drop(file);
    // More pieces than fit into one header.
    let file = fs::File::create(source.path().join("pieces")).unwrap();
    for piece in 0..60_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], piece << 17).unwrap();
    }
    drop(file);
    let expected = fs::read(source.path().join("sparse")).unwrap();
    let pieces = fs::read(source.path().join("pieces")).unwrap();
    for arguments in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let output = std::process::Command::new("tar")
            .args(["--create", "--sparse"])
            .args(arguments)
            .args(["-C", source.path().to_str().unwrap(), "sparse", "pieces"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(
            output.stdout.len() < 1 << 20,
            "{arguments:?}: tar has found the holes"
        );
        let dir = TempDir::new();
        let image = TestImage::new().stored_layer(gzip(&output.stdout), &output.stdout);
        let root = import_image(&dir, &image)
            .unwrap_or_else(|error| panic!("{arguments:?}: {}", chain(&error)))
            .layers
            .remove(0);
        assert!(
            fs::read(root.join("sparse")).unwrap() == expected,
            "{arguments:?}"
        );
        assert!(
            fs::read(root.join("pieces")).unwrap() == pieces,
            "{arguments:?}"
        );
        assert!(
            fs::metadata(root.join("sparse")).unwrap().blocks() < 1000,
            "{arguments:?}: holes stay holes"
        );
    }
}

/// Goal: a tree packed by GNU tar comes out the same in every format it can write.
#[test]
fn archives_of_gnu_tar() {
    let source = TempDir::new();
    let tree = source.path().join("tree");
    let deep = tree.join("a".repeat(120)).join("b".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), vec![1; 100_000]).unwrap();
    std::os::unix::fs::symlink("c".repeat(150), tree.join("link")).unwrap();
    fs::hard_link(deep.join("file"), tree.join("hard")).unwrap();
    fs::write(tree.join("käse\nzeile"), "odd name").unwrap();
    for format in ["gnu", "oldgnu", "pax", "posix"] {
        let output = std::process::Command::new("tar")
            .args([
                "--create",
                &format!("--format={format}"),
                "-C",
                tree.to_str().unwrap(),
                ".",
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let dir = TempDir::new();
        let image = TestImage::new().stored_layer(zstd(&output.stdout), &output.stdout);
        let root = import_image(&dir, &image)
            .unwrap_or_else(|error| panic!("{format}: {}", chain(&error)))
            .layers
            .remove(0);
        let relative = |base: &Path| -> Vec<String> {
            let base_text = base.display().to_string();
            files_below(base)
                .into_iter()
                .map(|name| name[base_text.len()..].to_owned())
                .collect()
        };
        assert_eq!(relative(&root), relative(&tree), "{format}");
        assert_eq!(
            fs::read(root.join("hard")).unwrap(),
            vec![1; 100_000],
            "{format}"
        );
    }
}

#[test]
fn malformed_layers() {
    let good = Layer::new().file("a", "1").bytes();
    let mut bad_checksum = good.clone();
    bad_checksum[0] = b'b';
    let mut bad_size = tar::Header::new_gnu();
    bad_size.as_old_mut().size = *b"zzzzzzzzzzz\0";
    let mut huge = tar::Header::new_gnu();
    huge.set_entry_type(EntryType::Regular);
    huge.set_size(1 << 50);
    let mut long_name = tar::Header::new_gnu();
    long_name.set_entry_type(EntryType::GNULongName);
    long_name.set_size(1 << 40);
    let mut unknown = tar::Header::new_gnu();
    unknown.set_entry_type(EntryType::new(b'Z'));
    unknown.set_size(0);
    let mut owner = tar::Header::new_gnu();
    owner.set_entry_type(EntryType::Regular);
    owner.set_uid(u64::from(u32::MAX));
    owner.set_size(0);
    let truncated = &good[..700];
    let truncated_data = Layer::new().file("a", vec![1; 10_000]).bytes();
    let raw = |header: tar::Header| Layer::new().raw(header, "x", "", b"").bytes();
    for (bytes, expected) in [
        (bad_checksum, "checksum"),
        (
            b"plain text, long enough to be looked at as an archive ".repeat(20),
            "malformed",
        ),
        (raw(bad_size), "number field"),
        (raw(huge), "too large"),
        (raw(long_name), "extended header"),
        (raw(unknown), "unknown type"),
        (raw(owner), "owner's number"),
        (truncated.to_vec(), "cannot be read"),
        (truncated_data[..5000].to_vec(), "cannot be read"),
        (
            Layer::new().pax(&[("path", b"a\0b")]).file("x", "").bytes(),
            "pax record",
        ),
        (
            Layer::new()
                .pax(&[("size", b"999999999999999")])
                .file("x", "")
                .bytes(),
            "too large",
        ),
    ] {
        let dir = TempDir::new();
        let image = TestImage::new().stored_layer(gzip(&bytes), &bytes);
        let error = import_image(&dir, &image).expect_err(expected);
        assert!(
            chain(&error).contains(expected),
            "{expected}: {}",
            chain(&error)
        );
        assert_empty(&dir.store());
    }
}

/// Goal: damage below a digest that is right (the image's author made it) is told from tampering.
#[test]
fn damaged_compression() {
    let bytes = Layer::new().file("a", vec![7; 100_000]).bytes();
    for stored in [gzip(&bytes)[..200].to_vec(), zstd(&bytes)[..40].to_vec()] {
        let dir = TempDir::new();
        let image = TestImage::new().stored_layer(stored, &bytes);
        let error = import_image(&dir, &image).unwrap_err();
        assert!(
            matches!(
                &error,
                ImportError::Layer {
                    source: LayerError::Compression(_),
                    ..
                }
            ),
            "{}",
            chain(&error)
        );
        assert_empty(&dir.store());
    }
}

/// Goal: several compressed streams in a row are one layer, and what follows the archive belongs to its digest.
#[test]
fn concatenated_streams() {
    let bytes = Layer::new()
        .file("a", vec![7; 100_000])
        .file("b", "2")
        .bytes();
    for compress in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
        let dir = TempDir::new();
        let stored = [
            compress(&bytes[..60_000]),
            compress(&bytes[60_000..]),
            compress(b"trailing"),
        ]
        .concat();
        let uncompressed = [&bytes[..], b"trailing"].concat();
        let image = TestImage::new().stored_layer(stored, &uncompressed);
        assert_eq!(import_image(&dir, &image).unwrap().size_bytes, 100_001);
    }
}

/// Goal: the kernel's overlayfs shows what the layers mean: hidden names, emptied directories, replaced ones.
#[test]
fn overlayfs_agrees() {
    let dir = TempDir::new();
    let image = TestImage::new()
        .layer(
            Layer::new()
                .file("hidden", "")
                .file("kept", "lowest")
                .file("emptied/old", "")
                .file("replaced/old", "")
                .file("dir/hidden", "")
                .file("dir/kept", ""),
        )
        .layer(
            Layer::new()
                .file(".wh.hidden", "")
                .file("emptied/.wh..wh..opq", "")
                .file("emptied/new", "")
                .file("replaced/new", "")
                .file(".wh.replaced", "")
                .file("dir/.wh.hidden", ""),
        )
        .layer(Layer::new().file("top", ""));
    let image = import_image(&dir, &image).unwrap();
    // Highest first is how overlayfs wants them.
    let lower: Vec<String> = image
        .layers
        .iter()
        .rev()
        .map(|layer| layer.display().to_string())
        .collect();
    let mount = dir.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let script = "mount -t overlay -o ro,lowerdir=$0 none $1 && cd $1 && find . -mindepth 1 | sort";
    let output = std::process::Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            &lower.join(":"),
        ])
        .arg(&mount)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let seen = String::from_utf8(output.stdout).unwrap();
    let expected = [
        "dir",
        "dir/kept",
        "emptied",
        "emptied/new",
        "kept",
        "replaced",
        "replaced/new",
        "top",
    ];
    assert_eq!(
        seen.lines().map(|line| &line[2..]).collect::<Vec<_>>(),
        expected
    );
}
