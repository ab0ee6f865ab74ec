//! What is mounted where, with which options, and what a mount point may be.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use podyard_linux::{Access, ContainerPlan, LaunchError, Mount, MountSource, Propagation, Stage};
use rustix::mount::MountPropagationFlags;

use crate::world::{Pod, mount_tmpfs, own_mounts, string};

tests![
    every_container_gets_the_kernels_file_systems,
    devices_and_links_are_the_usual_ones,
    files_and_directories_are_bound,
    a_missing_source_is_named,
    impossible_destinations_are_refused,
    destinations_are_made_with_their_parents,
    links_in_the_image_are_followed_inside_the_root,
    a_link_leads_no_mount_into_procfs,
    parents_come_before_children,
    read_only_is_for_the_mount_alone_or_for_all_below,
    propagation_is_as_planned,
    bidirectional_mounts_reach_the_host,
    propagation_needs_a_mount_that_has_it,
    an_open_directory_is_mounted_whatever_its_name_is_by_now,
    containers_of_a_pod_share_volumes_and_shm,
    masked_paths_show_nothing,
    masked_and_read_only_paths_that_are_missing_are_skipped,
    read_only_paths_take_no_writes,
    flags_are_added_to_what_the_source_has,
    a_tmpfs_has_its_size_and_mode,
    hugetlbfs_is_a_file_system_like_others,
];

/// Mount point, type, options of the mount and of the file system, from a mountinfo.
fn mounted(mountinfo: &str) -> Vec<(String, String, String, String)> {
    mountinfo
        .lines()
        .map(|line| {
            let (mount, file_system) = line.split_once(" - ").unwrap();
            let mount: Vec<_> = mount.split(' ').collect();
            let file_system: Vec<_> = file_system.split(' ').collect();
            (
                mount[4].to_owned(),
                file_system[0].to_owned(),
                mount[5].to_owned(),
                file_system[2].to_owned(),
            )
        })
        .collect()
}

fn every_container_gets_the_kernels_file_systems() {
    let pod = Pod::new();
    let all = mounted(&pod.sh("cat /proc/self/mountinfo", |plan| {
        plan.masked_paths.clear();
        plan.readonly_paths.clear();
    }));
    let check = |place: &str, kind: &str, options: &str| {
        let found: Vec<_> = all.iter().filter(|mount| mount.0 == place).collect();
        assert_eq!(found.len(), 1, "{place} in {all:?}");
        assert_eq!((found[0].1.as_str(), found[0].2.as_str()), (kind, options));
    };
    check("/", "overlay", "rw,relatime");
    check("/proc", "proc", "rw,nosuid,nodev,noexec,relatime");
    check("/dev", "tmpfs", "rw,nosuid");
    check("/dev/pts", "devpts", "rw,nosuid,noexec,relatime");
    check("/dev/mqueue", "mqueue", "rw,nosuid,nodev,noexec,relatime");
    check("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec,relatime");
    check("/sys", "sysfs", "ro,nosuid,nodev,noexec,relatime");
    let file_system = |place: &str| {
        let mount = all.iter().find(|mount| mount.0 == place).unwrap();
        mount.3.clone()
    };
    assert_eq!(file_system("/dev/pts"), "rw,gid=5,mode=620,ptmxmode=666");
    assert!(file_system("/dev").contains("size=65536k,mode=755"));
    assert!(file_system("/dev/shm").contains("size=65536k"));
    let cgroups: Vec<_> = all
        .iter()
        .filter(|mount| mount.0.starts_with("/sys/fs/cgroup"))
        .collect();
    assert!(!cgroups.is_empty());
    for mount in cgroups {
        assert!(mount.2.starts_with("ro,nosuid,nodev,noexec"), "{mount:?}");
    }
}

