//! What a pod's journal tells about time: when each container instance ran, to the nanosecond.
//!
//! The status has whole seconds and knows two instances of a container; the journal has every observation since the pod was accepted (or
//! since it was last compacted, after a megabyte).

use podyard_lifecycle::{Attempt, ContainerIndex, Exit, Observation, StartStage};
use podyard_supervisor::Turn;

use crate::objects::{Pod, PodExt as _, Timestamp, is_sidecar};
use crate::output::timeline::{Span, SpanKind};
use crate::output::times::InstanceTime;

/// The spans of a timeline, in the order of their starts.
pub(crate) fn spans(pod: &Pod, turns: &[Turn]) -> Vec<Span> {
    let mut history = History {
        pod,
        spans: Vec::new(),
        open: Vec::new(),
        pulls: Vec::new(),
    };
    let mut last_step = turns.first().map(|turn| moment(turn.now.wall));
    for turn in turns {
        let now = moment(turn.now.wall);
        for observation in &turn.observations {
            history.observe(observation, now, last_step.unwrap_or(now));
            if !matches!(observation, Observation::ProbeFinished { .. }) {
                last_step = Some(now);
            }
        }
    }
    let mut spans = history.spans;
    spans.sort_by_key(|span| span.start);
    spans
}

/// When each instance ran, for the live view.
pub(crate) fn instances(pod: &Pod, turns: &[Turn]) -> Vec<InstanceTime> {
    let of_containers = spans(pod, turns)
        .into_iter()
        .filter(|span| span.attempt > 0 && span.kind != SpanKind::Image);
    of_containers
        .map(|span| InstanceTime {
            container: span.name,
            start: span.start,
            end: span.end,
        })
        .collect()
}

struct History<'a> {
    pod: &'a Pod,
    spans: Vec<Span>,
    /// Instances that run, as places in `spans`.
    open: Vec<(ContainerIndex, Attempt, usize)>,
    /// Pulls that go on, likewise.
    pulls: Vec<(ContainerIndex, Attempt, usize)>,
}

impl History<'_> {
    fn observe(&mut self, observation: &Observation, now: Timestamp, last_step: Timestamp) {
        match observation {
            Observation::SandboxReady { .. } => self.sandbox(last_step, now, None),
            Observation::SandboxFailed { .. } => self.sandbox(last_step, now, Some("failed")),
            Observation::ImagePulling { container, attempt } => {
                let span = self.begin(*container, SpanKind::Image, now);
                self.pulls.push((*container, *attempt, span));
            }
            Observation::ImageReady {
                container, attempt, ..
            } => self.end_pull(*container, *attempt, now, None),
            Observation::ImageFailed {
                container,
                attempt,
                reason,
                ..
            } => {
                self.end_pull(*container, *attempt, now, Some(reason.reason()));
            }
            Observation::ContainerStarted {
                container,
                attempt,
                at,
                ..
            } => {
                let kind = self.kind(*container);
                let span = self.begin(*container, kind, moment(*at));
                self.open.push((*container, *attempt, span));
            }
            Observation::ContainerNotStarted {
                container,
                stage: StartStage::Start,
                at,
                ..
            } => {
                let kind = self.kind(*container);
                let span = self.begin(*container, kind, moment(*at));
                self.finish(span, moment(*at), Some(128), Some("StartError"));
            }
            Observation::ContainerExited {
                container,
                attempt,
                exit,
                at,
                ..
            } => {
                if let Some(span) = take(&mut self.open, *container, *attempt) {
                    let (code, reason) = end_of(*exit);
                    self.finish(span, moment(*at), code, reason);
                }
            }
            Observation::HostRebooted => {
                for (.., span) in std::mem::take(&mut self.open) {
                    self.finish(span, now, None, Some("lost"));
                }
            }
            _ => {}
        }
    }

    fn sandbox(&mut self, start: Timestamp, end: Timestamp, reason: Option<&str>) {
        self.spans.push(Span {
            name: "sandbox".to_owned(),
            kind: SpanKind::Sandbox,
            attempt: 0,
            start,
            end: Some(end),
            exit_code: None,
            reason: reason.map(str::to_owned),
        });
    }

    fn begin(&mut self, container: ContainerIndex, kind: SpanKind, start: Timestamp) -> usize {
        let name = self.name(container).to_owned();
        let earlier = self
            .spans
            .iter()
            .filter(|span| span.kind == kind && span.name == name)
            .count();
        let attempt = u32::try_from(earlier).unwrap_or(u32::MAX).saturating_add(1);
        self.spans.push(Span {
            name,
            kind,
            attempt,
            start,
            end: None,
            exit_code: None,
            reason: None,
        });
        self.spans.len() - 1
    }

    fn finish(
        &mut self,
        span: usize,
        end: Timestamp,
        exit_code: Option<i32>,
        reason: Option<&str>,
    ) {
        let span = &mut self.spans[span];
        span.end = Some(end.max(span.start));
        span.exit_code = exit_code;
        span.reason = reason.map(str::to_owned);
    }

    fn end_pull(
        &mut self,
        container: ContainerIndex,
        attempt: Attempt,
        now: Timestamp,
        reason: Option<&str>,
    ) {
        // An image that was there already was never pulled.
        if let Some(span) = take(&mut self.pulls, container, attempt) {
            self.finish(span, now, None, reason);
        }
    }

    fn name(&self, container: ContainerIndex) -> &str {
        let inits = self.pod.init_containers().iter();
        let members = inits.chain(self.pod.app_containers());
        let spec = self.pod.spec.as_ref();
        let ephemerals = spec.and_then(|spec| spec.ephemeral_containers.as_ref());
        let mut names = members
            .map(|container| container.name.as_str())
            .chain(ephemerals.into_iter().flatten().map(|it| it.name.as_str()));
        names.nth(container.position()).unwrap_or("?")
    }

    fn kind(&self, container: ContainerIndex) -> SpanKind {
        let (inits, apps) = (self.pod.init_containers(), self.pod.app_containers());
        match inits.get(container.position()) {
            Some(init) if is_sidecar(init) => SpanKind::Sidecar,
            Some(_) => SpanKind::Init,
            None if container.position() < inits.len() + apps.len() => SpanKind::App,
            None => SpanKind::Ephemeral,
        }
    }
}

