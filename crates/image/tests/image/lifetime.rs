//! How long images stay: names, leases, collection; and what crashes and full disks leave behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use podyard_image::{
    ImportOptions, Lease, PullErrorKind, PullOptions, Reference, Store, StoreError,
};

use crate::fake::{Answer, FakeRegistry, documents, is_for};
use crate::support::*;

fn image(content: &str) -> TestImage {
    TestImage::new()
        .layer(Layer::new().file("shared", "s"))
        .layer(Layer::new().file("own", content))
}

fn import(dir: &TempDir, image: &TestImage, names: &[&str]) {
    import_bytes(dir, &archive(&docker_archive(&[(image, names)]))).unwrap();
}

#[test]
fn content_goes_with_its_last_name() {
    let dir = TempDir::new();
    let store = dir.store();
    import(&dir, &image("a"), &["a:1", "a:2"]);
    import(&dir, &image("b"), &["b:1"]);
    let a = store.lookup(&reference("a:1")).unwrap().unwrap();
    let b = store.lookup(&reference("b:1")).unwrap().unwrap();
    assert_eq!(
        store.remove(&reference("a:1")).unwrap().names,
        [reference("a:1")]
    );
    assert_eq!(store.remove(&reference("a:1")).unwrap().names, [], "once");
    assert_eq!(store.gc().unwrap().images, [], "the other name keeps it");
    store.remove(&reference("a:2")).unwrap();
    let report = store.gc().unwrap();
    assert_eq!(
        (report.images, report.layers, report.freed_bytes),
        (vec![a.manifest_digest.clone()], 1, 1)
    );
    assert!(
        !a.layers[1].exists() && b.layers.iter().all(|layer| layer.exists()),
        "shared layers stay"
    );
    assert_eq!(store.image(&a.manifest_digest).unwrap(), None);
    assert_eq!(store.blob(&a.image_id).unwrap(), None);
    store.remove(&reference("b:1")).unwrap();
    store.gc().unwrap();
    assert_empty(&store);
    assert!(files_below(&store.root().join("blobs/sha256")).is_empty());
}

#[test]
fn leases_keep_what_is_used() {
    let dir = TempDir::new();
    let store = dir.store();
    import(&dir, &image("a"), &["app:1"]);
    let old = store.lookup(&reference("app:1")).unwrap().unwrap();
    store.lease(&old, "pod-1").unwrap();
    store.lease(&old, "pod-1").unwrap();
    store.lease(&old, "pod-2").unwrap();
    import(&dir, &image("b"), &["app:1"]);
    let new = store.lookup(&reference("app:1")).unwrap().unwrap();
    assert_ne!(new.manifest_digest, old.manifest_digest);
    let lease = |owner: &str| Lease {
        owner: owner.to_owned(),
        manifest_digest: old.manifest_digest.clone(),
    };
    assert_eq!(store.leases().unwrap(), [lease("pod-1"), lease("pod-2")]);
    assert_eq!(store.gc().unwrap().images, []);
    assert!(old.layers[1].join("own").exists());
    assert_eq!(
        store.image(&old.manifest_digest).unwrap().unwrap().layers,
        old.layers
    );
    store.release("pod-1").unwrap();
    store.release("pod-1").unwrap();
    assert_eq!(store.gc().unwrap().images, []);
    store.release("pod-2").unwrap();
    assert_eq!(
        store.gc().unwrap().images,
        std::slice::from_ref(&old.manifest_digest)
    );
    assert!(matches!(
        store.lease(&old, "late"),
        Err(StoreError::Gone(_))
    ));

    store.lease(&new, "pod-3").unwrap();
    assert_eq!(
        store.remove(&reference("app:1")).unwrap().used_by,
        ["pod-3"]
    );
    for bad in ["", ".", "..", "../x", "a/b", "a\0b", &"x".repeat(300)] {
        assert!(
            matches!(store.lease(&new, bad), Err(StoreError::Owner(_))),
            "{bad:?}"
        );
    }
}

