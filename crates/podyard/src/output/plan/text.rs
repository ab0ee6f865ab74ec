//! A plan as text, a table for each subject.

use super::manifest::marked;
use super::model::{ImageState, Plan, Subject, VolumeUse, Writes};
use crate::output::style::{Palette, Tone};
use crate::output::table::Table;

/// The whole plan.
pub(crate) fn text(plan: &Plan, subject: &Subject<'_>, palette: Palette) -> String {
    let mut out = String::new();
    out.push_str(&palette.paint(Tone::Strong, &plan.title));
    out.push('\n');
    let mut section = |title: &str, body: &str| {
        out.push('\n');
        out.push_str(&palette.paint(Tone::Strong, title));
        out.push('\n');
        for line in body.lines() {
            out.push_str(&format!("  {line}\n"));
        }
    };
    section("Order", &order(plan));
    let failures: Vec<String> = plan
        .on_failure
        .iter()
        .map(|line| format!("when {line}"))
        .map(|line| match line.strip_prefix("when ") {
            // A deadline is no case of something.
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest.to_owned(),
            _ => line,
        })
        .collect();
    section("When something ends", &failures.join("\n"));
    section("Images", &images(plan, palette));
    if !plan.ports.is_empty() {
        section("Ports", &ports(plan));
    }
    if !plan.volumes.is_empty() {
        section("Volumes", &volumes(plan));
    }
    section("Requests", &requests(plan));
    section(
        "Manifest as it is stored; `+` marks what the defaults filled in",
        &marked(subject.pod, palette),
    );
    out
}

fn order(plan: &Plan) -> String {
    let mut table = Table::new(["STEP", "CONTAINER", "KIND", "IMAGE", "THE NEXT STARTS WHEN"]);
    for step in &plan.steps {
        table.push([
            step.number.to_string(),
            step.name.clone(),
            step.role.word().to_owned(),
            step.image.clone(),
            step.gate.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

fn images(plan: &Plan, palette: Palette) -> String {
    let mut table = Table::new(["IMAGE", "PULL POLICY", "FOR", "STATE"]);
    for image in &plan.images {
        table.push([
            image.image.clone(),
            image.policy.clone(),
            image.containers.join(", "),
            image.state.words().to_owned(),
        ]);
    }
    let text = table.render();
    let missing = ImageState::Missing.words();
    text.replace(missing, &palette.paint(Tone::Bad, missing))
}

fn ports(plan: &Plan) -> String {
    let mut table = Table::new(["CONTAINER", "PORT", "NAME", "ON THE MACHINE"]);
    for port in &plan.ports {
        table.push([
            port.container.as_str(),
            &port.port,
            &port.name,
            port.host.as_deref().unwrap_or("only at the pod's address"),
        ]);
    }
    table.render()
}

fn volumes(plan: &Plan) -> String {
    let mut table = Table::new(["VOLUME", "KIND", "CONTAINER", "MOUNTED AT", "USE"]);
    for volume in &plan.volumes {
        if volume.uses.is_empty() {
            table.push([
                &volume.name,
                &volume.kind,
                "",
                "",
                "mounted by no container",
            ]);
        }
        for (index, mount) in volume.uses.iter().enumerate() {
            let is_first = index == 0;
            table.push([
                if is_first { &volume.name } else { "" },
                if is_first { &volume.kind } else { "" },
                &mount.container,
                &mount.path,
                &use_text(mount),
            ]);
        }
    }
    table.render()
}

/// Who writes is known by what may be written and by what commands say; who reads, by there being something to read.
fn use_text(mount: &VolumeUse) -> String {
    match (&mount.writes, mount.reads) {
        (Writes::No, true) => "reads".to_owned(),
        (Writes::No, false) => "reads, but nobody has written yet".to_owned(),
        (Writes::Possible, true) => "reads, may write".to_owned(),
        (Writes::Possible, false) => "may write".to_owned(),
        (Writes::Files(files), _) => format!("writes {}", files.join(", ")),
    }
}

fn requests(plan: &Plan) -> String {
    let mut table = Table::new(["RESOURCE", "REQUEST", "COMES FROM"]);
    for resource in &plan.resources {
        table.push([&resource.resource, &resource.total, &resource.formula]);
    }
    let class = format!("quality of service: {}\n", plan.qos_class);
    if plan.resources.is_empty() {
        format!("none\n{class}")
    } else {
        table.render() + &class
    }
}
