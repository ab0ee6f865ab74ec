//! Supervisors, keepers and the machine itself die at the worst moments, and nothing is lost.
//!
//! The same pod runs again and again. It has init containers that count their runs in a volume and an app that prints numbered lines; each
//! time, its supervisor is killed at another moment. Whatever the moment was: every init container has run once, in its order and before
//! the app; every line is in the log once; every exit code is known; the commands work.

use std::process::Command;
use std::time::Duration;

use podyard_e2e::manifest::{HANG, READY, nth, pod, sh, sidecar, with, with_spec};
use podyard_e2e::{Instance, assert_says, container, eventually};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Lines that the app prints.
const LINES: usize = 400;

/// What [`eventful`] has at least: the start and the end of each of four containers, and the pod's own.
const TURNS: usize = 10;

fn kill(process: i32) {
    let process = Pid::from_raw(process).expect("not zero");
    // Gone already is as good.
    let _ = kill_process(process, Signal::KILL);
}

/// A pod with everything a kill can hit: init containers, a sidecar, an app that prints, an exit code of its own, a slow end.
fn eventful(name: &str) -> Value {
    let count = |name: &str| format!("echo {name} >> /d/order");
    let app = format!(
        "{}; i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; echo error $i >&2; done; cat /d/order; exit 7",
        count("app")
    );
    pod(
        name,
        "Never",
        &[
            sh("i1", &count("i1")),
            sidecar(
                "s",
                &format!(
                    "trap 'echo stopped; exit 0' TERM; {}; while :; do sleep 0.01; done",
                    count("s")
                ),
            ),
            sh(
                "i2",
                &format!(
                    "until grep -q s /d/order; do sleep 0.01; done; {}",
                    count("i2")
                ),
            ),
        ],
        &[sh("app", &app)],
    )
}

/// What must be true of [`eventful`] whatever happened.
fn assert_undisturbed(podyard: &Instance, name: &str, when: &str) {
    let pod = podyard.wait_for_phase(name, "Failed");
    // Told with every failure: a run that a seed found is not easily had again.
    let when = format!("{when}\n{}\n", podyard.story(name));
    for (container_name, code) in [("i1", 0), ("i2", 0), ("app", 7), ("s", 0)] {
        let status = container(&pod, container_name);
        let ended = &status["state"]["terminated"]["exitCode"];
        assert_eq!(ended, code, "{when}: {container_name}:");
        assert_eq!(status["restartCount"], 0, "{when}: {container_name}");
    }
    let expected: String = (1..=LINES).map(|i| format!("line {i}\n")).collect();
    let errors: String = (1..=LINES).map(|i| format!("error {i}\n")).collect();
    let log = podyard.logs(name, "app");
    let (printed, failed): (Vec<&str>, Vec<&str>) =
        log.lines().partition(|line| !line.starts_with("error"));
    assert_eq!(
        printed.join("\n") + "\n",
        expected + "i1\ns\ni2\napp\n",
        "{when}"
    );
    assert_eq!(failed.join("\n") + "\n", errors, "{when}");
    assert_eq!(podyard.logs(name, "s"), "stopped\n", "{when}");
    let spans = podyard.spans(name);
    let of = |name: &str| {
        let mut of = spans.iter().filter(|span| span.name == name);
        let one = of.next().expect(name);
        assert_eq!(of.next(), None, "{when}: {name} ran twice");
        one
    };
    assert!(of("i1").ended_at() <= of("s").started_at(), "{when}");
    assert!(of("i2").ended_at() <= of("app").started_at(), "{when}");
}

/// The supervisor dies right after it has written down its n-th turn, while it is about to do what it has decided: for every n.
#[test]
fn a_supervisor_may_die_after_any_turn() {
    let podyard = Instance::new();
    let mut turns = 1;
    loop {
        let name = format!("turn-{turns}");
        podyard.start(&eventful(&name));
        let dirs = podyard.dirs(&name);
        let has_ended = || dirs.final_status().exists();
        let supervisor = eventually("a supervisor, or the end", || {
            let found = podyard.find_supervisor(&name);
            (found.is_some() || has_ended()).then_some(found)
        });
        // Not polled with pauses: the moment is what matters.
        let mut written = 0;
        while written < turns && !has_ended() {
            let journal = std::fs::read(dirs.journal()).unwrap_or_default();
            written = journal.iter().filter(|byte| **byte == b'\n').count();
        }
        if let Some(supervisor) = supervisor {
            kill(supervisor);
        }
        assert_undisturbed(&podyard, &name, &format!("killed after turn {turns}"));
        podyard.ok(&["delete", "pod", &name]);
        if written >= turns && supervisor.is_some() {
            turns += 1;
        } else if turns > TURNS {
            break;
        }
        // Otherwise it ended before this test, on a busy machine, had seen the turn: again.
    }
    podyard.finish();
}

