//! How far a pod is, container by container: the live view of `run` on a terminal, and the lines it prints without one.
//!
//! Pure: a pod, the known times and the clock come in, text goes out. Drawing and redrawing is in `commands::run`.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::age;
use super::escape::one_line;
use super::style::{Palette, Tone};
use super::times::Times;
use super::verdict::exit_text;
use crate::objects::{
    Container, ContainerStatus, Pod, PodExt as _, Timestamp, is_sidecar, moment, terminated,
    waiting_reason,
};

/// One container and what it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    kind: &'static str,
    name: String,
    step: Step,
    text: String,
    /// Its newest instance has begun to run, and has not just failed to.
    has_run: bool,
}

/// Where a container stands; a change of it is worth a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Its turn has not come.
    Queued,
    /// It is being prepared.
    Starting,
    /// Something is in the way.
    Waiting { reason: String, restarts: i32 },
    /// It runs.
    Running { restarts: i32, ready: bool },
    /// It has ended.
    Ended { restarts: i32, code: i32 },
}

impl Step {
    /// Restarts before the instance that is running, or whose end this is.
    fn instance(&self) -> Option<i32> {
        match self {
            Self::Running { restarts, .. } | Self::Ended { restarts, .. } => Some(*restarts),
            Self::Waiting { reason, restarts } if reason == "CrashLoopBackOff" => Some(*restarts),
            Self::Queued | Self::Starting | Self::Waiting { .. } => None,
        }
    }

    fn symbol(&self) -> (&'static str, Tone) {
        match self {
            Self::Queued => ("·", Tone::Quiet),
            Self::Starting => ("○", Tone::Active),
            Self::Waiting { .. } => ("!", Tone::Attention),
            Self::Running { .. } => ("●", Tone::Active),
            Self::Ended { code: 0, .. } => ("✓", Tone::Good),
            Self::Ended { .. } => ("✗", Tone::Bad),
        }
    }
}

/// One line per container in the order of the pod's specification.
pub(crate) fn lines(pod: &Pod, times: &Times, now: Timestamp) -> Vec<Line> {
    let inits = pod.init_containers().iter().map(|container| {
        (
            if is_sidecar(container) {
                "sidecar"
            } else {
                "init"
            },
            container,
        )
    });
    let apps = pod
        .app_containers()
        .iter()
        .map(|container| ("app", container));
    // Of those that have not started, only the first one in the chain is next.
    let mut chain_is_open = false;
    let mut lines = Vec::new();
    for (kind, container) in inits.chain(apps) {
        let status = pod.container_status(&container.name);
        let step = step(pod, container, status, chain_is_open);
        if kind != "app" {
            chain_is_open |= match &step {
                Step::Ended { code, .. } => *code != 0,
                Step::Running { .. } => {
                    kind == "init" || status.is_none_or(|status| status.started == Some(false))
                }
                Step::Queued | Step::Starting | Step::Waiting { .. } => true,
            };
        }
        let text = text(&step, status, times, now);
        let end = status.and_then(|status| {
            terminated(status.state.as_ref()).or_else(|| terminated(status.last_state.as_ref()))
        });
        lines.push(Line {
            has_run: end.is_some_and(|end| {
                moment(end.started_at.as_ref()).is_some_and(|start| start.as_second() > 0)
            }),
            kind,
            name: container.name.clone(),
            step,
            text,
        });
    }
    lines
}

fn step(
    pod: &Pod,
    container: &Container,
    status: Option<&ContainerStatus>,
    chain_is_open: bool,
) -> Step {
    let Some(status) = status else {
        return Step::Queued;
    };
    let restarts = status.restart_count;
    let state = status.state.as_ref();
    if let Some(end) = terminated(state) {
        // What was removed for another round that did not come is shown as it was before, and was told then.
        if terminated(status.last_state.as_ref()) == Some(end) {
            return Step::Queued;
        }
        // What a kubelet says of a container that had no instance when its pod was ended.
        if end.reason.as_deref() == Some("ContainerStatusUnknown") && end.started_at.is_none() {
            return Step::Queued;
        }
        return Step::Ended {
            restarts,
            code: end.exit_code,
        };
    }
    if state.is_some_and(|state| state.running.is_some()) {
        // A regular init container has no readiness while it runs.
        let is_init = pod
            .init_containers()
            .iter()
            .any(|init| init.name == container.name);
        return Step::Running {
            restarts,
            ready: status.ready && (!is_init || is_sidecar(container)),
        };
    }
    match waiting_reason(state) {
        None | Some("PodInitializing" | "ContainerCreating") if chain_is_open => Step::Queued,
        None | Some("PodInitializing" | "ContainerCreating") => Step::Starting,
        Some(reason) => Step::Waiting {
            reason: reason.to_owned(),
            restarts,
        },
    }
}