/// Goal: a layer of mount points is made once, shared by all who want it, and collected after the last of them.
#[test]
fn places_stay_for_as_long_as_somebody_has_a_lease() {
    let dir = TempDir::new();
    let store = dir.store();
    let make = |path: &Path| std::fs::create_dir_all(path.join("etc"));
    let layer = store.places("one", "pod-1", make).unwrap();
    assert!(layer.join("etc").is_dir());
    let again = store.places("one", "pod-2", |_| panic!("it is there"));
    assert_eq!(again.unwrap(), layer);
    let refused = store.places("two", "pod-1", |_| Err(std::io::Error::other("no")));
    assert!(matches!(refused, Err(StoreError::Io { .. })));
    let other = store.places("two", "pod-1", make).unwrap();
    assert_ne!(other, layer);
    assert_eq!(store.leases().unwrap(), [], "they are no images");
    store.release("pod-1").unwrap();
    store.gc().unwrap();
    assert!(layer.join("etc").is_dir() && !other.exists());
    store.release("pod-2").unwrap();
    store.gc().unwrap();
    assert!(!layer.exists());
}

/// Goal: what a power cut has left of a lease never lets go of an image that somebody uses.
#[test]
fn leases_that_cannot_be_read_keep_everything() {
    let dir = TempDir::new();
    let store = dir.store();
    import(&dir, &image("a"), &["a:1"]);
    import(&dir, &image("b"), &["b:1"]);
    let a = store.lookup(&reference("a:1")).unwrap().unwrap();
    let places = store.places("one", "gone", |path| std::fs::create_dir(path));
    let places = places.unwrap();
    store.release("gone").unwrap();
    store.remove(&reference("a:1")).unwrap();
    store.remove(&reference("b:1")).unwrap();
    let whole = format!("{}\n", a.manifest_digest.hex());
    let torn = format!("{whole}places/o");
    for left in [
        &b""[..],
        b"\0\0\0",
        b"\xff\xfe\n",
        &whole.as_bytes()[..20],
        whole.trim_end().as_bytes(),
        torn.as_bytes(),
    ] {
        std::fs::write(store.root().join("leases/pod-1"), left).unwrap();
        assert_eq!(store.leases().unwrap().len(), 2, "{left:?}");
        assert_eq!(store.gc().unwrap().images, [], "{left:?}");
        assert!(places.exists(), "{left:?}");
    }
    std::fs::write(store.root().join("leases/pod-1"), &whole).unwrap();
    assert_eq!(store.gc().unwrap().images.len(), 1);
    assert!(!places.exists() && a.layers.iter().all(|layer| layer.exists()));
    store.release("pod-1").unwrap();
    store.gc().unwrap();
    assert_empty(&store);
}

/// Goal: a store of a later version is left alone, and so is one that is damaged.
#[test]
fn records_that_cannot_be_read() {
    let dir = TempDir::new();
    let store = dir.store();
    import(&dir, &image("a"), &["app:1"]);
    let name = files_below(&store.root().join("names")).remove(0);
    let good = fs::read(&name).unwrap();
    fs::write(&name, "").unwrap();
    assert_eq!(
        store.lookup(&reference("app:1")).unwrap(),
        None,
        "what a power failure leaves"
    );
    fs::write(&name, "{").unwrap();
    assert!(matches!(
        store.lookup(&reference("app:1")),
        Err(StoreError::Record { .. })
    ));
    assert!(
        store.gc().is_err(),
        "nothing is collected when it is not clear what is needed"
    );
    fs::write(&name, good).unwrap();
    assert!(store.lookup(&reference("app:1")).unwrap().is_some());
    fs::write(store.root().join("version"), "99\n").unwrap();
    let error = Store::open(store.root()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has version 99, this program knows version 1"),
        "{error}"
    );
}

/// Goal: a hostile tree cannot resist its removal.
#[test]
fn layers_that_do_not_want_to_go() {
    let dir = TempDir::new();
    let store = dir.store();
    let deep = "d/".repeat(500);
    let climbing = (0..6).fold(Layer::new().dir(&deep), |layer, level| {
        // Links that lead ever deeper: the real depth is beyond any limit on paths.
        let link = format!("link{level}");
        let base = if level == 0 {
            deep.clone()
        } else {
            format!("link{}/{}", level - 1, deep)
        };
        layer.dir(&base).symlink(&link, &base)
    });
    let root = import_layer(&dir, climbing).unwrap().layers.remove(0);
    assert!(root.join("link0").is_symlink());
    store.remove(&reference("test:1")).unwrap();
    store.gc().unwrap();
    assert_empty(&store);
}

