//! Disks that are full, and logs that somebody removed: what cannot be written waits, and nothing is lost in silence.

use std::path::PathBuf;
use std::process::Command;

use podyard_e2e::manifest::{pod, sh};
use podyard_e2e::{Instance, assert_says, eventually};

/// A file system of its own, of so many bytes; taken away at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(size: &str, at: PathBuf) -> Self {
        std::fs::create_dir_all(&at).expect("directory");
        let disk = Self(at);
        disk.mounted(&format!("size={size}"));
        disk
    }

    fn grow(&self, size: &str) {
        self.mounted(&format!("remount,size={size}"));
    }

    fn mounted(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&self.0)
            .status();
        assert!(status.is_ok_and(|status| status.success()), "mount");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_full_disk() {
    let disk = SmallDisk::mount(
        "512k",
        std::env::temp_dir().join(format!("podyard-e2e-{}-disk", std::process::id())),
    );
    let podyard = Instance::at(&disk.0);
    let path = podyard.pod_file(&pod("p", "Never", &[], &[sh("app", "true")]));
    // As many bytes as there are.
    let filler = disk.0.join("filler");
    let _ = std::fs::write(&filler, vec![0; 1 << 20]);
    let output = podyard.run(&["run", &path]);
    assert_says(
        &output,
        5,
        &[
            "error:",
            "No space left on device",
            "hint: the disk is full: `podyard system df` shows",
        ],
    );
    assert_eq!(podyard.machine().left_behind(), [""; 0]);
    let output = podyard.run(&["image", "import", &Instance::archive("busybox")]);
    assert_says(
        &output,
        5,
        &[
            "error:",
            "No space left on device",
            "hint: the disk is full",
        ],
    );
    std::fs::remove_file(filler).expect("own file");
    podyard.finish();
}

/// Prints more than the disk holds, and less than that together with its pipe.
const LINES: usize = 5000;

fn printed() -> String {
    (0..LINES)
        .map(|n| format!("{n:07} {}\n", "x".repeat(92)))
        .collect()
}

/// A pod whose container has printed [`LINES`] lines and ended, of which its log holds only some.
fn one_with_a_full_log(podyard: &Instance) -> SmallDisk {
    let disk = SmallDisk::mount("256k", podyard.roots().logs().to_owned());
    let script = format!(
        "awk 'BEGIN {{ x = sprintf(\"%092d\", 0); gsub(/0/, \"x\", x); for (n = 0; n < {LINES}; n++) printf(\"%07d %s\\n\", n, x) }}'"
    );
    podyard.start(&pod("p", "Never", &[], &[sh("app", &script)]));
    podyard.wait_for_phase("p", "Succeeded");
    disk
}

#[test]
fn what_a_full_disk_does_not_take_is_written_when_there_is_room() {
    let podyard = Instance::new();
    let disk = one_with_a_full_log(&podyard);
    let first = podyard.logs("p", "app");
    assert!(printed().starts_with(&first) && first.len() < 300 << 10);
    disk.grow("4m");
    eventually("every line", || {
        (podyard.logs("p", "app") == printed()).then_some(())
    });
    podyard.ok(&["delete", "pod", "p"]);
    drop(disk);
    podyard.finish();
}

/// The keeper holds what is in the pipes, and the next supervisor knows of it.
#[test]
fn a_killed_supervisor_does_not_forget_what_waits_for_room() {
    let podyard = Instance::new();
    let disk = one_with_a_full_log(&podyard);
    let last = podyard.supervisor("p");
    assert!(podyard.kill_supervisor("p"));
    eventually("the next supervisor", || {
        (podyard.supervisor("p") != last).then_some(())
    });
    disk.grow("4m");
    eventually("every line", || {
        (podyard.logs("p", "app") == printed()).then_some(())
    });
    podyard.ok(&["delete", "pod", "p"]);
    drop(disk);
    podyard.finish();
}

/// Whoever deletes the pod does not want its logs, and may be about to make room.
#[test]
fn a_pod_whose_log_waits_for_room_can_be_deleted() {
    let podyard = Instance::new();
    let disk = one_with_a_full_log(&podyard);
    podyard.ok(&["delete", "pod", "p"]);
    drop(disk);
    podyard.finish();
}

#[test]
fn a_log_that_somebody_removed() {
    let podyard = Instance::new();
    let app = sh(
        "app",
        "echo hello; until test -e /d/go; do sleep 0.02; done; echo again",
    );
    podyard.start(&pod("p", "Never", &[], &[app]));
    podyard.wait_for_log("p", "app", "hello");
    std::fs::remove_dir_all(podyard.roots().logs()).expect("the logs");
    let output = podyard.run(&["logs", "p"]);
    assert_says(
        &output,
        3,
        &["the log of container `app` is gone", "/app/0.log`"],
    );
    // The pod does not mind, and writes another one before long.
    podyard.ok(&["exec", "p", "--", "true"]);
    podyard.touch("p", "d", "go");
    podyard.wait_for_log("p", "app", "again");
    podyard.finish();
}