fn again(restarts: i32) -> String {
    match restarts {
        0 => String::new(),
        restarts => format!(" (restart {restarts})"),
    }
}

fn text(step: &Step, status: Option<&ContainerStatus>, times: &Times, now: Timestamp) -> String {
    let Some(status) = status else {
        return "waits for its turn".to_owned();
    };
    let again = again(status.restart_count);
    match step {
        Step::Queued => "waits for its turn".to_owned(),
        Step::Starting => "starting".to_owned(),
        Step::Waiting { reason, .. } => waiting_text(reason, status, times, now),
        Step::Running { .. } => {
            let since = times
                .running_since(status)
                .and_then(|start| age::between(start, now));
            let since = since
                .filter(|since| since.as_secs() > 0)
                .map(|since| format!(" for {}", age::human(since)));
            format!("running{}{again}", since.unwrap_or_default())
        }
        Step::Ended { code, .. } => {
            let end = terminated(status.state.as_ref());
            let took = end
                .and_then(|end| times.took(&status.name, end))
                .map(age::precise);
            match (code, took) {
                (0, Some(took)) => format!("completed in {took}{again}"),
                (0, None) => format!("completed{again}"),
                (_, took) => {
                    let how = end.map_or_else(|| format!("exit code {code}"), exit_text);
                    let took = took
                        .map(|took| format!(" after {took}"))
                        .unwrap_or_default();
                    let message = end
                        .and_then(|end| end.message.as_deref())
                        .filter(|text| !text.trim().is_empty());
                    let message = message
                        .map(|text| format!(": {}", one_line(text)))
                        .unwrap_or_default();
                    format!("failed with {how}{took}{again}{message}")
                }
            }
        }
    }
}

fn waiting_text(reason: &str, status: &ContainerStatus, times: &Times, now: Timestamp) -> String {
    let waiting = status
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref());
    let message = waiting
        .and_then(|waiting| waiting.message.as_deref())
        .unwrap_or_default();
    let next = times
        .next_try(status, now)
        .map(|text| format!(", {text}"))
        .unwrap_or_default();
    match (reason, terminated(status.last_state.as_ref())) {
        ("CrashLoopBackOff", Some(end)) => {
            let how = if end.exit_code == 0 {
                "ended"
            } else {
                "failed"
            };
            format!(
                "{how} with {}, waiting: CrashLoopBackOff{next}",
                exit_text(end)
            )
        }
        _ if message.is_empty() => format!("waiting: {}{next}", one_line(reason)),
        _ => format!("waiting: {}: {}{next}", one_line(reason), one_line(message)),
    }
}

/// The live view: a title and a line per container, none wider than `width`.
pub(crate) fn block(title: &str, lines: &[Line], width: usize, palette: Palette) -> Vec<String> {
    let names = lines
        .iter()
        .map(|line| line.name.width())
        .max()
        .unwrap_or_default();
    let kinds = lines
        .iter()
        .map(|line| line.kind.len())
        .max()
        .unwrap_or_default();
    let mut block = vec![palette.paint(Tone::Strong, &cut(title, width))];
    for line in lines {
        let (symbol, tone) = line.step.symbol();
        let blanks = " ".repeat(names - line.name.width());
        let left = format!("{:kinds$}  {}{blanks}  ", line.kind, line.name);
        // Two blanks, the symbol, a blank.
        let left = cut(&left, width.saturating_sub(4));
        let text = cut(&line.text, width.saturating_sub(4 + left.width()));
        let text_tone = if line.step == Step::Queued {
            Tone::Quiet
        } else {
            tone
        };
        let name_tone = if line.step == Step::Queued {
            Tone::Quiet
        } else {
            Tone::Strong
        };
        block.push(format!(
            "  {} {}{}",
            palette.paint(tone, symbol),
            palette.paint(name_tone, &left),
            palette.paint(text_tone, &text)
        ));
    }
    block
}

