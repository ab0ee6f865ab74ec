//! Pulling from a real registry (Debian's `docker-registry`), started by the test on a port of its own.

use std::fs;
use std::sync::Barrier;
use std::thread;

use podyard_image::{
    Digest, Origin, Progress, PullError, PullErrorKind, PullOptions, Pulled, Reference, Store,
};
use serde_json::json;

use crate::registry::Registry;
use crate::support::*;

fn pull(store: &Store, reference: &Reference) -> Result<Pulled, PullError> {
    store.pull(reference, &PullOptions::default(), &mut |_| {})
}

fn image_with(content: &str) -> TestImage {
    TestImage::new()
        .layer(
            Layer::new()
                .dir("base")
                .file("base/file", vec![b'x'; 3_000_000]),
        )
        .layer(Layer::new().file("content", content))
        .with("Entrypoint", json!(["/app"]))
}

/// Goal: the whole way, and that a second pull of the same costs one question.
#[test]
fn there_and_back() {
    let dir = TempDir::new();
    let registry = Registry::start(dir.path());
    let image = image_with("one");
    registry.push(&image, "team/app", "1");
    let name = registry.reference("team/app:1");
    let store = dir.store();
    let mut events = Vec::new();
    let pulled = store
        .pull(&name, &PullOptions::default(), &mut |event| {
            events.push(event)
        })
        .unwrap();
    assert!(pulled.changed);
    let size: u64 = image
        .layers
        .iter()
        .map(|(stored, _)| stored.len() as u64)
        .sum();
    assert_eq!(pulled.transferred_bytes, size);
    assert_eq!(pulled.image.names, std::slice::from_ref(&name));
    assert_eq!(pulled.image.config.entrypoint, ["/app"]);
    assert_eq!(pulled.image.origin, Origin::Pulled);
    assert_eq!(pulled.image.manifest_digest, image.manifest_digest());
    let repo_digest = format!("{}@{}", name.name(), image.manifest_digest());
    assert_eq!(
        pulled.image.repo_digest.as_deref(),
        Some(repo_digest.as_str())
    );
    assert_eq!(
        fs::read(pulled.image.layers[1].join("content")).unwrap(),
        b"one"
    );
    assert!(
        matches!(&events[0], Progress::Resolved { layers, .. } if layers.len() == 2),
        "{events:?}"
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| matches!(event, Progress::Unpacked { .. }))
            .count(),
        2
    );
    assert_eq!(store.lookup(&name).unwrap(), Some(pulled.image.clone()));

    let again = store
        .pull(&name, &PullOptions::default(), &mut |event| {
            panic!("{event:?}")
        })
        .unwrap();
    assert_eq!(
        again,
        Pulled {
            image: pulled.image.clone(),
            changed: false,
            transferred_bytes: 0
        }
    );

    // By digest it can be had without asking anybody.
    drop(registry);
    let by_digest = Reference::parse(&repo_digest).unwrap();
    assert_eq!(
        pull(&store, &by_digest).unwrap().image.manifest_digest,
        image.manifest_digest()
    );
    assert_eq!(
        pull(&store, &name).unwrap_err().kind(),
        PullErrorKind::Unreachable
    );
    assert!(files_below(&store.root().join("tmp")).is_empty());
}

/// Goal: a tag that has moved brings its new layers only, and the old image goes when nobody needs it.
#[test]
fn a_tag_that_moves() {
    let dir = TempDir::new();
    let registry = Registry::start(dir.path());
    let name = registry.reference("app:latest");
    let store = dir.store();
    let (first, second) = (image_with("one"), image_with("two"));
    registry.push(&first, "app", "latest");
    let old = pull(&store, &name).unwrap().image;
    registry.push(&second, "app", "latest");
    let new = pull(&store, &name).unwrap();
    assert!(new.changed);
    assert_eq!(
        new.transferred_bytes,
        second.layers[1].0.len() as u64,
        "the other layer is here"
    );
    assert_eq!(new.image.layers[0], old.layers[0]);
    assert_eq!(
        store
            .list()
            .unwrap()
            .iter()
            .filter(|image| image.names.is_empty())
            .count(),
        1
    );
    let report = store.gc().unwrap();
    assert_eq!(
        (report.images, report.layers),
        (vec![old.manifest_digest], 1)
    );
    assert!(!old.layers[1].exists());
    assert!(new.image.layers.iter().all(|layer| layer.exists()));
}

#[test]
fn digests_in_names() {
    let dir = TempDir::new();
    let registry = Registry::start(dir.path());
    let image = image_with("one");
    registry.push(&image, "app", "1");
    let store = dir.store();
    let digest = image.manifest_digest();
    let name = registry.reference(&format!("app:other@{digest}"));
    let pulled = pull(&store, &name).unwrap().image;
    assert_eq!(pulled.names, [registry.reference(&format!("app@{digest}"))]);
    let unknown = registry.reference(&format!("app@{}", Digest::of(b"unknown")));
    assert_eq!(
        pull(&store, &unknown).unwrap_err().kind(),
        PullErrorKind::NotFound
    );
}

#[test]
fn what_is_not_there() {
    let dir = TempDir::new();
    let registry = Registry::start(dir.path());
    registry.push(&image_with("one"), "app", "1");
    let store = dir.store();
    for name in ["app:2", "nothing/here:1"] {
        let error = pull(&store, &registry.reference(name)).unwrap_err();
        assert_eq!(error.kind(), PullErrorKind::NotFound, "{error:?}");
        assert!(
            error.to_string().ends_with("not found: manifest unknown"),
            "{error}"
        );
    }
    assert_empty(&store);
}

