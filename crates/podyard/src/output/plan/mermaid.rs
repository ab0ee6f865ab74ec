//! A plan as a Mermaid flowchart, which Markdown renderers draw: the chain downwards, volumes beside it.

use super::model::{Plan, Role, Writes};

/// The picture as text.
pub(crate) fn mermaid(plans: &[Plan]) -> String {
    let mut out = String::from("flowchart TD\n");
    for (number, plan) in plans.iter().enumerate() {
        one(plan, number, &mut out);
    }
    out.push_str("  classDef init stroke-width:2px\n");
    out.push_str("  classDef sidecar stroke-width:2px,stroke-dasharray:6 3\n");
    out.push_str("  classDef app stroke-width:4px\n");
    out
}

fn one(plan: &Plan, number: usize, out: &mut String) {
    let step = |index: usize| format!("p{number}c{index}");
    out.push_str(&format!(
        "  subgraph p{number} [\"{}\"]\n",
        escaped(&plan.title)
    ));
    for (index, container) in plan.steps.iter().enumerate() {
        let class = container.role.word();
        out.push_str(&format!(
            "    {}[\"{}<br/>{class} · {}\"]:::{class}\n",
            step(index),
            escaped(&container.name),
            escaped(&container.image)
        ));
    }
    for (index, volume) in plan.volumes.iter().enumerate() {
        out.push_str(&format!(
            "    p{number}v{index}[(\"{}<br/>{}\")]\n",
            escaped(&volume.name),
            escaped(&volume.kind)
        ));
    }
    out.push_str("  end\n");
    // Each init container leads to the next; the last one to every app container.
    let inits = plan
        .steps
        .iter()
        .take_while(|container| container.role != Role::App)
        .count();
    for index in 0..inits {
        let next = if index + 1 < inits {
            index + 1..index + 2
        } else {
            inits..plan.steps.len()
        };
        let gate = plan.steps[index].gate.as_deref().unwrap_or_default();
        for next in next {
            out.push_str(&format!(
                "  {} -- \"{}\" --> {}\n",
                step(index),
                escaped(gate),
                step(next)
            ));
        }
    }
    for (index, volume) in plan.volumes.iter().enumerate() {
        for mount in &volume.uses {
            let Some(container) = plan
                .steps
                .iter()
                .position(|step| step.name == mount.container)
            else {
                continue;
            };
            let path = escaped(&mount.path);
            let volume = format!("p{number}v{index}");
            match &mount.writes {
                Writes::Files(files) => out.push_str(&format!(
                    "  {} == \"{path}: {}\" ==> {volume}\n",
                    step(container),
                    escaped(&files.join(", "))
                )),
                Writes::Possible if !mount.reads => {
                    out.push_str(&format!(
                        "  {} == \"{path}\" ==> {volume}\n",
                        step(container)
                    ));
                }
                _ => {}
            }
            if mount.reads {
                out.push_str(&format!(
                    "  {volume} -. \"{path}\" .-> {}\n",
                    step(container)
                ));
            }
        }
    }
}

/// Text for a quoted label.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '"' => "#quot;".to_owned(),
            '<' => "#lt;".to_owned(),
            '>' => "#gt;".to_owned(),
            '#' => "#35;".to_owned(),
            _ if character.is_control() => " ".to_owned(),
            _ => character.to_string(),
        })
        .collect()
}