/// The part of `text` that fits, with an ellipsis if something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let kept: String = text
        .chars()
        .take_while(|character| {
            used += character.width().unwrap_or(0);
            used < width
        })
        .collect();
    if width == 0 { kept } else { kept + "…" }
}

/// What has happened between two looks at a pod, as lines such as `init config: completed in 12 ms`.
pub(crate) fn changes(before: &[Line], after: &[Line]) -> Vec<String> {
    let step_before = |name: &str| {
        before
            .iter()
            .find(|line| line.name == name)
            .map(|line| &line.step)
    };
    let mut changes = Vec::new();
    for line in after {
        let old = step_before(&line.name);
        if old == Some(&line.step) {
            continue;
        }
        let text = match (old, &line.step) {
            // Nothing that has happened.
            (_, Step::Queued | Step::Starting) => continue,
            (
                Some(Step::Running { restarts: old, .. }),
                Step::Running {
                    restarts,
                    ready: true,
                },
            ) if old == restarts => "ready",
            (
                Some(Step::Running { restarts: old, .. }),
                Step::Running {
                    restarts,
                    ready: false,
                },
            ) if old == restarts => "not ready",
            _ => &line.text,
        };
        let who = format!("{} {}", line.kind, line.name);
        // What was over before anybody looked has run all the same.
        let instance = line.step.instance().filter(|_| line.has_run);
        if !matches!(line.step, Step::Running { .. })
            && let Some(restarts) = instance
            && old.and_then(Step::instance) != instance
        {
            changes.push(format!("{who}: running{}", again(restarts)));
        }
        changes.push(format!("{who}: {text}"));
    }
    changes
}

