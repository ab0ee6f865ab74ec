//! Importing: formats, names, platforms, and archives that lie.

use std::fs;

use podyard_image::{ImportError, ImportOptions, LayerError, Origin, Progress};
use serde_json::json;

use crate::support::*;

fn small_image() -> TestImage {
    TestImage::new()
        .layer(Layer::new().dir("etc").file("etc/hostname", "one"))
        .layer(Layer::new().file("etc/second", "two"))
        .with("Cmd", json!(["/bin/sh"]))
        .with("Env", json!(["PATH=/bin"]))
}

fn contents(image: &podyard_image::Image) -> Vec<String> {
    let files = ["etc/hostname", "etc/second"];
    let read =
        |(layer, file): (&std::path::PathBuf, &str)| fs::read_to_string(layer.join(file)).unwrap();
    std::iter::zip(&image.layers, files).map(read).collect()
}

/// Goal: an image comes out the same, whatever form of archive it went in by.
#[test]
fn every_form_of_archive() {
    let image = small_image();
    let oci = archive(&oci_layout(&[(&image, named("docker.io/library/app:1"))]));
    let standard = oci_layout(&[(
        &image,
        json!({ "org.opencontainers.image.ref.name": "app:1" }),
    )]);
    let docker = archive(&docker_archive(&[(&image, &["app:1"])]));
    for (form, bytes) in [
        ("oci", oci.clone()),
        ("oci, gzipped", gzip(&oci)),
        ("oci, zstd", zstd(&oci)),
        ("oci, standard annotation", archive(&standard)),
        ("docker", docker.clone()),
        ("docker, gzipped", gzip(&docker)),
    ] {
        let dir = TempDir::new();
        let imported =
            import_bytes(&dir, &bytes).unwrap_or_else(|error| panic!("{form}: {error:?}"));
        let found = dir
            .store()
            .lookup(&reference("app:1"))
            .unwrap()
            .expect(form);
        assert_eq!(imported, vec![found.clone()], "{form}");
        assert_eq!(contents(&found), ["one", "two"], "{form}");
        assert_eq!(found.names, [reference("app:1")], "{form}");
        assert_eq!(found.config.cmd, ["/bin/sh"], "{form}");
        assert_eq!(found.config.env, ["PATH=/bin"], "{form}");
        assert_eq!(
            found.image_id,
            podyard_image::Digest::of(&image.config_bytes()),
            "{form}"
        );
        assert_eq!(
            (found.origin, found.size_bytes),
            (Origin::Imported, 6),
            "{form}"
        );
        assert_eq!(found.repo_digest, None, "{form}");
        assert_eq!(
            files_below(&dir.store().root().join("tmp")),
            Vec::<String>::new(),
            "{form}"
        );
    }
}