fn take(
    list: &mut Vec<(ContainerIndex, Attempt, usize)>,
    container: ContainerIndex,
    attempt: Attempt,
) -> Option<usize> {
    let at = list
        .iter()
        .position(|(one, two, _)| (*one, *two) == (container, attempt))?;
    Some(list.remove(at).2)
}

fn end_of(exit: Exit) -> (Option<i32>, Option<&'static str>) {
    match exit {
        Exit::Code(_) | Exit::Signal(_) => (Some(exit.code()), None),
        Exit::OomKilled { .. } => (Some(exit.code()), Some("OOMKilled")),
        Exit::Lost => (None, Some("lost")),
    }
}

fn moment(at: podyard_lifecycle::Timestamp) -> Timestamp {
    podyard_lifecycle::kubernetes_time(at).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{app, init, pod, waiting};
    use podyard_lifecycle::{Now, Timestamp as Wall};
    use std::time::Duration;

    fn turn(turn: u64, millis: u32, observations: Vec<Observation>) -> Turn {
        let wall = Wall {
            seconds: 1_000,
            nanoseconds: millis * 1_000_000,
        };
        let now = Now {
            since_boot: Duration::from_millis(u64::from(millis)),
            wall,
        };
        Turn {
            version: 1,
            turn,
            now,
            observations,
            requests: Vec::new(),
        }
    }

    fn at(millis: u32) -> Wall {
        Wall {
            seconds: 1_000,
            nanoseconds: millis * 1_000_000,
        }
    }

    #[test]
    fn the_journal_becomes_a_timeline() {
        let pod = pod("Running", [init("i", waiting("x")), app("a", waiting("x"))]);
        let one = ContainerIndex(0);
        let two = ContainerIndex(1);
        let started = |container, attempt, millis| Observation::ContainerStarted {
            container,
            attempt,
            container_id: String::new(),
            at: at(millis),
        };
        let exited = |container, attempt, exit, millis| Observation::ContainerExited {
            container,
            attempt,
            exit,
            at: at(millis),
            message: None,
        };
        let turns = [
            turn(1, 0, vec![Observation::VolumesReady]),
            turn(
                2,
                10,
                vec![Observation::SandboxReady {
                    attempt: 0,
                    pod_ips: Vec::new(),
                }],
            ),
            turn(
                3,
                11,
                vec![Observation::ImagePulling {
                    container: one,
                    attempt: 0,
                }],
            ),
            turn(
                4,
                20,
                vec![Observation::ImageFailed {
                    container: one,
                    attempt: 0,
                    reason: podyard_lifecycle::ImageFailure::ErrImagePull,
                    message: String::new(),
                }],
            ),
            turn(5, 30, vec![started(one, 1, 29)]),
            turn(
                6,
                40,
                vec![exited(one, 1, Exit::OomKilled { code: 137 }, 39)],
            ),
            turn(7, 50, vec![started(one, 2, 49)]),
            turn(8, 60, vec![exited(one, 2, Exit::Code(0), 59)]),
            turn(9, 70, vec![started(two, 3, 69)]),
        ];
        let told: Vec<String> = spans(&pod, &turns)
            .iter()
            .map(|span| {
                let millis = |at: Timestamp| at.as_millisecond() - 1_000_000;
                let end = span
                    .end
                    .map_or_else(String::new, |end| millis(end).to_string());
                format!(
                    "{} {:?} {} {}..{end} {:?} {}",
                    span.name,
                    span.kind,
                    span.attempt,
                    millis(span.start),
                    span.exit_code,
                    span.reason.as_deref().unwrap_or("-")
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "sandbox Sandbox 0 0..10 None -",
                "i Image 1 11..20 None ErrImagePull",
                "i Init 1 29..39 Some(137) OOMKilled",
                "i Init 2 49..59 Some(0) -",
                "a App 1 69.. None -",
            ]
        );
        assert_eq!(instances(&pod, &turns).len(), 3);
    }
}