fn devices_and_links_are_the_usual_ones() {
    let pod = Pod::new();
    let printed = pod.sh(
        "cd /dev; for n in *; do
           if [ -L $n ]; then echo $n link $(readlink $n);
           elif [ -c $n ]; then echo $n $(stat -c '%a %u:%g %t:%T' $n);
           else echo $n directory $(stat -c %a $n); fi
         done",
        |_| {},
    );
    assert_eq!(
        printed,
        "core link /proc/kcore
fd link /proc/self/fd
full 666 0:0 1:7
mqueue directory 1777
null 666 0:0 1:3
ptmx link pts/ptmx
pts directory 755
random 666 0:0 1:8
shm directory 1777
stderr link /proc/self/fd/2
stdin link /proc/self/fd/0
stdout link /proc/self/fd/1
tty 666 0:0 5:0
urandom 666 0:0 1:9
zero 666 0:0 1:5"
    );
    pod.sh(
        "echo x >/dev/null; head -c 4 /dev/zero /dev/urandom >/dev/null",
        |plan| plan.user.uid = 1000,
    );
}

fn files_and_directories_are_bound() {
    let pod = Pod::new();
    let directory = pod.host_directory("directory");
    std::fs::write(directory.join("inside"), "in a directory\n").unwrap();
    let file = pod.directory.path().join("file");
    std::fs::write(&file, "a file\n").unwrap();
    let printed = pod.sh(
        "cat /made/directory/inside /etc/passwd; echo written >/made/directory/out",
        |plan| {
            plan.mounts.push(Mount::bind(&directory, "/made/directory"));
            plan.mounts.push(Mount::bind(&file, "/etc/passwd"));
        },
    );
    assert_eq!(printed, "in a directory\na file");
    let written = std::fs::read_to_string(directory.join("out")).unwrap();
    assert_eq!(written, "written\n");
}

fn a_missing_source_is_named() {
    let pod = Pod::new();
    let error = pod.failure(&["true"], |plan| {
        plan.mounts.push(Mount::bind("/no/such/volume", "/data"));
    });
    assert_eq!(
        (error.stage, error.errno),
        (Stage::MountSource, libc::ENOENT)
    );
    assert_eq!(error.subject, "/no/such/volume");
    assert_eq!(
        usize::try_from(error.detail).unwrap(),
        ContainerPlanMounts::DEFAULT,
        "its place in the list"
    );
}

/// How many mounts a plan begins with.
struct ContainerPlanMounts;

impl ContainerPlanMounts {
    const DEFAULT: usize = 7;
}

fn impossible_destinations_are_refused() {
    let pod = Pod::new();
    let source = pod.host_directory("source");
    let refused = |destination: &str| {
        let result = pod.spawn(&["true"], |plan| {
            plan.mounts.push(Mount::bind(&source, destination));
        });
        matches!(result, Err(LaunchError::Path { .. }))
    };
    for destination in ["/", "/..", "/a/..", "relative", "", "/nul\0byte"] {
        assert!(refused(destination), "{destination:?}");
    }
    for destination in ["/proc", "/proc/sys", "/proc/self/attr", "/x/../proc/1"] {
        assert!(refused(destination), "{destination:?}");
    }
    // What lxcfs mounts is no danger.
    let file = pod.directory.path().join("meminfo");
    std::fs::write(&file, "MemTotal: 1 kB\n").unwrap();
    let printed = pod.sh("cat /proc/meminfo", |plan| {
        plan.mounts.push(Mount::bind(&file, "/proc/meminfo"));
    });
    assert_eq!(printed, "MemTotal: 1 kB");
    // A directory does not go onto a file, nor the reverse.
    let misfit = |source: &Path, destination: &str| {
        let error = pod.failure(&["true"], |plan| {
            plan.mounts.push(Mount::bind(source, destination));
        });
        assert_eq!(error.stage, Stage::Mount);
        error.oci_text()
    };
    assert_eq!(
        misfit(&source, "/etc/passwd"),
        "error mounting \"/etc/passwd\": not a directory"
    );
    assert_eq!(
        misfit(&file, "/etc"),
        "error mounting \"/etc\": is a directory"
    );
}

fn destinations_are_made_with_their_parents() {
    let pod = Pod::new();
    let directory = pod.host_directory("directory");
    let file = pod.directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let printed = pod.sh("stat -c '%F %a %u' /a /a/b /a/b/d /a/f", |plan| {
        plan.user.uid = 1000;
        plan.umask = 0o077;
        plan.mounts.push(Mount::bind(&directory, "/a/b/d"));
        plan.mounts.push(Mount::bind(&file, "/a/f"));
    });
    assert!(
        printed.starts_with("directory 755 0\ndirectory 755 0\ndirectory 755 0\nregular"),
        "{printed}"
    );
}