/// Two supervisors of each pod die at moments that a fixed seed chooses.
fn at_random_moments(seed: u64) {
    let podyard = Instance::new();
    let mut random = seed;
    let mut moment = |up_to: u64| {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        Duration::from_micros(random % up_to)
    };
    for round in 0..12 {
        let name = format!("round-{round}");
        podyard.start(&eventful(&name));
        let moments = [moment(150_000), moment(100_000)];
        for wait in moments {
            std::thread::sleep(wait);
            let lock = podyard.dirs(&name).supervisor_lock();
            if let Ok(process) = std::fs::read_to_string(lock)
                .unwrap_or_default()
                .trim()
                .parse()
            {
                kill(process);
            }
            // Whoever looks right now gets an answer.
            let _ = podyard.pod(&name);
        }
        assert_undisturbed(
            &podyard,
            &name,
            &format!("seed {seed} round {round} {moments:?}"),
        );
        podyard.ok(&["delete", "pod", &name]);
    }
    podyard.finish();
}

#[test]
fn a_supervisor_may_die_at_random_moments() {
    at_random_moments(0x9e37_79b9_7f4a_7c15);
}

#[test]
fn a_supervisor_may_die_at_other_random_moments() {
    at_random_moments(0xd1b5_4a32_d192_ed03);
}

#[test]
fn every_command_works_after_the_supervisor_was_killed() {
    let podyard = Instance::new();
    let app = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let pod = pod("p", "Always", &[sh("i1", "echo init")], &[sh("app", app)]);
    let commands: [&[&str]; 5] = [
        &["get", "pods"],
        &["describe", "pod", "p"],
        &["logs", "p"],
        &["exec", "p", "--", "true"],
        &["delete", "pod", "p"],
    ];
    podyard.start(&pod);
    podyard.wait_for_log("p", "app", "ready");
    for command in commands {
        // The one of the last round may only just have been replaced.
        eventually("a supervisor", || {
            podyard.kill_supervisor("p").then_some(())
        });
        podyard.ok(command);
    }
    podyard.assert_nothing_left();
    podyard.finish();
}

/// While nobody supervises it, a container goes on, prints and ends; the next supervisor knows all of it.
#[test]
fn an_exit_that_nobody_saw_is_known() {
    let podyard = Instance::new();
    let app = "echo before; until [ -e /d/go ]; do sleep 0.01; done; echo after; exit 23";
    podyard.start(&pod("p", "Never", &[], &[sh("app", app)]));
    podyard.wait_for_log("p", "app", "before");
    let go = podyard.dirs("p").volume("empty-dir", "d").join("go");
    assert!(podyard.kill_supervisor("p"));
    std::fs::write(go, "").expect("the volume");
    let pod = podyard.wait_for_phase("p", "Failed");
    let ended = &container(&pod, "app")["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(23), &json!("Error"))
    );
    assert_eq!(podyard.logs("p", "app"), "before\nafter\n");
    podyard.finish();
}

/// More than a pipe holds is printed while supervisors come and go.
#[test]
fn no_line_is_lost_over_many_supervisors() {
    let podyard = Instance::new();
    let lines = 60_000;
    let app = format!("seq 1 {lines}; until [ -e /d/go ]; do sleep 0.01; done; echo end");
    podyard.start(&pod("p", "Never", &[], &[sh("app", &app)]));
    podyard.wait_for_log("p", "app", "1\n");
    for _ in 0..4 {
        podyard.kill_supervisor("p");
        // The next one has taken over as soon as it answers.
        podyard.ok(&["exec", "p", "--", "true"]);
    }
    podyard.touch("p", "d", "go");
    podyard.wait_for_phase("p", "Succeeded");
    let expected: String = (1..=lines).map(|i| format!("{i}\n")).collect();
    assert!(
        podyard.logs("p", "app") == expected + "end\n",
        "lines are missing, or there twice"
    );
    podyard.finish();
}

#[test]
fn followers_of_a_log_do_not_notice() {
    let podyard = Instance::new();
    let app = "echo one; until [ -e /d/go ]; do sleep 0.01; done; echo two";
    podyard.start(&pod("p", "Never", &[], &[sh("app", app)]));
    podyard.wait_for_log("p", "app", "one");
    let follower = podyard.spawn(&["logs", "p", "-f"]);
    assert!(podyard.kill_supervisor("p"));
    podyard.touch("p", "d", "go");
    let output = follower.wait_with_output().expect("a child");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "one\ntwo\n",
        "{output:?}"
    );
    podyard.finish();
}

