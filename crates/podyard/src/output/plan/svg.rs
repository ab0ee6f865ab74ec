//! A plan as an SVG picture: the chain of containers on the left, from top to bottom with what gates each step, and the
//! volumes on the right with who writes and who reads them. One picture below the other for several pods.

use super::model::{Plan, Role, Step, VolumePlan, VolumeUse, Writes};

const MARGIN: usize = 24;
/// Of a box with at most two mounts.
const HEIGHT: usize = 52;
/// What one more mount needs.
const LINE: usize = 22;
/// Between two boxes; the gate stands there.
const GAP: usize = 44;
/// Between the two columns; mount paths stand there.
const CHANNEL: usize = 320;
const MIN_WIDTH: usize = 180;
/// Of a character of a label, rounded up.
const CHARACTER: usize = 8;
/// Characters of a mount path that have room in the channel.
const MOUNT_TEXT: usize = (CHANNEL - 24) / 7;

const STYLE: &str = "<style>
  text { font: 13px ui-monospace, 'DejaVu Sans Mono', monospace; fill: #1f2328; stroke: #ffffff; stroke-width: 3px; paint-order: stroke }
  .title { font-weight: bold; font-size: 15px }
  .small { font-size: 11px; fill: #57606a }
  rect, ellipse, .volume { fill: #ffffff; stroke: #57606a; stroke-width: 1.5 }
  .init { stroke: #0969da } .sidecar { stroke: #0969da; stroke-dasharray: 6 3 } .app { stroke: #1a7f37; stroke-width: 3 }
  .line { fill: none; stroke: #57606a; stroke-width: 1.5 }
  .write { stroke: #bc4c00; stroke-width: 2 } .read { stroke: #8250df; stroke-dasharray: 4 3 }
  .arrow { fill: #57606a } .from-write { fill: #bc4c00 } .from-read { fill: #8250df }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; stroke: #0d1117 } .small { fill: #9198a1 } rect, ellipse, .volume { fill: #0d1117 }
  }
</style>
";

/// The picture.
pub(crate) fn svg(plans: &[Plan]) -> String {
    let mut body = String::new();
    let mut top = MARGIN;
    let mut width = 0;
    for plan in plans {
        let mut drawing = Drawing::default();
        let (right, bottom) = drawing.plan(plan, top);
        body.push_str(&drawing.shapes);
        body.push_str(&drawing.labels);
        top = bottom + MARGIN;
        width = width.max(right);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{top}\" viewBox=\"0 0 {width} {top}\">\n{STYLE}{body}</svg>\n"
    )
}

/// Labels are drawn last, so that no line crosses them.
#[derive(Default)]
struct Drawing {
    shapes: String,
    labels: String,
}

/// Where a container's box is.
struct Place {
    top: usize,
    height: usize,
}

impl Drawing {
    /// Draws one plan below `top`; returns its right and its lower edge.
    fn plan(&mut self, plan: &Plan, top: usize) -> (usize, usize) {
        self.text(MARGIN, top + 16, "title", &plan.title);
        let first = top + 36;
        let width = box_width(plan.steps.iter().map(|step| {
            let detail = step.image.chars().count() + 10;
            step.name.chars().count().max(detail)
        }));
        let places = places(plan, first);
        for (index, step) in plan.steps.iter().enumerate() {
            self.step(step, &places[index], width);
            if let Some(next) = plan.steps.get(index + 1) {
                let beside = step.role == Role::App && next.role == Role::App;
                let bottom = places[index].top + places[index].height;
                self.gate(step, beside, bottom, width);
            }
        }
        let column = MARGIN + width + CHANNEL;
        let volume_width = box_width(
            plan.volumes
                .iter()
                .map(|volume| volume.name.chars().count().max(volume.kind.chars().count())),
        );
        let mut mounts_drawn = vec![0; plan.steps.len()];
        for (index, volume) in plan.volumes.iter().enumerate() {
            let volume_top = first + index * (HEIGHT + GAP);
            self.volume(volume, column, volume_top, volume_width);
            for (order, mount) in volume.uses.iter().enumerate() {
                let step = plan
                    .steps
                    .iter()
                    .position(|step| step.name == mount.container);
                let Some(step) = step else { continue };
                let place = &places[step];
                let start = place.top + 20 + mounts_drawn[step] * LINE;
                mounts_drawn[step] += 1;
                let end = volume_top + (10 + order * 10).min(HEIGHT - 8);
                self.mount(mount, (MARGIN + width, start), (column, end));
            }
        }
        let of_steps = places.last().map_or(first, |last| last.top + last.height);
        let of_volumes = first + plan.volumes.len() * (HEIGHT + GAP);
        let right = if plan.volumes.is_empty() {
            let gates = plan.steps.iter().filter_map(|step| step.gate.as_ref());
            let widest = gates.map(|gate| gate.chars().count() + 6).max();
            MARGIN * 2 + width.max(width / 2 + widest.unwrap_or_default() * CHARACTER)
        } else {
            column + volume_width + MARGIN
        };
        (right, of_steps.max(of_volumes))
    }

    fn step(&mut self, step: &Step, place: &Place, width: usize) {
        let class = step.role.word();
        let Place { top, height } = place;
        self.shapes.push_str(&format!(
            "<rect class=\"{class}\" x=\"{MARGIN}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n"
        ));
        let label = format!("{}. {}", step.number, step.name);
        self.text(MARGIN + 12, top + 21, "", &label);
        let detail = format!("{class} · {}", step.image);
        self.text(MARGIN + 12, top + 40, "small", &detail);
    }

    /// The arrow to the next box, with what that one waits for. App containers wait for nothing: no arrow leads from one to
    /// the next, unless a hook is waited for.
    fn gate(&mut self, step: &Step, beside: bool, top: usize, width: usize) {
        let x = MARGIN + width / 2;
        let Some(gate) = &step.gate else {
            if beside {
                self.text(x + 10, top + GAP / 2 + 4, "small", "at the same time");
            }
            return;
        };
        let end = top + GAP - 8;
        self.shapes.push_str(&format!(
            "<path class=\"line\" d=\"M{x} {top} V{end}\"/>\n<path class=\"arrow\" d=\"M{} {end} h10 l-5 8 z\"/>\n",
            x - 5
        ));
        let label = format!("when {gate}");
        self.text(x + 10, top + GAP / 2 + 4, "small", &label);
    }

    fn volume(&mut self, volume: &VolumePlan, left: usize, top: usize, width: usize) {
        let (right, bottom, radius) = (left + width, top + HEIGHT, width / 2);
        self.shapes.push_str(&format!(
            "<path class=\"volume\" d=\"M{left} {top} V{bottom} A{radius} 7 0 0 0 {right} {bottom} V{top}\"/>\n<ellipse cx=\"{}\" cy=\"{top}\" rx=\"{radius}\" ry=\"7\"/>\n",
            left + radius
        ));
        self.text(left + 12, top + 26, "", &volume.name);
        self.text(left + 12, top + 44, "small", &volume.kind);
    }

    fn mount(&mut self, mount: &VolumeUse, from: (usize, usize), to: (usize, usize)) {
        let ((left, start), (right, end)) = (from, to);
        let writes = match mount.writes {
            Writes::Files(_) => true,
            // Nothing is there to be read yet: if it is used at all, it is filled.
            Writes::Possible => !mount.reads,
            Writes::No => false,
        };
        let class = if writes { "write" } else { "read" };
        let middle = (left + right) / 2;
        self.shapes.push_str(&format!(
            "<path class=\"line {class}\" d=\"M{left} {start} C{middle} {start} {middle} {end} {right} {end}\"/>\n"
        ));
        if writes {
            self.shapes.push_str(&format!(
                "<path class=\"from-write\" d=\"M{} {} v10 l8 -5 z\"/>\n",
                right - 8,
                end - 5
            ));
        }
        if mount.reads || !writes {
            self.shapes.push_str(&format!(
                "<path class=\"from-read\" d=\"M{} {} v10 l-8 -5 z\"/>\n",
                left + 8,
                start - 5
            ));
        }
        let label = match &mount.writes {
            Writes::Files(files) => format!("{} ← {}", mount.path, files.join(", ")),
            _ => mount.path.clone(),
        };
        self.text(
            left + 14,
            start - 5,
            "small",
            &shortened(&label, MOUNT_TEXT),
        );
    }

    fn text(&mut self, x: usize, y: usize, class: &str, text: &str) {
        self.labels.push_str(&format!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>\n",
            escaped(text)
        ));
    }
}

/// The boxes one below the other, each high enough for its mounts.
fn places(plan: &Plan, first: usize) -> Vec<Place> {
    let mut top = first;
    plan.steps
        .iter()
        .map(|step| {
            let mounts = plan
                .volumes
                .iter()
                .flat_map(|volume| &volume.uses)
                .filter(|mount| mount.container == step.name)
                .count();
            let height = HEIGHT.max(8 + mounts * LINE);
            let place = Place { top, height };
            top += height + GAP;
            place
        })
        .collect()
}

fn box_width(characters: impl Iterator<Item = usize>) -> usize {
    let widest = characters.max().unwrap_or_default();
    (widest * CHARACTER + 24).max(MIN_WIDTH)
}

fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters - 1).chain(['…']).collect()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            _ if character.is_control() => safe.push(' '),
            _ => safe.push(character),
        }
    }
    safe
}