fn links_in_the_image_are_followed_inside_the_root() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    std::fs::write(volume.join("file"), "found\n").unwrap();
    let layer = pod.layer("links", |root| {
        for (name, target) in [
            ("absolute", "/var/data"),
            ("climbing", "../../../../var/data"),
            ("chain", "absolute"),
        ] {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
    });
    for link in ["/absolute", "/climbing", "/chain"] {
        let printed = pod.sh("cat /var/data/file; readlink /absolute", |plan| {
            plan.rootfs = pod.rootfs_over(&[&layer]);
            plan.mounts.push(Mount::bind(&volume, link));
        });
        assert_eq!(printed, "found\n/var/data", "{link}");
    }
    assert!(
        !Path::new("/var/data").exists(),
        "nothing is made on the host"
    );
    let error = pod.failure(&["true"], |plan| {
        plan.rootfs = pod.rootfs_over(&[&layer]);
        plan.mounts.push(Mount::bind(&volume, "/loop"));
    });
    assert_eq!(
        (error.stage, error.errno),
        (Stage::MountTarget, libc::ELOOP)
    );
}

fn a_link_leads_no_mount_into_procfs() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    let layer = pod.layer("links", |root| {
        for (name, target) in [
            ("to-proc", "/proc"),
            ("to-sys", "/proc/sys/kernel"),
            ("to-self", "/proc/self/attr"),
            ("to-thread", "/proc/thread-self/fd"),
        ] {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
    });
    for link in ["/to-proc", "/to-sys", "/to-self", "/to-thread"] {
        let error = pod.failure(&["true"], |plan| {
            plan.rootfs = pod.rootfs_over(&[&layer]);
            plan.mounts.push(Mount::bind(&volume, link));
        });
        assert_eq!(
            (error.stage, error.errno),
            (Stage::MountTarget, libc::EPERM)
        );
        assert_eq!(error.subject, link);
    }
}

fn parents_come_before_children() {
    let pod = Pod::new();
    let (outer, inner) = (pod.host_directory("outer"), pod.host_directory("inner"));
    std::fs::create_dir(outer.join("below")).unwrap();
    std::fs::write(inner.join("file"), "inner\n").unwrap();
    let printed = pod.sh("cat /data/below/file", |plan| {
        let mut wanted = vec![
            Mount::bind(&inner, "/data/below"),
            Mount::bind(&outer, "/data"),
        ];
        wanted.sort_by_key(Mount::depth);
        plan.mounts.extend(wanted);
    });
    assert_eq!(printed, "inner");
}

fn read_only_is_for_the_mount_alone_or_for_all_below() {
    own_mounts();
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    std::fs::create_dir(volume.join("below")).unwrap();
    mount_tmpfs(&volume.join("below"));
    let writes = |access: Access| {
        let script =
            "for d in /data /data/below; do touch $d/x 2>/dev/null && echo yes || echo no; done";
        pod.sh(script, |plan| {
            plan.mounts.push(Mount {
                access,
                ..Mount::bind(&volume, "/data")
            });
        })
    };
    assert_eq!(writes(Access::ReadWrite), "yes\nyes");
    assert_eq!(writes(Access::ReadOnly), "no\nyes");
    assert_eq!(writes(Access::RecursiveReadOnly), "no\nno");
    // The host's own mounts are as they were.
    std::fs::write(volume.join("host"), "").unwrap();
    std::fs::write(volume.join("below/host"), "").unwrap();
}