#[test]
fn a_directory_with_an_image_layout() {
    let dir = TempDir::new();
    let layout = dir.path().join("layout");
    for (name, content) in oci_layout(&[(&small_image(), named("app:1"))]) {
        let path = layout.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir.store()
        .import(&layout, &ImportOptions::default(), &mut |_| {})
        .unwrap();
    assert!(dir.store().lookup(&reference("app:1")).unwrap().is_some());
}

/// Goal: one archive brings several images; layers they share are unpacked once.
#[test]
fn several_images_share_layers() {
    let dir = TempDir::new();
    let first = small_image();
    let second = small_image().layer(Layer::new().file("third", "3"));
    let files = docker_archive(&[(&first, &["a:1", "a:2"]), (&second, &["b:1"])]);
    let path = dir.path().join("archive.tar");
    fs::write(&path, archive(&files)).unwrap();
    let mut unpacked = 0;
    let mut existed = 0;
    let images = dir
        .store()
        .import(&path, &ImportOptions::default(), &mut |event| match event {
            Progress::Unpacked { .. } => unpacked += 1,
            Progress::LayerExists { .. } => existed += 1,
            _ => {}
        });
    assert_eq!(images.unwrap().len(), 2);
    assert_eq!((unpacked, existed), (3, 2));
    let listed = dir.store().list().unwrap();
    let names: Vec<Vec<String>> = listed
        .iter()
        .map(|image| {
            image
                .names
                .iter()
                .map(podyard_image::Reference::familiar)
                .collect()
        })
        .collect();
    assert_eq!(
        names,
        [
            vec!["a:1".to_owned(), "a:2".to_owned()],
            vec!["b:1".to_owned()]
        ]
    );
    assert_eq!(listed[0].layers[..], listed[1].layers[..2]);
}

#[test]
fn names_come_from_the_archive_or_the_caller() {
    let dir = TempDir::new();
    let bare_tag = archive(&oci_layout(&[(
        &small_image(),
        json!({ "org.opencontainers.image.ref.name": "latest" }),
    )]));
    assert!(matches!(
        import_bytes(&dir, &bare_tag),
        Err(ImportError::NoName)
    ));
    let given = ImportOptions {
        name: Some(reference("given")),
        ..ImportOptions::default()
    };
    assert_eq!(
        import_with(&dir, &bare_tag, &given).unwrap()[0].names,
        [reference("given")]
    );
    let other = TestImage::new();
    let two = archive(&oci_layout(&[
        (&small_image(), named("a")),
        (&other, named("b")),
    ]));
    assert!(matches!(
        import_with(&dir, &two, &given),
        Err(ImportError::SeveralImages(2))
    ));
}

#[test]
fn an_image_without_layers_has_no_directories() {
    let dir = TempDir::new();
    assert_eq!(
        import_image(&dir, &TestImage::new()).unwrap().layers,
        Vec::<std::path::PathBuf>::new()
    );
}

/// Goal: of a multi-platform archive the fitting image is taken, and only that.
#[test]
fn platforms() {
    let dir = TempDir::new();
    let fitting = small_image();
    let mut foreign = small_image();
    foreign.config["architecture"] = json!("z80");
    let mut files = oci_layout(&[(&foreign, json!({})), (&fitting, json!({}))]);
    let platform = podyard_image::Platform::host();
    let mut entries = Vec::new();
    for (image, architecture) in [
        (&foreign, "z80"),
        (&fitting, platform.architecture.as_str()),
    ] {
        let mut entry = descriptor(
            "application/vnd.oci.image.manifest.v1+json",
            &image.manifest_bytes(),
        );
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entries.push(entry);
    }
    let index = |entries: &[serde_json::Value]| {
        json!({ "schemaVersion": 2, "manifests": entries }).to_string()
    };
    let inner = index(&entries).into_bytes();
    let mut outer = descriptor("application/vnd.oci.image.index.v1+json", &inner);
    outer["annotations"] = named("multi:1");
    files.retain(|(name, _)| name != "index.json");
    let mut nested = files.clone();
    nested.push((
        format!("blobs/sha256/{}", podyard_image::Digest::of(&inner).hex()),
        inner,
    ));
    nested.push(("index.json".to_owned(), index(&[outer]).into_bytes()));
    let images = import_bytes(&dir, &archive(&nested)).unwrap();
    assert_eq!(images[0].manifest_digest, fitting.manifest_digest());

    let mut only_foreign = files;
    only_foreign.push(("index.json".to_owned(), index(&entries[..1]).into_bytes()));
    let error = import_bytes(&dir, &archive(&only_foreign)).unwrap_err();
    assert!(error.to_string().ends_with("only for linux/z80"), "{error}");

    let unlabelled = archive(&oci_layout(&[(&foreign, named("x"))]));
    assert!(
        matches!(
            import_bytes(&dir, &unlabelled),
            Err(ImportError::WrongPlatform { .. })
        ),
        "its config tells"
    );
}

/// Goal: whatever has been changed or cut off is noticed, and nothing of it stays.
#[test]
fn damaged_archives() {
    let image = small_image();
    let whole = oci_layout(&[(&image, named("app:1"))]);
    let replace = |what: &str, by: &[u8]| -> Vec<u8> {
        let changed = whole.iter().map(|(name, content)| {
            let content = if name.contains(what) {
                by.to_vec()
            } else {
                content.clone()
            };
            (name.clone(), content)
        });
        archive(&changed.collect())
    };
    let hex = |bytes: &[u8]| podyard_image::Digest::of(bytes).hex().to_owned();
    let (layer, _) = &image.layers[0];
    let other_layer = gzip(&Layer::new().file("other", "").bytes());
    let mut long_layer = layer.clone();
    long_layer.extend_from_slice(b"trailing");
    let check = |bytes: &[u8], is_expected: &dyn Fn(&ImportError) -> bool| {
        let dir = TempDir::new();
        let error = import_bytes(&dir, bytes).unwrap_err();
        assert!(is_expected(&error), "{error:?}");
        let store = dir.store();
        assert!(store.list().unwrap().is_empty());
        store.gc().unwrap();
        assert_empty(&store);
    };
    let tampered_layer = |error: &ImportError| {
        matches!(
            error,
            ImportError::Layer {
                source: LayerError::Tampered { .. },
                ..
            }
        )
    };
    check(&replace(&hex(layer), &other_layer), &tampered_layer);
    check(&replace(&hex(layer), &long_layer), &tampered_layer);
    check(
        &replace(&hex(layer), &layer[..layer.len() / 2]),
        &tampered_layer,
    );
    check(&replace(&hex(layer), b"no archive at all"), &tampered_layer);
    check(&replace(&hex(layer), b""), &tampered_layer);
    check(&replace(&hex(&image.config_bytes()), b"{}"), &|error| {
        matches!(error, ImportError::Tampered { .. })
    });
    check(&replace(&hex(&image.manifest_bytes()), b"{}"), &|error| {
        matches!(error, ImportError::Tampered { .. })
    });
    check(&replace("index.json", b"{"), &|error| {
        matches!(error, ImportError::Manifest(_))
    });

    let bytes = archive(&whole);
    check(&bytes[..bytes.len() / 3], &|error| {
        matches!(error, ImportError::Archive { .. })
    });
    check(&gzip(&bytes)[..100], &|error| {
        matches!(error, ImportError::Read { .. })
    });
    check(b"", &|error| {
        matches!(error, ImportError::NotAnImage { .. })
    });
    check(&[b'x'; 2000], &|error| {
        matches!(error, ImportError::Archive { .. })
    });

    let mut missing = whole.clone();
    missing.retain(|(name, _)| !name.contains(&hex(layer)));
    check(&archive(&missing), &|error| {
        matches!(error, ImportError::Missing(_))
    });
}

/// Goal: a blob that is what the manifest says but not what the configuration says is refused too.
#[test]
fn layers_and_configuration_must_agree() {
    let dir = TempDir::new();
    let bytes = Layer::new().file("a", "").bytes();
    let swapped = TestImage::new().stored_layer(gzip(&bytes), b"something else");
    let error = import_image(&dir, &swapped).unwrap_err();
    assert!(
        matches!(
            &error,
            ImportError::Layer {
                source: LayerError::WrongDiffId { .. },
                ..
            }
        ),
        "{error:?}"
    );

    let mut image = small_image();
    let manifest = image.manifest_bytes();
    image.layers.pop();
    let mut files = oci_layout(&[(&image, named("x"))]);
    // A manifest with one layer more than the configuration knows.
    let lying = String::from_utf8(manifest).unwrap().replace(
        podyard_image::Digest::of(&small_image().config_bytes()).hex(),
        podyard_image::Digest::of(&image.config_bytes()).hex(),
    );
    let mut entry = descriptor("m", lying.as_bytes());
    entry["annotations"] = named("x");
    files.push((
        format!(
            "blobs/sha256/{}",
            podyard_image::Digest::of(lying.as_bytes()).hex()
        ),
        lying.into_bytes(),
    ));
    files.push((
        "index.json".to_owned(),
        json!({ "schemaVersion": 2, "manifests": [entry] })
            .to_string()
            .into_bytes(),
    ));
    assert!(matches!(
        import_bytes(&dir, &archive(&files)),
        Err(ImportError::LayerCount {
            layers: 2,
            diff_ids: 1
        })
    ));
}

/// Goal: names in an archive cannot reach files outside of it, in a directory either.
#[test]
fn archives_do_not_reach_out() {
    let dir = TempDir::new();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    let manifest = json!([{ "Config": "../secret", "RepoTags": ["x"], "Layers": [] }]).to_string();
    let layout = dir.path().join("layout");
    fs::create_dir(&layout).unwrap();
    fs::write(layout.join("manifest.json"), &manifest).unwrap();
    let error = dir
        .store()
        .import(&layout, &ImportOptions::default(), &mut |_| {})
        .unwrap_err();
    assert!(matches!(error, ImportError::Missing(_)), "{error:?}");
    let error = import_bytes(
        &dir,
        &archive(&vec![("manifest.json".to_owned(), manifest.into_bytes())]),
    )
    .unwrap_err();
    assert!(matches!(error, ImportError::Missing(_)), "{error:?}");
}

/// Goal: in old archives a layer that appears twice is a symbolic link the second time.
#[test]
fn links_between_members() {
    let dir = TempDir::new();
    let layer = Layer::new().file("a", "1").bytes();
    let image = TestImage::new().stored_layer(layer.clone(), &layer);
    let files = docker_archive(&[(&image, &["x:1"])]);
    let name = files[0].0.clone();
    let mut renamed = files.clone();
    renamed[0].0 = "real/layer.tar".to_owned();
    let bytes = renamed.iter().fold(
        Layer::new().symlink(&name, "../real/layer.tar"),
        |archive, (name, content)| archive.file(name, content),
    );
    assert_eq!(import_bytes(&dir, &bytes.bytes()).unwrap()[0].size_bytes, 1);
    let looping = files[1..].iter().fold(
        Layer::new().symlink(&name, "layer.tar"),
        |archive, (name, content)| archive.file(name, content),
    );
    let dir = TempDir::new();
    assert!(matches!(
        import_bytes(&dir, &looping.bytes()),
        Err(ImportError::Missing(_))
    ));
}
