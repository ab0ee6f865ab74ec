//! The timeline of a pod as a waterfall: one line per container attempt, with its start, its duration, its end and a bar.

use std::time::Duration;

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::age;
use super::escape::one_line;
use super::style::{Palette, Tone};
use super::table::Table;
use crate::objects::Timestamp;

/// The narrowest bar that still shows an order.
const MIN_BAR: usize = 20;
/// A wider bar shows no more.
const MAX_BAR: usize = 72;

/// One attempt of one container, or a step of the pod's preparation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    /// The container's name, or what was prepared.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: SpanKind,
    /// Counts the attempts of one container from 1; 0 for a step that is no container.
    pub(crate) attempt: u32,
    /// When it began.
    pub(crate) start: Timestamp,
    /// When it was over; absent while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<Timestamp>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    /// Kubernetes' word for how it ended, such as `OOMKilled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// What a line of the timeline is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum SpanKind {
    /// Namespaces and network.
    Sandbox,
    /// Fetching an image that was not there.
    Image,
    /// An init container.
    Init,
    /// An init container that runs beside the app containers.
    Sidecar,
    /// An app container.
    App,
    /// A container that was added to look into the pod.
    Ephemeral,
}

impl SpanKind {
    fn word(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Image => "image",
            Self::Init => "init",
            Self::Sidecar => "sidecar",
            Self::App => "app",
            Self::Ephemeral => "debug",
        }
    }
}

/// The waterfall, `width` columns wide. `origin` is when the pod was accepted: every start is told from there.
pub(crate) fn render(
    spans: &[Span],
    origin: Timestamp,
    now: Timestamp,
    width: usize,
    palette: Palette,
) -> String {
    let mut table = Table::new(["NAME", "KIND", "TRY", "START", "TOOK", "END"]);
    for span in spans {
        table.push(cells(span, origin, now));
    }
    let text = table.render();
    let left = text
        .lines()
        .map(|line| line.width())
        .max()
        .unwrap_or_default()
        + 3;
    let bar = width.saturating_sub(left).clamp(MIN_BAR, MAX_BAR);
    let last = spans
        .iter()
        .map(|span| span.end.unwrap_or(now))
        .max()
        .unwrap_or(origin)
        .max(origin);
    let total = age::between(origin, last).unwrap_or_default();

    let mut lines = text.lines();
    let mut out = String::new();
    let pad = |line: &str| " ".repeat(left.saturating_sub(line.width()));
    if let Some(header) = lines.next() {
        out.push_str(&palette.paint(Tone::Strong, header));
        out.push_str(&pad(header));
        out.push_str(&palette.paint(Tone::Quiet, &scale(total, bar)));
        out.push('\n');
    }
    for (line, span) in lines.zip(spans) {
        let mark = place(span, origin, last, bar);
        let blanks = " ".repeat(mark.start);
        let body = span_bar(span, mark.length);
        out.push_str(&format!(
            "{line}{}{blanks}{}\n",
            pad(line),
            palette.paint(tone(span), &body)
        ));
    }
    out
}

fn cells(span: &Span, origin: Timestamp, now: Timestamp) -> [String; 6] {
    let offset = age::between(origin, span.start).unwrap_or_default();
    let took = age::between(span.start, span.end.unwrap_or(now)).unwrap_or_default();
    let reason = span
        .reason
        .as_deref()
        .filter(|reason| !matches!(*reason, "Completed" | "Error" | ""));
    let end = match (span.end, span.exit_code, reason) {
        (None, ..) => "running".to_owned(),
        (Some(_), Some(code), Some(reason)) => format!("{code} {}", one_line(reason)),
        (Some(_), Some(code), None) => code.to_string(),
        (Some(_), None, Some(reason)) => one_line(reason).into_owned(),
        (Some(_), None, None) => "done".to_owned(),
    };
    [
        span.name.clone(),
        span.kind.word().to_owned(),
        if span.attempt == 0 {
            String::new()
        } else {
            span.attempt.to_string()
        },
        format!("+{}", age::precise(offset)),
        age::precise(took),
        end,
    ]
}

