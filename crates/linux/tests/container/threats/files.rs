//! Ways out over mounts: links, races and covers.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use podyard_linux::{
    CapabilitySet, CapabilitySets, Mount, Stage, Stdio, SubPathError, open_sub_path,
};
use rustix::fs::{CWD, RenameFlags};

use crate::world::{Pod, string};

tests![
    an_image_moves_none_of_the_kernels_file_systems,
    masks_are_not_taken_from_the_container,
    the_console_goes_where_it_should,
    the_terminal_is_of_a_real_devpts,
    a_sub_path_never_leads_out_of_its_volume,
    a_mount_point_that_is_exchanged_never_leads_to_the_host,
    the_hosts_mounts_are_not_there_to_be_found,
    covers_cannot_be_taken_away,
];

/// Runs `job` while another thread exchanges two names, over and over.
fn while_exchanging(one: &Path, other: &Path, job: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        // The other thread must end also when the job panics.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

/// CVE-2019-19921, CVE-2023-27561 and CVE-2023-28642: `/proc` or `/sys` of the image is a link, so that what protects them is
/// mounted elsewhere.
fn an_image_moves_none_of_the_kernels_file_systems() {
    let pod = Pod::new();
    for place in ["proc", "sys", "dev"] {
        let layer = pod.layer(&format!("link-{place}"), |root| {
            symlink("/tmp", root.join(place)).unwrap();
        });
        let error = pod.failure(&["true"], |plan| {
            plan.rootfs = pod.rootfs_over(&[&layer]);
        });
        assert_eq!(
            (error.stage, error.errno),
            (Stage::MountTarget, libc::ELOOP),
            "{place}"
        );
        assert_eq!(error.subject, format!("/{place}"));
    }
}

/// CVE-2025-31133: `/dev/null` of the container is a link, so that masking mounts its target, writable, in place of the mask.
fn masks_are_not_taken_from_the_container() {
    let pod = Pod::new();
    let devices = pod.host_directory("dev");
    for (name, target) in [("null", "/proc/sys/kernel/core_pattern"), ("zero", "/proc")] {
        symlink(target, devices.join(name)).unwrap();
    }
    let script = "stat -c '%F %t:%T' /proc/interrupts; cat /proc/interrupts; (: >>/proc/sys/kernel/core_pattern) 2>&1";
    let outcome = pod.run(&["sh", "-c", script], |plan| {
        plan.mounts
            .retain(|mount| !mount.destination.starts_with("/dev"));
        plan.mounts.push(Mount::bind(&devices, "/dev"));
    });
    assert!(
        outcome.stdout.starts_with("character special file 1:3\n"),
        "{outcome:?}"
    );
    assert!(
        outcome.stdout.ends_with("Read-only file system\n"),
        "{outcome:?}"
    );
    assert_ne!(outcome.code(), 0);
}

/// CVE-2025-52565: `/dev/console` or the terminal is a link by the time it is mounted.
fn the_console_goes_where_it_should() {
    let pod = Pod::new();
    let devices = pod.host_directory("dev");
    std::fs::create_dir(devices.join("pts")).unwrap();
    symlink("/proc/sys/kernel/core_pattern", devices.join("console")).unwrap();
    let error = pod.failure(&["true"], |plan| {
        plan.stdio = Stdio::Terminal { size: None };
        for mount in &mut plan.mounts {
            if mount.destination == Path::new("/dev") {
                *mount = Mount::bind(&devices, "/dev");
            }
        }
    });
    assert_eq!((error.stage, error.errno), (Stage::Terminal, libc::ELOOP));
}

fn the_terminal_is_of_a_real_devpts() {
    let pod = Pod::new();
    let fake = pod.host_directory("pts");
    std::fs::write(fake.join("ptmx"), "").unwrap();
    let error = pod.failure(&["true"], |plan| {
        plan.stdio = Stdio::Terminal { size: None };
        for mount in &mut plan.mounts {
            if mount.destination == Path::new("/dev/pts") {
                *mount = Mount::bind(&fake, "/dev/pts");
            }
        }
    });
    assert_eq!((error.stage, error.errno), (Stage::Terminal, libc::ENODEV));
}

/// CVE-2017-1002101 (a link in the volume) and CVE-2021-25741 (a link that appears between check and use).
fn a_sub_path_never_leads_out_of_its_volume() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir_all(path("volume/real/below")).unwrap();
    std::fs::create_dir_all(path("outside/below")).unwrap();
    symlink(path("outside"), path("volume/link")).unwrap();
    let volume = File::open(path("volume")).unwrap();
    let outside =
        [path("outside"), path("outside/below")].map(|path| path.metadata().unwrap().ino());
    let (mut inside, mut refused) = (0, 0);
    while_exchanging(&path("volume/real"), &path("volume/link"), || {
        for round in 0..20_000 {
            let sub_path = ["real", "real/below", "real/new"][round % 3];
            match open_sub_path(volume.as_fd(), Path::new(sub_path)) {
                Ok(opened) => {
                    inside += 1;
                    let inode = rustix::fs::fstat(&opened).unwrap().st_ino;
                    assert!(!outside.contains(&inode), "{sub_path} in round {round}");
                }
                Err(SubPathError::Malformed { .. }) => panic!("{sub_path}"),
                Err(_) => refused += 1,
            }
        }
    });
    assert!(
        inside > 0 && refused > 0,
        "{inside} inside, {refused} refused"
    );
    let made = std::fs::read_dir(path("outside")).unwrap().count();
    assert_eq!(made, 1, "nothing was made outside");
}

