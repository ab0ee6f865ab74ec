//! What is run, as whom, and how it ends.

use std::os::unix::fs::PermissionsExt;

use podyard_linux::{LaunchError, OomScoreAdj, Rlimit, SecurityLabel, Stage, WaitStatus};

use crate::world::{Pod, string, strings};

tests![
    arguments_and_environment_are_as_planned,
    nothing_of_the_hosts_environment_comes_in,
    programs_are_found_in_the_path,
    a_missing_program_is_named,
    what_cannot_be_executed_is_told_apart,
    exit_codes_and_signals_come_back,
    signals_have_their_default_actions,
    users_and_groups_are_the_plans,
    the_working_directory_is_made_and_entered,
    a_file_is_no_working_directory,
    umask_and_limits_are_set,
    limits_nobody_can_have_fail_at_their_step,
    only_standard_descriptors_are_open,
    pipes_can_be_opened_again_by_any_user,
    the_oom_score_is_set_before_the_program_runs,
    a_security_profile_nobody_has_is_refused,
];

fn arguments_and_environment_are_as_planned() {
    let pod = Pod::new();
    let script = r#"echo "$0|$1|$2|$#"; env | sort"#;
    let printed = pod
        .run(&["sh", "-c", script, "zero", "", "two words"], |plan| {
            plan.env = strings(&["PATH=/usr/bin", "B=2", "A=with = and\ttab", "EMPTY="]);
        })
        .success();
    let mut lines = printed.lines();
    assert_eq!(lines.next(), Some("zero||two words|2"));
    // The shell adds SHLVL and PWD by itself.
    let environment: Vec<_> = lines
        .filter(|line| !line.starts_with("SHLVL=") && !line.starts_with("PWD="))
        .collect();
    assert_eq!(
        environment,
        ["A=with = and\ttab", "B=2", "EMPTY=", "PATH=/usr/bin"]
    );
}

fn nothing_of_the_hosts_environment_comes_in() {
    let pod = Pod::new();
    let environment = pod
        .run(&["/usr/bin/env"], |plan| plan.env.clear())
        .success();
    assert_eq!(environment, "");
}