#[test]
fn a_foreground_run_does_not_notice_either() {
    let podyard = Instance::new();
    let app = "until [ -e /d/go ]; do sleep 0.01; done; echo two; exit 9";
    let path = podyard.pod_file(&pod(
        "p",
        "Never",
        &[sh("i1", "echo one")],
        &[sh("app", app)],
    ));
    let run = podyard.spawn(&["run", &path]);
    eventually("the pod is there", || {
        podyard
            .run(&["exec", "p", "--", "true"])
            .status
            .success()
            .then_some(())
    });
    assert!(podyard.kill_supervisor("p"));
    podyard.touch("p", "d", "go");
    let output = run.wait_with_output().expect("a child");
    assert_says(&output, 9, &["ended with exit code 9"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "[i1]  one\n[app] two\n"
    );
    podyard.finish();
}

/// A supervisor that dies while it ends a pod leaves the end to the next one.
#[test]
fn a_deletion_goes_on() {
    let podyard = Instance::new();
    let app = "trap 'echo bye; sleep 0.2; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    podyard.start(&pod("p", "Always", &[], &[sh("app", app)]));
    podyard.wait_for_log("p", "app", "ready");
    podyard.ok(&["delete", "pod", "p", "--wait=false"]);
    podyard.kill_supervisor("p");
    podyard.assert_nothing_left();
    podyard.finish();
}

#[test]
fn a_back_off_goes_on() {
    let podyard = Instance::new();
    let init = sh("i1", &nth("i1", &["exit 1", "exit 1", "exit 0"]));
    podyard.start_with(
        &pod("p", "Always", &[init], &[sh("app", HANG)]),
        &["--backoff", "0.1"],
    );
    podyard.wait_for("p", "back-off", |pod| {
        container(pod, "i1")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    podyard.kill_supervisor("p");
    podyard.wait_for_condition("p", "Ready");
    let spans = podyard.spans_of("p", "i1");
    assert_eq!(spans.len(), 3);
    // Neither cut short nor begun anew: a tenth of 10 s, and far from two of them.
    let wait = spans[2].started_at() - spans[1].ended_at();
    assert!(wait >= 1_000_000_000, "{wait}");
    podyard.finish();
}

#[test]
fn without_its_keeper_a_pod_goes_on() {
    let podyard = Instance::new();
    podyard.start(&pod("p", "Always", &[], &[sh("app", READY)]));
    podyard.wait_for_log("p", "app", "ready");
    let before = podyard.wait_for_condition("p", "Ready");
    let keeper = podyard.keeper("p");
    kill(keeper);
    podyard.ok(&["get", "pods"]);
    assert_eq!(podyard.logs("p", "app"), "ready\n");
    // A command that reaches the old supervisor in its last moment is told that the connection broke.
    eventually("another keeper", || {
        let path = podyard.dirs("p").keeper_lock();
        (path.exists() && podyard.keeper("p") != keeper).then_some(())
    });
    podyard.ok(&["exec", "p", "--", "true"]);
    let after = podyard.pod("p");
    let id = |pod: &Value| container(pod, "app")["containerID"].clone();
    assert_eq!(id(&before), id(&after), "the container is still the same");
    podyard.ok(&["delete", "pod", "p"]);
    podyard.assert_nothing_left();
    podyard.finish();
}

#[test]
fn without_keeper_and_supervisor_the_next_command_takes_over() {
    let podyard = Instance::new();
    let app = "echo ready; until [ -e /d/go ]; do sleep 0.01; done; echo done; exit 5";
    podyard.start(&pod("p", "Never", &[], &[sh("app", app)]));
    podyard.wait_for_log("p", "app", "ready");
    let before = podyard.wait_for_condition("p", "Ready");
    kill_keeper_and_supervisor(&podyard, "p");
    podyard.ok(&["exec", "p", "--", "true"]);
    podyard.touch("p", "d", "go");
    let pod = podyard.wait_for_phase("p", "Failed");
    let id = |state: &Value| state["containerID"].clone();
    assert_eq!(
        id(container(&before, "app")),
        id(&container(&pod, "app")["state"]["terminated"])
    );
    assert_eq!(podyard.logs("p", "app"), "ready\ndone\n");
    podyard.finish();
}

/// Ends both, so that neither can replace the other.
fn kill_keeper_and_supervisor(podyard: &Instance, name: &str) {
    let (keeper, supervisor) = (podyard.keeper(name), podyard.supervisor(name));
    assert!(Instance::signal(keeper, "STOP"));
    kill(supervisor);
    kill(keeper);
    // Their locks and the socket are in use until they are gone.
    eventually("keeper and supervisor are gone", || {
        let dirs = podyard.dirs(name);
        let is_free = |lock: std::path::PathBuf| {
            let file = std::fs::File::open(lock).ok()?;
            flock(&file, FlockOperation::NonBlockingLockShared).ok()
        };
        is_free(dirs.keeper_lock())?;
        is_free(dirs.supervisor_lock())
    });
}

/// After a reboot there are no processes, no volatile files and nothing of the network; what was on the disk is there.
fn reboot(podyard: &Instance, name: &str) {
    let dirs = podyard.dirs(name);
    let record = std::fs::read_to_string(dirs.sandbox()).expect("the sandbox's record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    kill_keeper_and_supervisor(podyard, name);
    for process in podyard.machine().processes() {
        kill(process.id);
    }
    eventually("every process is gone", || {
        podyard.machine().processes().is_empty().then_some(())
    });
    std::fs::remove_dir_all(dirs.run).expect("its volatile directory");
    std::fs::remove_dir_all(podyard.roots().network()).expect("its leases");
    let table = format!("podyard_{}", podyard.roots().instance());
    let subnet = record["network"]["subnet"].as_str().expect("a subnet");
    for command in [
        &["nft", "delete", "table", "ip", &table][..],
        &["ip", "route", "delete", "unreachable", subnet],
    ] {
        let status = Command::new(command[0]).args(&command[1..]).status();
        assert!(status.is_ok_and(|status| status.success()), "{command:?}");
    }
}

#[test]
fn a_reboot_repeats_init_and_restarts_the_app() {
    let podyard = Instance::new();
    let init = sh("i1", "echo i1 >> /d/runs");
    let app = sh("app", &format!("echo app >> /d/runs; echo ready; {HANG}"));
    podyard.start(&pod("p", "Always", &[init], &[app]));
    podyard.wait_for_condition("p", "Ready");
    reboot(&podyard, "p");
    let pod = podyard.wait_for("p", "the second run", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 1 && app["state"]["running"].is_object()
    });
    assert_eq!(container(&pod, "i1")["restartCount"], 1);
    assert_eq!(
        podyard.ok(&["exec", "p", "--", "cat", "/d/runs"]),
        "i1\napp\ni1\napp\n",
        "the volume was kept"
    );
    podyard.ok(&["delete", "pod", "p", "--force"]);
    podyard.finish();
}

#[test]
fn a_reboot_ends_a_pod_that_is_never_restarted() {
    let podyard = Instance::new();
    podyard.start(&pod(
        "p",
        "Never",
        &[],
        &[sh("app", &format!("echo ready; {HANG}"))],
    ));
    podyard.wait_for_log("p", "app", "ready");
    reboot(&podyard, "p");
    podyard.wait_for_phase("p", "Failed");
    assert_eq!(podyard.logs("p", "app"), "ready\n");
    podyard.finish();
}

#[test]
fn a_sandbox_that_dies_is_replaced() {
    let podyard = Instance::new();
    let init = sh("i1", "echo i1 >> /d/runs");
    let app = sh("app", &format!("echo app >> /d/runs; {HANG}"));
    podyard.start(&pod("p", "Always", &[init], &[app]));
    podyard.wait_for_condition("p", "Ready");
    kill(podyard.sandbox("p"));
    let pod = podyard.wait_for("p", "the second run", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 1 && app["state"]["running"].is_object()
    });
    assert_eq!(container(&pod, "i1")["restartCount"], 1);
    assert_eq!(podyard.events("p", "SandboxChanged").len(), 1);
    assert_eq!(
        podyard.ok(&["exec", "p", "--", "cat", "/d/runs"]),
        "i1\napp\ni1\napp\n"
    );
    podyard.finish();
}

#[test]
fn a_pull_that_is_interrupted_is_repeated() {
    let podyard = Instance::without_images();
    let registry = podyard_e2e::Registry::start(&podyard.root().join("registry"));
    registry.push("busybox", "tools:1");
    let image = registry.reference("tools:1");
    let mut killed = 0;
    for delay in [0, 10, 30, 60] {
        let app = with(sh("app", "echo pulled"), json!({"image": image}));
        podyard.start(&with_spec(pod("p", "Never", &[], &[app]), json!({})));
        std::thread::sleep(Duration::from_millis(delay));
        // It has a supervisor until it is over, which may be before we look.
        let supervisor = eventually("a supervisor or the end", || {
            let is_over = podyard.dirs("p").final_status().exists();
            let found = podyard.find_supervisor("p");
            (is_over || found.is_some()).then_some(found)
        });
        killed += u32::from(supervisor.is_some_and(Instance::kill));
        podyard.wait_for_phase("p", "Succeeded");
        assert_eq!(podyard.logs("p", "app"), "pulled\n");
        podyard.ok(&["delete", "pod", "p"]);
        podyard.ok(&["image", "rm", &image]);
    }
    assert!(killed > 0);
    podyard.finish();
}
