//! Ways out over the launcher itself: its program, its descriptors, its privileges, and what waits beside it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use podyard_linux::{CapabilitySet, CapabilitySets, ContainerPlan, Mount, OomScoreAdj};
use podyard_linux::{PidNamespace, Stage};

use crate::world::{Pod, string};

tests![
    the_callers_program_cannot_be_overwritten_from_inside,
    a_program_that_was_replaced_is_protected_as_well,
    an_inherited_descriptor_is_no_working_directory,
    an_inherited_descriptor_leads_to_no_program,
    the_working_directory_is_inside_the_root,
    an_exec_is_not_looked_into_before_its_program_runs,
    an_exec_believes_nothing_that_the_containers_procfs_says,
    the_supervisor_is_out_of_reach,
    the_sandbox_cannot_be_killed_from_inside,
    the_callers_terminal_is_left_behind,
    nothing_is_gained_by_execve_with_no_new_privileges,
    root_has_no_inheritable_capabilities,
];

/// With this argument this program, executed inside a container, tries to destroy its own file.
pub(crate) const OVERWRITE_ROLE: &str = "overwrite";

#[expect(clippy::print_stdout, reason = "what this role is for")]
pub(crate) fn overwrite() {
    // Truncating asks the mount for permission before it asks whether somebody executes the file, so that the answer does
    // not depend on who does.
    let opened = File::options()
        .write(true)
        .truncate(true)
        .open("/proc/self/exe");
    match opened {
        Ok(_) => println!("overwritten"),
        Err(error) => println!("{}", error.raw_os_error().unwrap_or_default()),
    }
}

/// With this argument it removes its file, protects itself, and tries the same.
pub(crate) const REPLACED_ROLE: &str = "replaced";

pub(crate) fn protect_a_replaced_program() {
    // The second time it runs there is nothing left to remove.
    let _ = std::fs::remove_file(std::env::args().nth(2).unwrap());
    podyard_linux::protect_own_program().expect("executed anew");
    overwrite();
}

/// With this argument it tells which session keyring it has.
pub(crate) const KEYRING_ROLE: &str = "keyring";

#[expect(clippy::print_stdout, reason = "what this role is for")]
pub(crate) fn print_keyring() {
    println!("{}", session_keyring());
}

/// The serial number of the session keyring, -1 when there is none to be had.
#[expect(unsafe_code, reason = "keyctl has no safe wrapper")]
pub(crate) fn session_keyring() -> libc::c_long {
    const GET_KEYRING_ID: u64 = 0;
    const SESSION_KEYRING: i64 = -3;
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0) }
}

/// The host's libraries, so that this very program runs inside.
pub(crate) fn with_libraries(plan: &mut ContainerPlan<'_>) {
    for directory in ["/lib", "/lib64", "/usr/lib", "/usr/lib64"] {
        if std::fs::symlink_metadata(directory).is_ok_and(|kind| kind.is_dir()) {
            plan.mounts
                .push(Mount::bind(directory, directory).read_only());
        }
    }
}

/// CVE-2019-5736: an image whose entry point makes the launcher execute its own program, inside.
fn the_callers_program_cannot_be_overwritten_from_inside() {
    let pod = Pod::new();
    let layer = pod.layer("entry", |root| {
        let script = format!("#!/proc/self/exe {OVERWRITE_ROLE}\n");
        std::fs::write(root.join("entry"), script).unwrap();
        std::fs::set_permissions(root.join("entry"), PermissionsExt::from_mode(0o755)).unwrap();
    });
    for args in [&["/entry"][..], &["/proc/self/exe", OVERWRITE_ROLE]] {
        let outcome = pod.run(args, |plan| {
            plan.rootfs = pod.rootfs_over(&[&layer]);
            with_libraries(plan);
        });
        assert_eq!(outcome.success(), libc::EROFS.to_string(), "{args:?}");
    }
    // The same over an exec.
    let container = pod.start(&["sleep", "1000"], with_libraries);
    let outcome = container.exec(&["/proc/self/exe", OVERWRITE_ROLE], |_| {});
    assert_eq!(outcome.success(), libc::EROFS.to_string());
}

/// An update of the program while its old file is in use must not open the way again.
fn a_program_that_was_replaced_is_protected_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let output = std::process::Command::new(&program)
        .arg(REPLACED_ROLE)
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!program.exists());
    let printed = String::from_utf8(output.stdout).unwrap();
    // By the mount, or by the seals of a copy in memory.
    let refusals = [libc::EROFS, libc::EPERM].map(|errno| errno.to_string());
    assert!(refusals.contains(&printed.trim().to_owned()), "{printed}");
}