fn programs_are_found_in_the_path() {
    let pod = Pod::new();
    let layer = pod.layer("tools", |root| {
        for (directory, mode) in [("first", 0o644), ("second", 0o755), ("work", 0o755)] {
            let file = root.join(directory).join("tool");
            std::fs::create_dir(root.join(directory)).unwrap();
            std::fs::write(&file, format!("#!/bin/sh\necho {directory}\n")).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::create_dir_all(root.join("third/tool")).unwrap();
    });
    let check = |path: &str, expected: &str| {
        let outcome = pod.run(&["tool"], |plan| {
            plan.rootfs = pod.rootfs_over(&[&layer]);
            plan.working_dir = string("/work");
            plan.env = strings(&[path]);
        });
        assert_eq!(outcome.success(), expected, "{path}");
    };
    check("PATH=/second:/first", "second");
    // What cannot be executed is passed over, as are directories and places that do not exist.
    check("PATH=/nowhere:/third:/first:/second", "second");
    check("PATH=/nowhere::/second", "work");
}

fn a_missing_program_is_named() {
    let pod = Pod::new();
    let check = |program: &str, errno: i32, text: &str| {
        let error = pod.failure(&[program], |_| {});
        assert_eq!(error.stage, Stage::FindProgram, "{program}");
        assert_eq!(error.errno, errno, "{program}");
        assert_eq!(error.subject, program);
        assert_eq!(error.oci_text(), text);
    };
    check(
        "nope",
        libc::ENOENT,
        "exec: \"nope\": executable file not found in $PATH",
    );
    check(
        "/nope",
        libc::ENOENT,
        "exec: \"/nope\": stat /nope: no such file or directory",
    );
    check(
        "/etc/passwd",
        libc::EACCES,
        "exec: \"/etc/passwd\": permission denied",
    );
    check("/etc", libc::EISDIR, "exec: \"/etc\": is a directory");
    assert!(matches!(
        pod.spawn(&[], |_| {}),
        Err(LaunchError::NoCommand)
    ));
}

fn what_cannot_be_executed_is_told_apart() {
    let pod = Pod::new();
    let layer = pod.layer("broken", |root| {
        for (name, content) in [("text", "no program"), ("script", "#!/no/interpreter\n")] {
            std::fs::write(root.join(name), content).unwrap();
            std::fs::set_permissions(root.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
    });
    let check = |program: &str, errno: i32| {
        let error = pod.failure(&[program], |plan| {
            plan.rootfs = pod.rootfs_over(&[&layer]);
        });
        assert_eq!((error.stage, error.errno), (Stage::Execute, errno));
        assert_eq!(error.subject, program);
    };
    check("/text", libc::ENOEXEC);
    check("/script", libc::ENOENT);
}

fn exit_codes_and_signals_come_back() {
    let pod = Pod::new();
    for code in [0, 1, 42, 137, 255] {
        let outcome = pod.run(&["sh", "-c", &format!("exit {code}")], |_| {});
        assert_eq!(outcome.status, WaitStatus::Exited(code));
    }
    // SIGKILL and SIGTERM from outside; a first process ignores the latter unless it has a handler.
    let script = "trap 'exit 7' TERM; echo up; sleep 1000 & wait";
    let mut running = pod.start(&["sh", "-c", script], |_| {});
    running.line();
    running.signal(libc::SIGTERM);
    assert_eq!(running.finish().status, WaitStatus::Exited(7));
    let outcome = pod.start(&["sleep", "1000"], |_| {}).kill();
    assert_eq!(outcome.code(), 137);
    let core_dumped = false;
    let signal = libc::SIGKILL;
    assert_eq!(
        outcome.status,
        WaitStatus::Signaled {
            signal,
            core_dumped
        }
    );
}

fn signals_have_their_default_actions() {
    let pod = Pod::new();
    let args = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"];
    let status = pod.run(&args, |_| {}).success();
    for line in status.lines() {
        let (_, mask) = line.split_once(':').unwrap();
        assert_eq!(mask.trim(), "0000000000000000", "{line}");
    }
}

fn users_and_groups_are_the_plans() {
    let pod = Pod::new();
    let printed = pod.sh("id -u; id -g; id -G; grep Cap /proc/self/status", |plan| {
        plan.user.uid = 1000;
        plan.user.gid = 2000;
        plan.user.additional_gids = vec![3000, 4000];
    });
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[..3], ["1000", "2000", "2000 3000 4000"]);
    // Nobody but root keeps capabilities over execve; what they can get at most stays.
    let zero = "0000000000000000";
    let expected = [
        ("CapInh", zero),
        ("CapPrm", zero),
        ("CapEff", zero),
        ("CapBnd", "00000000a80425fb"),
        ("CapAmb", zero),
    ];
    for (line, (name, mask)) in lines[3..].iter().zip(expected) {
        assert_eq!(*line, format!("{name}:\t{mask}"));
    }
    // The caller's own groups are left behind.
    assert_eq!(pod.sh("id -G", |_| {}), "0");
}

fn the_working_directory_is_made_and_entered() {
    let pod = Pod::new();
    let printed = pod.sh("pwd; stat -c '%a %u' . ..", |plan| {
        plan.working_dir = string("/not/yet/there");
        plan.user.uid = 1000;
    });
    assert_eq!(printed, "/not/yet/there\n755 0\n755 0");
    let layer = pod.layer("link", |root| {
        std::os::unix::fs::symlink("/etc", root.join("elsewhere")).unwrap();
    });
    let printed = pod.sh("/usr/bin/pwd -P", |plan| {
        plan.rootfs = pod.rootfs_over(&[&layer]);
        plan.working_dir = string("/elsewhere");
    });
    assert_eq!(printed, "/etc", "links are followed inside the root");
}

fn a_file_is_no_working_directory() {
    let pod = Pod::new();
    let error = pod.failure(&["true"], |plan| plan.working_dir = string("/etc/passwd"));
    assert_eq!(error.stage, Stage::WorkingDirectory);
    assert_eq!(error.errno, libc::ENOTDIR);
    assert_eq!(
        error.oci_text(),
        "chdir to cwd (\"/etc/passwd\") failed: not a directory"
    );
    let relative = pod.spawn(&["true"], |plan| plan.working_dir = string("etc"));
    assert!(matches!(relative, Err(LaunchError::Path { .. })));
}

fn umask_and_limits_are_set() {
    let pod = Pod::new();
    let printed = pod.sh("umask; ulimit -Sn; ulimit -Hn; ulimit -Sc", |plan| {
        plan.umask = 0o027;
        plan.rlimits = vec![
            rlimit(libc::RLIMIT_NOFILE, 64, 128),
            rlimit(libc::RLIMIT_CORE, 0, 0),
        ];
    });
    assert_eq!(printed, "0027\n64\n128\n0");
    assert_eq!(pod.sh("umask", |_| {}), "0022");
}

const fn rlimit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> Rlimit {
    Rlimit {
        resource,
        soft,
        hard,
    }
}

fn limits_nobody_can_have_fail_at_their_step() {
    let pod = Pod::new();
    let error = pod.failure(&["true"], |plan| {
        plan.rlimits = vec![
            rlimit(libc::RLIMIT_CORE, 0, 0),
            rlimit(libc::RLIMIT_NOFILE, 2, 1),
        ];
    });
    assert_eq!(error.stage, Stage::ResourceLimit);
    assert_eq!((error.errno, error.detail), (libc::EINVAL, 1));
}

fn only_standard_descriptors_are_open() {
    // What the caller has open without close-on-exec would be inherited by a careless launcher.
    let open: Vec<_> = (0..3)
        .map(|_| {
            let flags = rustix::fs::OFlags::RDONLY;
            rustix::fs::open("/etc", flags, rustix::fs::Mode::empty()).unwrap()
        })
        .collect();
    let pod = Pod::new();
    // The shell itself, pid 1, has nothing open while it waits for `ls`.
    let printed = pod.sh("ls -l /proc/1/fd; true", |_| {});
    let links: Vec<_> = printed
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .map(|(entry, link)| {
            let descriptor = entry.rsplit(' ').next().unwrap();
            (descriptor, link.split(':').next().unwrap())
        })
        .collect();
    assert_eq!(links, [("0", "/dev/null"), ("1", "pipe"), ("2", "pipe")]);
    drop(open);
}

fn pipes_can_be_opened_again_by_any_user() {
    let pod = Pod::new();
    let outcome = pod.run(
        &["sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr"],
        |plan| plan.user.uid = 4242,
    );
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("out\n", "err\n")
    );
}

fn the_oom_score_is_set_before_the_program_runs() {
    let pod = Pod::new();
    let score = |value, required| {
        pod.sh("cat /proc/self/oom_score_adj", |plan| {
            plan.oom_score_adj = Some(OomScoreAdj { value, required });
        })
    };
    assert_eq!(score(321, true), "321");
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let may_lower =
        podyard_linux::CapabilitySet::available().contains("SYS_RESOURCE".parse().unwrap());
    // Without the privilege the container keeps its creator's value, or fails to start when that is not good enough.
    if may_lower {
        assert_eq!(score(-500, true), "-500");
    } else {
        assert_eq!(score(-500, false), own.trim());
        let error = pod.failure(&["true"], |plan| {
            plan.oom_score_adj = Some(OomScoreAdj {
                value: -500,
                required: true,
            });
        });
        assert_eq!(error.stage, Stage::OomScoreAdj);
        assert_eq!(error.subject, "-500");
    }
}

/// On a machine without AppArmor or SELinux as well as on one that does not know the profile.
fn a_security_profile_nobody_has_is_refused() {
    let pod = Pod::new();
    for label in [
        SecurityLabel::AppArmor(string("podyard-test-no-such-profile")),
        SecurityLabel::Selinux(string("no:such:context:s0")),
    ] {
        let error = pod.failure(&["true"], |plan| plan.security_label = Some(label.clone()));
        assert_eq!(error.stage, Stage::SecurityLabel);
        let (SecurityLabel::AppArmor(name) | SecurityLabel::Selinux(name)) = label;
        assert_eq!(error.subject.as_bytes(), name.as_bytes());
    }
}