#[test]
fn indexes_are_resolved_by_platform() {
    let dir = TempDir::new();
    let registry = Registry::start(dir.path());
    let store = dir.store();
    let mine = image_with("mine");
    let mut other = image_with("other");
    other.config["architecture"] = json!("z80");
    registry.push(&mine, "app", "mine");
    registry.push(&other, "app", "other");
    let entry = |image: &TestImage, architecture: &str| {
        let mut entry = descriptor(
            "application/vnd.oci.image.manifest.v1+json",
            &image.manifest_bytes(),
        );
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entry
    };
    let host = podyard_image::Platform::host();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = |entries: Vec<serde_json::Value>| {
        json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries })
            .to_string()
            .into_bytes()
    };
    let both = index(vec![entry(&other, "z80"), entry(&mine, &host.architecture)]);
    registry.put_manifest("app", "multi", media_type, &both);
    registry.put_manifest(
        "app",
        "foreign",
        media_type,
        &index(vec![entry(&other, "z80")]),
    );

    let pulled = pull(&store, &registry.reference("app:multi"))
        .unwrap()
        .image;
    assert_eq!(pulled.manifest_digest, mine.manifest_digest());
    let expected = format!("{}@{}", registry.reference("app").name(), Digest::of(&both));
    assert_eq!(
        pulled.repo_digest,
        Some(expected),
        "what the name means in the registry"
    );
    assert!(
        !pull(&store, &registry.reference("app:multi"))
            .unwrap()
            .changed
    );
    for tag in ["foreign", "other"] {
        let error = pull(&store, &registry.reference(&format!("app:{tag}"))).unwrap_err();
        assert_eq!(error.kind(), PullErrorKind::WrongPlatform);
        assert!(error.to_string().ends_with("only for linux/z80"), "{error}");
    }
}

/// Goal: many at once, of the same image and of images that share a layer, fetch everything exactly once.
#[test]
fn pulls_at_the_same_time() {
    let dir = TempDir::new();
    let registry = Registry::start(dir.path());
    let images = [image_with("one"), image_with("two")];
    registry.push(&images[0], "app", "one");
    registry.push(&images[1], "app", "two");
    let names = [
        "app:one", "app:two", "app:one", "app:two", "app:one", "app:one",
    ];
    let barrier = Barrier::new(names.len());
    let pulled: Vec<Pulled> = thread::scope(|scope| {
        let start = |name: &str| {
            let (store, name) = (dir.store(), registry.reference(name));
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                pull(&store, &name).unwrap()
            })
        };
        let threads: Vec<_> = names.iter().map(|name| start(name)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let size = |image: &TestImage, layer: usize| image.layers[layer].0.len() as u64;
    let expected = size(&images[0], 0) + size(&images[0], 1) + size(&images[1], 1);
    assert_eq!(
        pulled
            .iter()
            .map(|pulled| pulled.transferred_bytes)
            .sum::<u64>(),
        expected
    );
    assert_eq!(pulled.iter().filter(|pulled| pulled.changed).count(), 2);
    for pulled in &pulled {
        assert!(pulled.image.layers.iter().all(|layer| layer.is_dir()));
    }
    let store = dir.store();
    assert_eq!(store.list().unwrap().len(), 2);
    assert!(files_below(&store.root().join("tmp")).is_empty());
    let locks = files_below(&store.root().join("locks"));
    assert!(
        locks
            .iter()
            .all(|lock| lock.ends_with("/store") || lock.ends_with("/tmp")),
        "{locks:?}"
    );
}

/// Goal: a collection at any moment of a pull takes nothing away from it.
#[test]
fn collections_during_pulls() {
    let dir = TempDir::new();
    let registry = Registry::start(dir.path());
    for number in 0..4 {
        registry.push(&image_with(&number.to_string()), "app", &number.to_string());
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let store = dir.store();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                store.gc().unwrap();
            }
        });
        let store = dir.store();
        for round in 0..3 {
            for number in 0..4 {
                let name = registry.reference(&format!("app:{number}"));
                let image = pull(&store, &name).unwrap().image;
                let read = fs::read_to_string(image.layers[1].join("content")).unwrap();
                assert_eq!(read, number.to_string(), "round {round}");
                store.remove(&name).unwrap();
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        collector.join().unwrap();
    });
    dir.store().gc().unwrap();
    assert_empty(&dir.store());
}

/// Goal: HTTPS with certificates that the caller trusts, and only those.
#[test]
fn encrypted_connections() {
    let dir = TempDir::new();
    let config = "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=test\n\
         [ext]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";
    fs::write(dir.path().join("openssl.cnf"), config).unwrap();
    let output = std::process::Command::new("openssl")
        .current_dir(dir.path())
        .args([
            "req",
            "-x509",
            "-config",
            "openssl.cnf",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args([
            "-nodes", "-days", "2", "-keyout", "key.pem", "-out", "cert.pem",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let registry = Registry::start_encrypted(dir.path(), "cert.pem", "key.pem");
    let image = image_with("one");
    registry.push(&image, "app", "1");
    let store = dir.store();
    let name = registry.reference("app:1");
    let strict = PullOptions {
        insecure_loopback: false,
        ..PullOptions::default()
    };
    let error = store.pull(&name, &strict, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), PullErrorKind::Unreachable, "{error:?}");
    assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
    let trusting = PullOptions {
        ca_file: Some(dir.path().join("cert.pem")),
        ..strict
    };
    let pulled = store.pull(&name, &trusting, &mut |_| {}).unwrap();
    assert_eq!(pulled.image.manifest_digest, image.manifest_digest());
}