/// CVE-2024-21626: a descriptor of the host, not closed in time, as working directory.
fn an_inherited_descriptor_is_no_working_directory() {
    let pod = Pod::new();
    let _open = File::open("/").unwrap();
    let layer = pod.layer("link", |root| {
        symlink("/proc/self/fd/7", root.join("descriptor")).unwrap();
        symlink("/proc/self/root/../..", root.join("root")).unwrap();
    });
    let container = pod.start(&["sleep", "1000"], |_| {});
    for descriptor in 0..20 {
        let path = format!("/proc/self/fd/{descriptor}");
        let error = pod.failure(&["pwd"], |plan| plan.working_dir = string(&path));
        assert_eq!(error.stage, Stage::WorkingDirectory, "{path}");
        let exec = container.spawn_exec(&["pwd"], |plan| plan.working_dir = string(&path));
        assert_eq!(exec.unwrap().failure().stage, Stage::WorkingDirectory);
    }
    for link in ["/descriptor", "/root", "/proc/self/cwd", "/proc/1/root"] {
        let error = pod.failure(&["pwd"], |plan| {
            plan.rootfs = pod.rootfs_over(&[&layer]);
            plan.working_dir = string(link);
        });
        assert_eq!(error.stage, Stage::WorkingDirectory, "{link}");
        // Which descriptors are open at that moment is nobody's business; the others are always there.
        assert!(
            error.errno == libc::ELOOP || link == "/descriptor",
            "{link}: {error}"
        );
    }
}

/// CVE-2024-21626, the other way: a program of the host, reached over a descriptor that is open until execve.
fn an_inherited_descriptor_leads_to_no_program() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &podyard_linux::cgroup::Resources::default());
    let directory = || OwnedFd::from(File::open(crate::image::layer()).unwrap());
    let record = File::options()
        .append(true)
        .create(true)
        .open(pod.directory.path().join("record"))
        .unwrap();
    let places = |below: &str| {
        let places = (0..100).map(|descriptor| format!("/proc/self/fd/{descriptor}{below}"));
        places.collect::<Vec<_>>().join(":")
    };
    let error = pod.failure(&["busybox", "echo", "escaped"], |plan| {
        // The directories that a launcher holds open on the way: a volume's and a cgroup's.
        plan.mounts.push(Mount::bind_fd(directory(), "/data"));
        plan.cgroup = Some(&cgroup);
        plan.launch_record = Some(record.into());
        plan.env = vec![string(&format!("PATH={}", places("/usr/bin")))];
    });
    assert_eq!(
        (error.stage, error.errno),
        (Stage::FindProgram, libc::ENOENT)
    );
    // An interpreter is found by the kernel, past anything that a launcher could check.
    let layer = pod.layer("scripts", |root| {
        std::fs::create_dir(root.join("scripts")).unwrap();
        for descriptor in 3..100 {
            let file = root.join(format!("scripts/{descriptor}"));
            let script = format!("#!/proc/self/fd/{descriptor}/usr/bin/busybox sh\necho escaped\n");
            std::fs::write(&file, script).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
    });
    for descriptor in 3..40 {
        let error = pod.failure(&[&format!("/scripts/{descriptor}")], |plan| {
            plan.rootfs = pod.rootfs_over(&[&layer]);
            plan.mounts.push(Mount::bind_fd(directory(), "/data"));
            plan.cgroup = Some(&cgroup);
        });
        assert_eq!(error.stage, Stage::Execute, "{descriptor}");
    }
}

fn the_working_directory_is_inside_the_root() {
    let pod = Pod::new();
    let marker = pod.host_directory("marker").join("file");
    std::fs::write(&marker, "").unwrap();
    let up = "../".repeat(40);
    let path = marker.strip_prefix("/").unwrap().display();
    let printed = pod.sh(
        &format!("ls {up}; test -e {up}{path} || echo out of sight"),
        |plan| {
            plan.working_dir = string("/usr/bin");
        },
    );
    assert!(
        printed.contains("busybox") || printed.contains("usr"),
        "{printed}"
    );
    assert!(printed.ends_with("out of sight"), "{printed}");
}