/// Whether every container has had its start, so that the live view has nothing more to tell.
pub(crate) fn is_settled(lines: &[Line]) -> bool {
    lines.iter().all(|line| match &line.step {
        Step::Ended { code, .. } => line.kind != "init" || *code == 0,
        Step::Running { .. } => line.kind != "init",
        Step::Queued | Step::Starting | Step::Waiting { .. } => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{
        START, StatusExt as _, app, exited, init, pod, running, sidecar, waiting,
    };
    use crate::output::times::InstanceTime;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn lines_at(pod: &Pod, second: i64) -> Vec<Line> {
        lines(pod, &Times::default(), at(second))
    }

    fn texts(pod: &Pod, second: i64) -> Vec<String> {
        lines_at(pod, second)
            .into_iter()
            .map(|line| format!("{} {} {}", line.step.symbol().0, line.name, line.text))
            .collect()
    }

    #[test]
    fn a_chain_shows_who_is_next_and_who_waits() {
        let later = || waiting("PodInitializing");
        let chain = pod(
            "Pending",
            [
                init("one", exited(0)),
                init("two", later()),
                init("three", later()),
                app("web", later()),
            ],
        );
        assert_eq!(
            texts(&chain, START),
            [
                "✓ one completed in 1.00 s",
                "○ two starting",
                "· three waits for its turn",
                "· web waits for its turn"
            ]
        );
        let gate = pod(
            "Pending",
            [sidecar("proxy", running().unstarted()), app("web", later())],
        );
        assert_eq!(
            texts(&gate, START + 3),
            ["● proxy running for 3s", "· web waits for its turn"]
        );
        let open = pod(
            "Pending",
            [sidecar("proxy", running()), app("web", later())],
        );
        assert_eq!(texts(&open, START)[1], "○ web starting");
    }

    #[test]
    fn waits_say_why_and_until_when() {
        let crashed = waiting("CrashLoopBackOff")
            .saying("back-off 10s restarting failed container=i pod=web_default(1)")
            .restarted(1)
            .last_ended_at(START);
        let stuck = pod(
            "Pending",
            [init("i", crashed), app("web", waiting("PodInitializing"))],
        );
        assert_eq!(
            texts(&stuck, START + 1)[0],
            "! i failed with exit code 1, waiting: CrashLoopBackOff, next try in 9s"
        );

        let unpulled = pod(
            "Pending",
            [app("web", waiting("ErrImagePull").saying("no such host"))],
        );
        let times = Times {
            next_tries: vec![("web".to_owned(), at(START + 10))],
            ..Times::default()
        };
        let lines = lines(&unpulled, &times, at(START + 1));
        assert_eq!(
            lines[0].text,
            "waiting: ErrImagePull: no such host, next try in 9s"
        );
        assert!(!is_settled(&lines));
    }

    #[test]
    fn exact_times_replace_whole_seconds() {
        let done = pod("Succeeded", [app("web", exited(0))]);
        let start = Timestamp::from_millisecond(START * 1000 + 5).expect("in range");
        let end = Timestamp::from_millisecond(START * 1000 + 17).expect("in range");
        let instance = InstanceTime {
            container: "web".to_owned(),
            start,
            end: Some(end),
        };
        let times = Times {
            instances: vec![instance],
            ..Times::default()
        };
        assert_eq!(
            lines(&done, &times, at(START))[0].text,
            "completed in 12.0 ms"
        );
    }

    #[test]
    fn lines_without_a_terminal_tell_each_change_once() {
        let later = || waiting("PodInitializing");
        let looks = [
            pod("Pending", [init("i", later()), app("web", later())]),
            pod("Pending", [init("i", running()), app("web", later())]),
            pod("Pending", [init("i", running()), app("web", later())]),
            pod("Pending", [init("i", exited(3)), app("web", later())]),
            pod(
                "Pending",
                [init("i", running().restarted(1)), app("web", later())],
            ),
            pod(
                "Pending",
                [init("i", exited(0).restarted(1)), app("web", later())],
            ),
            pod(
                "Running",
                [
                    init("i", exited(0).restarted(1)),
                    app("web", running().unready()),
                ],
            ),
            pod(
                "Running",
                [init("i", exited(0).restarted(1)), app("web", running())],
            ),
        ];
        let mut before = Vec::new();
        let mut told = Vec::new();
        for look in &looks {
            let after = lines_at(look, START);
            told.extend(changes(&before, &after));
            before = after;
        }
        assert_eq!(
            told,
            [
                "init i: running",
                "init i: failed with exit code 3 after 1.00 s",
                "init i: running (restart 1)",
                "init i: completed in 1.00 s (restart 1)",
                "app web: running",
                "app web: ready",
            ]
        );
        assert!(is_settled(&before));
    }

    #[test]
    fn what_was_over_before_anybody_looked_has_run_too() {
        let later = || waiting("PodInitializing");
        let before = lines_at(
            &pod("Pending", [init("i", later()), app("web", later())]),
            START,
        );
        let crashed = waiting("CrashLoopBackOff")
            .last_ended_at(START)
            .restarted(2);
        let after = lines_at(
            &pod("Running", [init("i", exited(0)), app("web", crashed)]),
            START,
        );
        assert_eq!(
            changes(&before, &after),
            [
                "init i: running",
                "init i: completed in 1.00 s",
                "app web: running (restart 2)",
                "app web: failed with exit code 1, waiting: CrashLoopBackOff",
            ]
        );
        assert_eq!(changes(&after, &after), [""; 0]);
    }

    #[test]
    fn the_view_is_never_wider_than_the_terminal() {
        let stuck = pod(
            "Pending",
            [app(
                "web",
                waiting("ErrImagePull").saying(&"long ".repeat(50)),
            )],
        );
        let block = block("pod/web", &lines_at(&stuck, START), 40, Palette::new(false));
        assert_eq!(block[0], "pod/web");
        assert_eq!(block[1], "  ! app  web  waiting: ErrImagePull: lo…");
        assert_eq!(block[1].width(), 40);
    }
}