/// CVE-2021-30465 and CVE-2024-45310: a mount point in a shared volume is exchanged for a link while it is mounted on.
fn a_mount_point_that_is_exchanged_never_leads_to_the_host() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    let inner = pod.host_directory("inner");
    std::fs::create_dir(volume.join("place")).unwrap();
    let climbing = format!("{}podyard-test-escape", "../".repeat(30));
    symlink(&climbing, volume.join("link")).unwrap();
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut mounted = 0;
    while_exchanging(&volume.join("place"), &volume.join("link"), || {
        for _ in 0..40 {
            let mut running = pod
                .spawn(&["cat", "/proc/self/mountinfo"], |plan| {
                    plan.mounts.push(Mount::bind(&volume, "/data"));
                    plan.mounts.push(Mount::bind(&inner, "/data/place/target"));
                })
                .unwrap();
            if running.launch.wait_running().is_err() {
                continue;
            }
            mounted += 1;
            // Over the link, it is at the same path below the container's own root.
            let mountinfo = running.finish().success();
            let places = [
                "/data/place/target",
                "/data/link/target",
                "/podyard-test-escape/target",
            ];
            assert!(
                places
                    .iter()
                    .any(|place| mountinfo.contains(&format!(" {place} "))),
                "{mountinfo}"
            );
        }
    });
    assert!(mounted > 0);
    assert!(!Path::new("/podyard-test-escape").exists());
    assert_eq!(
        std::fs::read_to_string("/proc/self/mountinfo").unwrap(),
        before
    );
}

/// Even root of a privileged container finds no mount of the host in its namespace, and nothing behind its root: `..` does not lead
/// there, entering the namespace leads to the same root, and who takes it away is left with what he has.
fn the_hosts_mounts_are_not_there_to_be_found() {
    let pod = Pod::new();
    let printed = pod.sh(
        "cat /proc/self/mountinfo; umount / 2>&1; cd ../../../..; ls; nsenter -t 1 -m sh -c 'cd ../..; ls'; umount -l / && ls /",
        |plan| {
            plan.capabilities = CapabilitySets::of(CapabilitySet::available());
            plan.masked_paths.clear();
            plan.readonly_paths.clear();
        },
    );
    let host = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let devices = |mountinfo: &str| -> Vec<String> {
        let lines = mountinfo.lines().filter(|line| line.contains(" - "));
        lines
            .filter_map(|line| line.split(' ').nth(2).map(str::to_owned))
            .collect()
    };
    let host_root = host.lines().find(|line| line.contains(" / / ")).unwrap();
    let host_root = host_root.split(' ').nth(2).unwrap().to_owned();
    assert!(!devices(&printed).contains(&host_root), "{printed}");
    // Its own root each time.
    assert_eq!(printed.matches("usr").count(), 3, "{printed}");
    assert!(!printed.contains("pause"), "{printed}");
}

/// What hides and protects can be taken away only with `CAP_SYS_ADMIN`.
fn covers_cannot_be_taken_away() {
    let pod = Pod::new();
    let script = "for m in $(cut -d' ' -f5 /proc/self/mountinfo); do
          umount $m 2>/dev/null && echo $m unmounted
          mount -o remount,rw,bind $m 2>/dev/null && echo $m remounted
        done
        mount -t tmpfs none /mnt 2>/dev/null && echo mounted
        mount -t proc none /tmp 2>/dev/null && echo mounted proc
        mount -o bind /tmp /proc 2>/dev/null && echo bound; true";
    let printed = pod.sh(script, |plan| plan.working_dir = string("/tmp"));
    assert_eq!(printed, "");
}