/// CVE-2016-9962: a process on its way into the container, looked into by root of the container.
fn an_exec_is_not_looked_into_before_its_program_runs() {
    let pod = Pod::new();
    let container = pod.start(&["sleep", "1000"], |_| {});
    let mut waiting = container.spawn_exec(&["true"], |_| {}).unwrap();
    waiting.launch.wait_ready().unwrap();
    let script = "for d in /proc/[0-9]*; do
        p=${d#/proc/}; [ $p = 1 -o $p = $$ ] && continue
        for n in exe root cwd fd/0 fd/3 environ maps mem; do
          (cat $d/$n || ls $d/$n/ || readlink $d/$n) >/dev/null 2>&1 && echo $n can be opened
        done; echo looked at $p
      done; true";
    let printed = container.exec(&["sh", "-c", script], |_| {}).success();
    assert!(printed.contains("looked at"), "{printed}");
    assert!(!printed.contains("can be opened"), "{printed}");
    waiting.launch.wait_running().unwrap();
    assert_eq!(waiting.finish().code(), 0);
}

/// CVE-2025-52881: writes to procfs that go where the container's procfs says. The launcher writes none from inside.
fn an_exec_believes_nothing_that_the_containers_procfs_says() {
    let pod = Pod::new();
    let script = "echo untouched >/victim; mount -t tmpfs none /proc && mkdir -p /proc/self/fd /proc/self/attr
        for f in oom_score_adj uid_map gid_map setgroups attr/exec attr/apparmor; do ln -s /victim /proc/self/$f; done
        ln -s self /proc/thread-self; mkdir -p /proc/sys/net/ipv4; echo up; sleep 1000";
    let mut container = pod.start(&["sh", "-c", script], |plan| {
        plan.capabilities = CapabilitySets::of(CapabilitySet::available());
    });
    container.line();
    let exec = container.spawn_exec(&["cat", "/victim"], |plan| {
        plan.oom_score_adj = Some(OomScoreAdj {
            value: 500,
            required: true,
        });
        plan.user.uid = 1000;
    });
    let mut exec = exec.unwrap();
    exec.launch.wait_ready().unwrap();
    let score = format!("/proc/{}/oom_score_adj", exec.process().pid());
    assert_eq!(std::fs::read_to_string(score).unwrap(), "500\n");
    exec.launch.wait_running().unwrap();
    assert_eq!(exec.finish().success(), "untouched");
}

/// Signals to the process that made the container, and looks into it.
fn the_supervisor_is_out_of_reach() {
    let pod = Pod::new();
    let own = std::process::id();
    let printed = pod.sh(
        &format!("kill -0 {own} 2>&1; ls -d /proc/{own} 2>&1; grep PPid /proc/self/status; kill -9 -1; echo alive"),
        |_| {},
    );
    // The shell is pid 1, and everything it can see is its own.
    assert!(printed.contains("No such process"), "{printed}");
    assert!(printed.contains("No such file"), "{printed}");
    assert!(printed.contains("PPid:\t1\n"), "{printed}");
    assert!(printed.ends_with("alive"), "{printed}");
    // Where the pod shares the machine's pid namespace, its root may signal, as in Kubernetes, but not look.
    let script = format!(
        "for n in exe root cwd fd/0 environ maps mem; do
           (cat /proc/{own}/$n || ls /proc/{own}/$n/ || readlink /proc/{own}/$n) >/dev/null 2>&1 && echo $n
         done; ls -d /proc/{own}"
    );
    let printed = pod.sh(&script, |plan| plan.pid_namespace = PidNamespace::Host);
    assert_eq!(printed, format!("/proc/{own}"));
    let outcome = pod.run(&["kill", "-0", &own.to_string()], |plan| {
        plan.pid_namespace = PidNamespace::Host;
        plan.user.uid = 1000;
    });
    assert!(outcome.stderr.contains("not permitted"), "{outcome:?}");
}

fn the_sandbox_cannot_be_killed_from_inside() {
    let pod = Pod::with(|plan| plan.share_process_namespace = true);
    for signal in ["KILL", "STOP", "SEGV", "HUP"] {
        pod.sh(&format!("kill -{signal} 1"), |plan| {
            plan.pid_namespace = PidNamespace::Sandbox;
        });
    }
    let printed = pod.sh("grep State /proc/1/status", |plan| {
        plan.pid_namespace = PidNamespace::Sandbox;
    });
    assert!(printed.contains("sleeping"), "{printed}");
    assert!(pod.sandbox.process().peek_exit().is_none());
}

/// CVE-2016-7545 and its like: characters pushed into the terminal of the caller. There is none.
fn the_callers_terminal_is_left_behind() {
    let pod = Pod::new();
    let container = pod.start(&["sleep", "1000"], |_| {});
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", container.process().pid()));
    let stat = stat.unwrap();
    let fields: Vec<_> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    // Session and terminal, the fields 6 and 7.
    let pid = container.process().pid().to_string();
    assert_eq!((fields[3], fields[4]), (pid.as_str(), "0"));
    let exec = container.exec(&["sh", "-c", "echo x >/dev/tty"], |_| {});
    assert!(exec.stderr.contains("No such device"), "{exec:?}");
}

fn nothing_is_gained_by_execve_with_no_new_privileges() {
    let pod = Pod::new();
    let layer = pod.layer("suid", |root| {
        std::fs::copy(
            crate::image::layer().join("usr/bin/busybox"),
            root.join("crontab"),
        )
        .unwrap();
        std::fs::set_permissions(root.join("crontab"), PermissionsExt::from_mode(0o4755)).unwrap();
    });
    // An applet that refuses to go on unless it is root now.
    let outcome = |no_new_privileges| {
        pod.run(&["/crontab", "-l"], |plan| {
            plan.rootfs = pod.rootfs_over(&[&layer]);
            plan.user.uid = 1;
            plan.no_new_privileges = no_new_privileges;
        })
    };
    assert!(!outcome(false).stderr.contains("must be suid"));
    assert!(outcome(true).stderr.contains("must be suid"));
}

/// CVE-2022-24769 and CVE-2022-29162: inheritable capabilities, which file capabilities turn into real ones.
fn root_has_no_inheritable_capabilities() {
    let pod = Pod::new();
    let script = "grep -E 'Cap(Inh|Amb)' /proc/self/status";
    let none = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000";
    assert_eq!(pod.sh(script, |_| {}), none);
    let container = pod.start(&["sleep", "1000"], |_| {});
    let printed = container.exec(&["sh", "-c", script], |_| {}).success();
    assert_eq!(printed, none);
    assert!(Path::new("/proc/self/status").exists());
}