fn propagation_is_as_planned() {
    own_mounts();
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    mount_tmpfs(&volume);
    rustix::mount::mount_change(&volume, MountPropagationFlags::SHARED).unwrap();
    std::fs::create_dir(volume.join("late")).unwrap();
    let start = |propagation: Propagation| {
        let script = "echo up; read x </run/go; ls /data/late";
        let fifo = pod.directory.path().join(format!("{propagation:?}"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        let mut running = pod.start(&["sh", "-c", script], |plan| {
            plan.mounts.push(Mount {
                propagation,
                ..Mount::bind(&volume, "/data")
            });
            plan.mounts.push(Mount::bind(&fifo, "/run/go"));
        });
        running.line();
        (running, fifo)
    };
    let containers = [Propagation::Private, Propagation::Slave].map(start);
    mount_tmpfs(&volume.join("late"));
    std::fs::write(volume.join("late/file"), "").unwrap();
    let seen = containers.map(|(running, fifo)| {
        std::fs::write(fifo, "go\n").unwrap();
        running.finish().success()
    });
    assert_eq!(seen, ["", "file"]);
}

fn bidirectional_mounts_reach_the_host() {
    own_mounts();
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    mount_tmpfs(&volume);
    rustix::mount::mount_change(&volume, MountPropagationFlags::SHARED).unwrap();
    std::fs::create_dir(volume.join("made")).unwrap();
    let script = "mount -t tmpfs none /data/made && touch /data/made/file";
    let seen = |propagation| {
        pod.sh(script, |plan| {
            plan.capabilities = privileged();
            plan.mounts.push(Mount {
                propagation,
                ..Mount::bind(&volume, "/data")
            });
        });
        volume.join("made/file").exists()
    };
    assert!(!seen(Propagation::Private));
    assert!(!seen(Propagation::Slave));
    assert!(seen(Propagation::Shared));
}

fn propagation_needs_a_mount_that_has_it() {
    own_mounts();
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    mount_tmpfs(&volume);
    let refused = |propagation| {
        let result = pod.spawn(&["true"], |plan| {
            plan.mounts.push(Mount {
                propagation,
                ..Mount::bind(&volume, "/data")
            });
        });
        match result {
            Ok(_) => None,
            Err(LaunchError::Path { path, what }) if path == volume => Some(what),
            Err(other) => panic!("{other}"),
        }
    };
    let not_shared = Some("is not on a shared mount");
    let not_slave = Some("is not on a shared or slave mount");
    assert_eq!(refused(Propagation::Private), None);
    assert_eq!(refused(Propagation::Shared), not_shared);
    assert_eq!(refused(Propagation::Slave), not_slave);
    rustix::mount::mount_change(&volume, MountPropagationFlags::SHARED).unwrap();
    assert_eq!(refused(Propagation::Shared), None);
    assert_eq!(refused(Propagation::Slave), None);
}

fn privileged() -> podyard_linux::CapabilitySets {
    podyard_linux::CapabilitySets::of(podyard_linux::CapabilitySet::available())
}

fn an_open_directory_is_mounted_whatever_its_name_is_by_now() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume/sub");
    std::fs::write(volume.join("file"), "the right one\n").unwrap();
    let opened: OwnedFd = File::open(&volume).unwrap().into();
    let moved = volume.with_file_name("moved");
    std::fs::rename(&volume, &moved).unwrap();
    std::os::unix::fs::symlink("/etc", &volume).unwrap();
    let printed = pod.sh("ls /data; cat /data/file", |plan| {
        plan.mounts.push(Mount::bind_fd(opened, "/data"));
    });
    assert_eq!(printed, "file\nthe right one");
}

fn containers_of_a_pod_share_volumes_and_shm() {
    let (pod, other) = (Pod::new(), Pod::new());
    let volume = pod.host_directory("volume");
    let share = |plan: &mut ContainerPlan<'_>| {
        plan.mounts.push(Mount::bind(&volume, "/data"));
    };
    pod.sh("echo disk >/data/a; echo memory >/dev/shm/a", |plan| {
        share(plan);
    });
    let printed = pod.sh("cat /data/a /dev/shm/a", |plan| share(plan));
    assert_eq!(printed, "disk\nmemory");
    assert_eq!(other.sh("ls /dev/shm", |_| {}), "");
}

