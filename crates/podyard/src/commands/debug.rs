//! `debug`: what a pod's supervisor saw and decided, turn by turn.

use std::path::Path;

use podyard_lifecycle::{EventKind, PodMachine};
use podyard_supervisor::replay::{Replay, Step};
use serde_json::{Value, json};

use super::print;
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::output::age;
use crate::pods;
use crate::settings::{Context, ReplaySettings};

pub(super) fn replay(context: &Context, settings: &ReplaySettings) -> Result<ExitCode, CliError> {
    let failed = |error| CliError::failed("cannot replay the journal", error);
    let mut replay = match Path::new(&settings.what) {
        path if path.extension().is_some_and(|ending| ending == "jsonl") => {
            if !path.exists() {
                return Err(CliError::NotFound(format!(
                    "there is no journal `{}`",
                    path.display()
                )));
            }
            Replay::of_file(path).map_err(failed)?
        }
        _ => Replay::of_pod(&pods::find(context, &settings.what)?).map_err(failed)?,
    };
    let mut began = None;
    let mut before = Value::Null;
    while let Some(step) = replay.next() {
        let status = to_value(&step.status)?;
        let since = step.turn.now.since_boot;
        let began = *began.get_or_insert(since);
        let number = step.turn.turn;
        let is_wanted = settings.from.is_none_or(|from| number >= from)
            && settings.to.is_none_or(|to| number <= to);
        if is_wanted {
            match settings.format {
                Some(format) => super::print_object(&object(&step)?, format)?,
                None => {
                    let at = age::precise(since.saturating_sub(began));
                    print(text(replay.machine(), &step, &at, &before, &status)?)?;
                }
            }
        }
        before = status;
    }
    Ok(ExitCode::Success)
}

fn object(step: &Step) -> Result<Value, CliError> {
    Ok(json!({
        "turn": step.turn.turn,
        "now": to_value(&step.turn.now)?,
        "observations": to_value(&step.turn.observations)?,
        "requests": to_value(&step.turn.requests)?,
        "actions": to_value(&step.actions)?,
        "events": to_value(&step.events)?,
        "status": to_value(&step.status)?,
    }))
}

/// One turn: what was seen and asked, then what was decided and told, then what is different in the status.
fn text(
    machine: &PodMachine,
    step: &Step,
    at: &str,
    before: &Value,
    after: &Value,
) -> Result<String, CliError> {
    let mut text = format!("turn {} +{at}\n", step.turn.turn);
    for observation in &step.turn.observations {
        text.push_str(&format!(
            "  saw     {}\n",
            words(machine, &to_value(observation)?)
        ));
    }
    for request in &step.turn.requests {
        text.push_str(&format!(
            "  asked   {}\n",
            words(machine, &to_value(request)?)
        ));
    }
    for action in &step.actions {
        text.push_str(&format!(
            "  began   {}\n",
            words(machine, &to_value(action)?)
        ));
    }
    for event in &step.events {
        let kind = match event.kind {
            EventKind::Normal => "",
            EventKind::Warning => "warning ",
        };
        let of = event
            .field_path
            .as_deref()
            .map(|path| format!("{path}: "))
            .unwrap_or_default();
        text.push_str(&format!(
            "  told    {kind}{}: {of}{}\n",
            event.reason, event.message
        ));
    }
    let mut changes = Vec::new();
    differences("", before, after, &mut changes);
    for change in changes {
        text.push_str(&format!("  status  {change}\n"));
    }
    Ok(text)
}

/// `ContainerExited one attempt=0 exit={"Code":0}`: the variant's name, the container's name, the other fields.
fn words(machine: &PodMachine, value: &Value) -> String {
    let Value::Object(variant) = value else {
        return value.as_str().unwrap_or_default().to_owned();
    };
    let mut words = Vec::new();
    for (name, fields) in variant {
        words.push(name.clone());
        let Value::Object(fields) = fields else {
            words.push(fields.to_string());
            continue;
        };
        if let Some(index) = fields.get("container").and_then(Value::as_u64) {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            words.push(
                machine
                    .container_name(podyard_lifecycle::ContainerIndex(index))
                    .to_owned(),
            );
        }
        for (field, value) in fields {
            match value {
                Value::Null => {}
                _ if field == "container" || field == "at" => {}
                // All of it is in `-o json`.
                pod if field == "pod" => {
                    let generation = pod.pointer("/metadata/generation");
                    words.push(format!("generation={}", generation.unwrap_or(&Value::Null)));
                }
                Value::String(text) => words.push(format!("{field}={text}")),
                other => words.push(format!("{field}={other}")),
            }
        }
    }
    words.join(" ")
}

/// Each leaf that is not as it was, by its place.
fn differences(place: &str, before: &Value, after: &Value, changes: &mut Vec<String>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|key| !new.contains_key(*key));
            changes.extend(gone.map(|key| format!("{}{key} is gone", dotted(place))));
            for (key, value) in new {
                let old = old.get(key).unwrap_or(&Value::Null);
                differences(&format!("{}{key}", dotted(place)), old, value, changes);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for (index, value) in new.iter().enumerate() {
                let old = old.get(index).unwrap_or(&Value::Null);
                // Containers and conditions are called by their names.
                let called = value
                    .get("name")
                    .or_else(|| value.get("type"))
                    .and_then(Value::as_str);
                let called = called.map_or_else(|| index.to_string(), str::to_owned);
                differences(&format!("{place}[{called}]"), old, value, changes);
            }
        }
        (Value::Null, Value::Object(new)) => {
            for (key, value) in new {
                differences(
                    &format!("{}{key}", dotted(place)),
                    &Value::Null,
                    value,
                    changes,
                );
            }
        }
        (Value::Null, Value::Array(_)) => {
            differences(place, &Value::Array(Vec::new()), after, changes)
        }
        (_, after) => changes.push(format!("{place} = {after}")),
    }
}

fn dotted(place: &str) -> String {
    if place.is_empty() {
        String::new()
    } else {
        format!("{place}.")
    }
}

fn to_value(object: &impl serde::Serialize) -> Result<Value, CliError> {
    serde_json::to_value(object)
        .map_err(|error| CliError::failed("cannot print the journal", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_what_changed() {
        let before = json!({"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}], "x": 1});
        let after = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "list": [{"name": "a", "n": 1}]});
        let mut changes = Vec::new();
        differences("", &before, &after, &mut changes);
        assert_eq!(
            changes,
            [
                "x is gone",
                "conditions[Ready].status = \"True\"",
                "list[a].n = 1",
                "list[a].name = \"a\"",
                "phase = \"Running\""
            ]
        );
    }
}