const CHILD: &str = "PODYARD_TEST_CHILD_STORE";
const CHILD_IMAGE: &str = "PODYARD_TEST_CHILD_IMAGE";

/// Not a test of its own: the process that others kill, or give a small disk.
#[test]
fn child_process() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let dir = Path::new(&dir);
    let image = std::env::var(CHILD_IMAGE).unwrap();
    let store = Store::open(&dir.join("store")).unwrap();
    let archive = dir.join("archive.tar");
    if archive.exists() {
        let error = store
            .import(&archive, &ImportOptions::default(), &mut |_| {})
            .unwrap_err();
        assert!(error.is_disk_full(), "{error:?}");
    } else {
        let name = Reference::parse(&image).unwrap();
        let error = store
            .pull(&name, &PullOptions::default(), &mut |_| {})
            .unwrap_err();
        assert_eq!(error.kind(), PullErrorKind::DiskFull, "{error:?}");
    }
    assert_empty(&store);
}

fn child(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Goal: a process that is killed in the middle of unpacking leaves nothing that anybody sees; the next one
/// cleans up and succeeds.
#[test]
fn killed_while_unpacking() {
    let dir = TempDir::new();
    let large = TestImage::new()
        .layer(Layer::new().file("first", "1"))
        .layer(
            Layer::new()
                .file("second", vec![7; 5_000_000])
                .file("third", "3"),
        );
    let served = large.clone();
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let server = FakeRegistry::start(move |request| {
        let blob = &served.layers[1].0;
        if is_for(request, blob) && is_first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Some(Answer::ok(blob.clone()).stall_at(blob.len() - 100));
        }
        documents(&served, request)
    });
    let name = server.reference("app:1");
    let mut process = child(std::env::current_exe().unwrap().to_str().unwrap())
        .args(["--exact", "lifetime::child_process"])
        .env(CHILD, dir.path())
        .env(CHILD_IMAGE, name.to_string())
        .spawn()
        .unwrap();
    server.wait_for_stalls(1);
    process.kill().unwrap();
    process.wait().unwrap();

    let store = dir.store();
    assert!(
        !files_below(&store.root().join("tmp")).is_empty(),
        "it was at work"
    );
    assert!(store.list().unwrap().is_empty());
    assert_eq!(store.lookup(&name).unwrap(), None);
    let pulled = store
        .pull(&name, &PullOptions::default(), &mut |_| {})
        .unwrap();
    assert_eq!(
        fs::read(pulled.image.layers[1].join("second"))
            .unwrap()
            .len(),
        5_000_000
    );
    assert!(files_below(&store.root().join("tmp")).is_empty());
    assert_eq!(server.count(&large.manifest_digest().to_string()), 0);
}

/// Goal: on a full disk the error says so, and nothing half-made takes up the little that is left.
#[test]
fn full_disks() {
    let dir = TempDir::new();
    let zeros = TestImage::new()
        .layer(Layer::new().file("first", "1"))
        .layer(Layer::new().file("zeros", vec![0; 30_000_000]));
    let served = zeros.clone();
    let server = FakeRegistry::start(move |request| documents(&served, request));
    for with_archive in [false, true] {
        let mount = dir
            .path()
            .join(if with_archive { "import" } else { "pull" });
        fs::create_dir(&mount).unwrap();
        fs::write(
            dir.path().join("image.tar"),
            archive(&oci_layout(&[(&zeros, named("app:1"))])),
        )
        .unwrap();
        // A mount namespace of its own: the small file system is gone with the process.
        let script = r#"mount -t tmpfs -o size=8m none "$0" && { [ -z "$1" ] || cp "$1" "$0/archive.tar"; } && shift && exec "$@""#;
        let archive = dir.path().join("image.tar");
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg(&mount)
            .arg(if with_archive {
                archive.to_str().unwrap()
            } else {
                ""
            })
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "lifetime::child_process", "--nocapture"])
            .env(CHILD, &mount)
            .env(CHILD_IMAGE, server.reference("app:1").to_string())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("1 passed"),
            "{output:?}"
        );
    }
}
