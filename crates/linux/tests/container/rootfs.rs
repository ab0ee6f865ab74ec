//! The root filesystem: layers, where writes go, and what each attempt begins with.

use std::path::PathBuf;

use podyard_linux::{LaunchError, Mount, Rootfs, Stage, make_mount_points};

use crate::world::{Pod, string};

tests![
    writes_go_to_the_upper_directory_only,
    every_attempt_begins_anew,
    upper_layers_hide_lower_ones,
    many_layers_with_long_paths_are_taken,
    impossible_layer_counts_are_refused,
    a_missing_layer_is_named,
    places_of_mounts_can_be_a_layer,
    a_read_only_root_takes_no_writes,
    a_directory_can_be_the_root,
    the_hosts_mount_table_never_shows_it,
];

fn upper(rootfs: &Rootfs) -> PathBuf {
    match rootfs {
        Rootfs::Overlay { upper, .. } => upper.clone(),
        Rootfs::Directory(_) => panic!("an overlay"),
    }
}

fn writes_go_to_the_upper_directory_only() {
    let pod = Pod::new();
    let rootfs = pod.rootfs();
    let upper = upper(&rootfs);
    pod.sh(
        "echo mine >/etc/motd; echo changed >>/etc/passwd; rm /etc/group",
        |plan| plan.rootfs = rootfs,
    );
    assert_eq!(
        std::fs::read_to_string(upper.join("etc/motd")).unwrap(),
        "mine\n"
    );
    let image = crate::image::layer();
    assert!(!image.join("etc/motd").exists());
    assert!(image.join("etc/group").exists());
    let passwd = std::fs::read_to_string(image.join("etc/passwd")).unwrap();
    assert!(!passwd.contains("changed"));
}

fn every_attempt_begins_anew() {
    let pod = Pod::new();
    let script = "test -e /marker && echo old || echo new; touch /marker";
    assert_eq!(pod.sh(script, |_| {}), "new");
    assert_eq!(pod.sh(script, |_| {}), "new");
}

fn upper_layers_hide_lower_ones() {
    let pod = Pod::new();
    let write = |name: &str, files: &[(&str, &str)]| {
        pod.layer(name, |root| {
            for (file, content) in files {
                std::fs::write(root.join(file), content).unwrap();
            }
        })
    };
    let lower = write("lower", &[("both", "lower"), ("low", "lower")]);
    let higher = write("higher", &[("both", "higher"), ("high", "higher")]);
    let printed = pod.sh("cat /both; echo; cat /low; echo; cat /high", |plan| {
        plan.rootfs = pod.rootfs_over(&[&lower, &higher]);
    });
    assert_eq!(printed, "higher\nlower\nhigher");
}

fn many_layers_with_long_paths_are_taken() {
    let pod = Pod::new();
    let long = "directory-with-a-name-that-makes-paths-long/".repeat(7);
    let layers: Vec<_> = (0..100)
        .map(|number| {
            pod.layer(&format!("{long}{number}"), |root| {
                std::fs::write(root.join(format!("file{number}")), "").unwrap();
            })
        })
        .collect();
    let layers: Vec<_> = layers.iter().map(PathBuf::as_path).collect();
    assert!(layers[0].as_os_str().len() > 255);
    let printed = pod.sh("ls -d /file* | wc -l", |plan| {
        plan.rootfs = pod.rootfs_over(&layers);
    });
    assert_eq!(printed, "100");
}

fn impossible_layer_counts_are_refused() {
    let pod = Pod::new();
    for count in [0, 501] {
        let refused = pod.spawn(&["true"], |plan| {
            if let Rootfs::Overlay { layers, .. } = &mut plan.rootfs {
                *layers = vec![PathBuf::from("/layer"); count];
            }
        });
        match refused.map(|_| ()) {
            Err(LaunchError::Layers { count: reported }) => assert_eq!(reported, count),
            other => panic!("{other:?}"),
        }
    }
}

fn a_missing_layer_is_named() {
    let pod = Pod::new();
    let missing = pod.directory.path().join("no-such-layer");
    let error = pod.failure(&["true"], |plan| {
        plan.rootfs = pod.rootfs_over(&[&missing]);
    });
    assert_eq!((error.stage, error.errno), (Stage::Rootfs, libc::ENOENT));
    assert_eq!(error.subject, missing.to_str().unwrap());
}

/// A container that writes nothing then leaves nothing, and an image that has something at the place keeps it.
fn places_of_mounts_can_be_a_layer() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    let points = pod.directory.path().join("points");
    let image = pod.layer("image", |root| {
        std::fs::create_dir_all(root.join("data")).unwrap();
        std::fs::write(root.join("data/of-the-image"), "").unwrap();
        std::os::unix::fs::symlink("/elsewhere", root.join("link")).unwrap();
    });
    let rootfs = pod.rootfs_over(&[&image]);
    let upper = upper(&rootfs);
    let script =
        "ls /data; touch /data/volume/x /volume/x /link/x; readlink /link; stat -c %a /volume";
    let printed = pod.sh(script, |plan| {
        plan.rootfs = rootfs;
        for place in ["/volume", "/data/volume", "/link"] {
            plan.mounts.push(Mount::bind(&volume, place));
        }
        make_mount_points(&points, &plan.mounts).unwrap();
        if let Rootfs::Overlay { layers, .. } = &mut plan.rootfs {
            layers.insert(0, points.clone());
        }
    });
    assert_eq!(printed, "of-the-image\nvolume\n/elsewhere\n755");
    // The image's link leads to where nothing was prepared.
    let made: Vec<_> = std::fs::read_dir(upper)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(made, ["elsewhere"]);
}

fn a_read_only_root_takes_no_writes() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    let script = "touch /file 2>&1; touch /volume/file /dev/shm/file /dev/file && pwd";
    let printed = pod.sh(script, |plan| {
        plan.readonly_rootfs = true;
        // Neither the mount point nor the working directory is in the image.
        plan.mounts.push(Mount::bind(&volume, "/volume"));
        plan.working_dir = string("/made/for/it");
    });
    assert_eq!(printed, "touch: /file: Read-only file system\n/made/for/it");
    assert!(volume.join("file").exists());
}

fn a_directory_can_be_the_root() {
    let pod = Pod::new();
    let root = pod.host_directory("root");
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(crate::image::layer().join("."))
        .arg(&root)
        .status()
        .unwrap();
    assert!(status.success());
    for expected in ["first", "second"] {
        let script = "test -e /marker && echo second || echo first; touch /marker";
        let printed = pod.sh(script, |plan| {
            plan.rootfs = Rootfs::Directory(root.clone());
        });
        assert_eq!(printed, expected, "what is written stays");
    }
    let missing = root.join("missing");
    let error = pod.failure(&["true"], |plan| {
        plan.rootfs = Rootfs::Directory(missing.clone());
    });
    assert_eq!((error.stage, error.errno), (Stage::Rootfs, libc::ENOENT));
}

fn the_hosts_mount_table_never_shows_it() {
    let pod = Pod::new();
    let rootfs = pod.rootfs();
    let upper = upper(&rootfs);
    let running = pod.start(&["sleep", "1000"], |plan| plan.rootfs = rootfs);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(upper.to_str().unwrap()));
    running.kill();
}