/// `0 ├──── 120 ms`.
fn scale(total: Duration, bar: usize) -> String {
    let end = age::precise(total);
    let rule = bar.saturating_sub(end.width() + 3);
    format!("0 {} {end}", "─".repeat(rule))
}

/// Where a bar begins and how long it is, in columns.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    start: usize,
    length: usize,
}

fn place(span: &Span, origin: Timestamp, last: Timestamp, bar: usize) -> Mark {
    let total = age::between(origin, last)
        .unwrap_or_default()
        .as_secs_f64()
        .max(f64::MIN_POSITIVE);
    let column = |at: Timestamp| {
        let share = age::between(origin, at).unwrap_or_default().as_secs_f64() / total;
        // In range: a share of at most 1 of a bar of at most MAX_BAR.
        ((share * bar as f64).round() as usize).min(bar)
    };
    let start = column(span.start).min(bar - 1);
    let end = column(span.end.unwrap_or(last)).max(start + 1);
    Mark {
        start,
        length: end - start,
    }
}

fn span_bar(span: &Span, length: usize) -> String {
    let symbol = match span.kind {
        SpanKind::Sandbox | SpanKind::Image => "░",
        SpanKind::Init | SpanKind::Sidecar | SpanKind::App | SpanKind::Ephemeral => "█",
    };
    match span.end {
        Some(_) => symbol.repeat(length),
        None => format!("{}▶", symbol.repeat(length - 1)),
    }
}

fn tone(span: &Span) -> Tone {
    match (span.kind, span.exit_code) {
        (SpanKind::Sandbox | SpanKind::Image, _) => Tone::Quiet,
        (_, Some(0)) => Tone::Good,
        (_, Some(_)) => Tone::Bad,
        (_, None) => Tone::Active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000_000 + millis).expect("in range")
    }

    fn span(name: &str, kind: SpanKind, attempt: u32, start: i64, end: Option<(i64, i32)>) -> Span {
        Span {
            name: name.to_owned(),
            kind,
            attempt,
            start: at(start),
            end: end.map(|(end, _)| at(end)),
            exit_code: end.map(|(_, code)| code),
            reason: None,
        }
    }

    #[test]
    fn bars_show_order_and_share() {
        let mut sandbox = span("network", SpanKind::Sandbox, 0, 0, Some((10, 0)));
        sandbox.exit_code = None;
        let mut killed = span("migrate", SpanKind::Init, 1, 20, Some((40, 137)));
        killed.reason = Some("OOMKilled".to_owned());
        let spans = [
            sandbox,
            span("config", SpanKind::Init, 1, 10, Some((20, 0))),
            killed,
            span("migrate", SpanKind::Init, 2, 60, Some((80, 0))),
            span("web", SpanKind::App, 1, 80, None),
        ];
        let expected = "\
NAME      KIND      TRY   START      TOOK      END             0 ─────────── 100 ms
network   sandbox         +0 ms      10.0 ms   done            ░░
config    init      1     +10.0 ms   10.0 ms   0                 ██
migrate   init      1     +20.0 ms   20.0 ms   137 OOMKilled       ████
migrate   init      2     +60.0 ms   20.0 ms   0                           ████
web       app       1     +80.0 ms   20.0 ms   running                         ███▶
";
        assert_eq!(
            render(&spans, at(0), at(100), 83, Palette::new(false)),
            expected
        );
    }

    #[test]
    fn even_the_shortest_span_is_seen() {
        let tiny = span("a", SpanKind::Init, 1, 1000, Some((1000, 0)));
        assert_eq!(
            place(&tiny, at(0), at(1000), 20),
            Mark {
                start: 19,
                length: 1
            }
        );
        assert_eq!(
            place(&tiny, at(1000), at(1000), 20),
            Mark {
                start: 0,
                length: 1
            }
        );
    }

    #[test]
    fn an_empty_timeline_is_a_header() {
        assert!(
            render(&[], at(0), at(1), 80, Palette::new(false)).starts_with("NAME   KIND   TRY")
        );
    }
}