fn masked_paths_show_nothing() {
    let pod = Pod::new();
    let masked = std::cell::RefCell::new(Vec::new());
    let mountinfo = pod.sh("cat /proc/self/mountinfo", |plan| {
        masked.replace(plan.masked_paths.clone());
    });
    let all = mounted(&mountinfo);
    let mut checked = 0;
    for path in masked.into_inner() {
        let path = path.into_owned().into_string().unwrap();
        if !Path::new(&path).exists() {
            continue;
        }
        checked += 1;
        let mount = all.iter().rfind(|mount| mount.0 == path).unwrap();
        assert_eq!(mount.1, "tmpfs", "{path}");
        let printed = pod.sh(
            &format!("if [ -d {path} ]; then ls -A {path}; else cat {path}; fi"),
            |_| {},
        );
        assert_eq!(printed, "", "{path}");
    }
    assert!(checked > 3, "this machine has only {checked} of them");
    // They cannot be uncovered.
    let script = "umount /proc/kcore || umount -l /sys/firmware";
    assert_ne!(pod.run(&["sh", "-c", script], |_| {}).code(), 0);
}

fn masked_and_read_only_paths_that_are_missing_are_skipped() {
    let pod = Pod::new();
    pod.sh("true", |plan| {
        plan.masked_paths = vec![c"/proc/nothing".into(), c"/etc/passwd/below".into()];
        plan.readonly_paths = vec![c"/nothing/either".into()];
    });
}

fn read_only_paths_take_no_writes() {
    let pod = Pod::new();
    let protected = std::cell::RefCell::new(Vec::new());
    let script = "(echo x >/proc/sys/kernel/hostname) 2>&1 | grep -o 'Read-only file system'
      cat /proc/self/mountinfo";
    let printed = pod.sh(script, |plan| {
        plan.capabilities = privileged();
        protected.replace(plan.readonly_paths.clone());
    });
    let (refusal, mountinfo) = printed.split_once('\n').unwrap();
    assert_eq!(refusal, "Read-only file system");
    let all = mounted(mountinfo);
    for path in protected.into_inner() {
        let path = path.into_owned().into_string().unwrap();
        if Path::new(&path).exists() {
            let mount = all.iter().find(|mount| mount.0 == path).unwrap();
            assert!(mount.2.starts_with("ro,"), "{mount:?}");
        }
    }
}

fn flags_are_added_to_what_the_source_has() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    std::fs::copy(
        crate::image::layer().join("usr/bin/busybox"),
        volume.join("sh"),
    )
    .unwrap();
    let options = |change: fn(&mut Mount)| {
        let mountinfo = pod.sh("cat /proc/self/mountinfo", |plan| {
            let mut mount = Mount::bind(&volume, "/data");
            change(&mut mount);
            plan.mounts.push(mount);
        });
        let all = mounted(&mountinfo);
        let mount = all.into_iter().find(|mount| mount.0 == "/data").unwrap();
        mount.2
    };
    let plain = options(|_| {});
    assert!(plain.starts_with("rw"), "{plain}");
    let all = options(|mount| {
        mount.access = Access::ReadOnly;
        mount.flags.nosuid = true;
        mount.flags.nodev = true;
        mount.flags.noexec = true;
    });
    assert!(all.starts_with("ro,nosuid,nodev,noexec"), "{all}");
    let error = pod.failure(&["/data/sh", "-c", "true"], |plan| {
        let mut mount = Mount::bind(&volume, "/data");
        mount.flags.noexec = true;
        plan.mounts.push(mount);
    });
    assert_eq!(
        (error.stage, error.errno),
        (Stage::FindProgram, libc::EACCES)
    );
}

fn a_tmpfs_has_its_size_and_mode() {
    let pod = Pod::new();
    let printed = pod.sh(
        "stat -c %a /cache; head -c 200000 /dev/zero >/cache/big; stat -c %s /cache/big",
        |plan| {
            plan.mounts
                .push(Mount::tmpfs("/cache", Some(64 << 10), 0o1770));
        },
    );
    assert_eq!(printed, "1770\n65536", "writing stops at the size");
}

fn hugetlbfs_is_a_file_system_like_others() {
    if !Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        return; // This kernel has no huge pages of 2 MiB.
    }
    let pod = Pod::new();
    let printed = pod.sh("grep ' /huge ' /proc/self/mountinfo", |plan| {
        plan.mounts.push(Mount {
            source: MountSource::FileSystem {
                kind: string("hugetlbfs"),
                options: vec![(string("pagesize"), Some(string("2M")))],
            },
            ..Mount::tmpfs("/huge", None, 0o755)
        });
    });
    assert!(printed.contains(" - hugetlbfs "), "{printed}");
}
