//! The effective manifest: with marks at what was filled in, and in the form that makes a cluster restart the whole pod.

use podyard_api::{Path, ValidPod};
use serde_json::Value;

use crate::objects::core::{ContainerRestartRule, ContainerRestartRuleOnExitCodes};
use crate::objects::{Pod, is_sidecar};
use crate::output::object;
use crate::output::style::{Palette, Tone};
use crate::settings::Format;

/// The annotation that chooses restart-pod mode.
const ON_INIT_FAILURE: &str = "podyard.dev/on-init-failure";

/// The pod as YAML, each line that its text does not set with a `+` in front.
pub(super) fn marked(pod: &ValidPod, palette: Palette) -> String {
    let mut writer = Writer {
        pod,
        palette,
        out: String::new(),
    };
    let value = serde_json::to_value(pod.pod()).unwrap_or_default();
    writer.value(&value, &Path::root(), 0, "");
    writer.out
}

struct Writer<'a> {
    pod: &'a ValidPod,
    palette: Palette,
    out: String,
}

impl Writer<'_> {
    /// A value of a list or map; `start` is what stands in front of its first line, a key or a dash.
    fn value(&mut self, value: &Value, path: &Path, indent: usize, start: &str) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                let mut lead = start;
                for (name, field) in fields {
                    let path = path.field_named(name);
                    let blanks = if lead.is_empty() {
                        " ".repeat(indent)
                    } else {
                        format!("{}{lead}", " ".repeat(indent - 2))
                    };
                    lead = "";
                    self.field(name, field, &path, indent, &blanks);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    let path = path.index(index);
                    match item {
                        Value::Object(fields) if !fields.is_empty() => {
                            self.value(item, &path, indent + 2, "- ");
                        }
                        scalar => {
                            let blanks = format!("{}- ", " ".repeat(indent));
                            let scalar = scalar_text(scalar, indent + 2);
                            self.line(&path, &format!("{blanks}{scalar}"));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn field(&mut self, name: &str, field: &Value, path: &Path, indent: usize, blanks: &str) {
        let is_nested = match field {
            Value::Object(fields) => !fields.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => false,
        };
        let name = scalar_text(&Value::String(name.to_owned()), 0);
        if !is_nested {
            let scalar = scalar_text(field, indent + 2);
            self.line(path, &format!("{blanks}{name}: {scalar}"));
            return;
        }
        self.line(path, &format!("{blanks}{name}:"));
        // Lists stand below their key without indentation, as kubectl has it.
        let deeper = if field.is_array() { indent } else { indent + 2 };
        self.value(field, path, deeper, "");
    }

    fn line(&mut self, path: &Path, text: &str) {
        let path = self.pod.in_document(path);
        let is_set = self.pod.document().root.at(&path).is_some();
        for line in text.lines() {
            let mark = if is_set { ' ' } else { '+' };
            let line = format!("{mark} {line}");
            let tone = if is_set { None } else { Some(Tone::Good) };
            self.out.push_str(&match tone {
                Some(tone) => self.palette.paint(tone, &line),
                None => line,
            });
            self.out.push('\n');
        }
    }
}

/// A scalar as YAML writes it; the further lines of a text are indented.
fn scalar_text(value: &Value, indent: usize) -> String {
    let text = object::render(value, Format::Yaml).unwrap_or_default();
    let mut lines = text.trim_end().lines();
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent.saturating_sub(2)));
            out.push_str(line);
        }
    }
    out
}

/// The pod in the form by which a cluster does what restart-pod mode does: each init container that fails makes all
/// containers start again.
pub(crate) fn with_restart_rules(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations.remove(ON_INIT_FAILURE);
        if annotations.is_empty() {
            pod.metadata.annotations = None;
        }
    }
    let Some(spec) = &mut pod.spec else {
        return pod;
    };
    // A pod that is never restarted has failed when an init container has, in this mode too.
    if spec.restart_policy.as_deref() == Some("Never") {
        return pod;
    }
    for container in spec.init_containers.iter_mut().flatten() {
        if is_sidecar(container) {
            continue;
        }
        // Rules need a policy; this is what an init container has of the pod.
        container
            .restart_policy
            .get_or_insert_with(|| "OnFailure".to_owned());
        container
            .restart_policy_rules
            .get_or_insert_default()
            .push(ContainerRestartRule {
                action: "RestartAllContainers".to_owned(),
                exit_codes: Some(ContainerRestartRuleOnExitCodes {
                    operator: "NotIn".to_owned(),
                    values: Some(vec![0]),
                }),
            });
    }
    pod
}
