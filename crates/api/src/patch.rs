//! Patches: a part of an object that says how the whole is to change.
//!
//! Two of the kinds that Kubernetes knows: the JSON merge patch of RFC 7386, and the strategic one, which differs in lists whose entries
//! have a name: there, an entry changes the entry of the same name instead of taking the place of all.

use serde_json::{Map, Value};

/// How lists are patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/merge-patch+json`: a list replaces the list.
    Merge,
    /// `application/strategic-merge-patch+json`: entries with a name are changed one by one.
    Strategic,
}

/// By the name of the list, what names its entries. Every list of a Pod that the API server merges.
const KEYS: [(&str, &str); 15] = [
    ("conditions", "type"),
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("ports", "containerPort"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
    ("schedulingGates", "name"),
    ("resourceClaims", "name"),
    ("ownerReferences", "uid"),
];

/// Applies a patch. What a patch cannot mean (a list where there is an object) replaces what is there, as the RFC says.
pub fn apply(target: &mut Value, patch: &Value, kind: PatchKind) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if kind == PatchKind::Strategic && patch.get("$patch") == Some(&Value::from("replace")) {
        *target = Value::Object(without_directives(patch));
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (field, value) in patch {
        if kind == PatchKind::Strategic && field.starts_with('$') {
            // `$setElementOrder/…` only says in which order the entries stand, and nothing here depends on that.
            continue;
        }
        match (value, key_of(field, kind)) {
            (Value::Null, _) => {
                target.remove(field);
            }
            (Value::Array(entries), Some(key)) => {
                let list = target
                    .entry(field)
                    .or_insert_with(|| Value::Array(Vec::new()));
                merge_list(list, entries, key);
            }
            (value, _) => apply(target.entry(field).or_insert(Value::Null), value, kind),
        }
    }
}

fn key_of(field: &str, kind: PatchKind) -> Option<&'static str> {
    let key = KEYS.iter().find(|(list, _)| *list == field);
    key.filter(|_| kind == PatchKind::Strategic)
        .map(|(_, key)| *key)
}

fn merge_list(list: &mut Value, entries: &[Value], key: &str) {
    if entries
        .iter()
        .any(|entry| directive(entry) == Some("replace"))
    {
        *list = Value::Array(Vec::new());
    }
    let Value::Array(list) = list else {
        *list = Value::Array(entries.to_vec());
        return;
    };
    for entry in entries {
        let name = entry.get(key);
        let known = list.iter().position(|known| known.get(key) == name);
        match (directive(entry), known.filter(|_| name.is_some())) {
            (Some("delete"), Some(known)) => drop(list.remove(known)),
            (Some(_), _) => {}
            (None, Some(known)) => apply(&mut list[known], entry, PatchKind::Strategic),
            (None, None) => {
                let mut new = Value::Null;
                apply(&mut new, entry, PatchKind::Strategic);
                list.push(new);
            }
        }
    }
}

fn directive(entry: &Value) -> Option<&str> {
    entry.get("$patch")?.as_str()
}

fn without_directives(object: &Map<String, Value>) -> Map<String, Value> {
    let fields = object.iter().filter(|(field, _)| !field.starts_with('$'));
    fields
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(target: Value, patch: Value, kind: PatchKind) -> Value {
        let mut target = target;
        apply(&mut target, &patch, kind);
        target
    }

    #[test]
    fn merge_patches_as_in_the_rfc() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!([1, 2]),
                json!({"a": "b", "c": null}),
                json!({"a": "b"}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            let text = patch.to_string();
            assert_eq!(patched(target, patch, PatchKind::Merge), expected, "{text}");
        }
    }

    #[test]
    fn strategic_patches_change_entries_by_name() {
        let pod = json!({"spec": {
            "containers": [{"name": "a", "image": "x:1", "env": [{"name": "A", "value": "1"}]}, {"name": "b", "image": "x:1"}],
            "tolerations": [{"key": "t"}],
        }});
        let patch = json!({"spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [
                {"name": "a", "image": "x:2", "env": [{"name": "B", "value": "2"}, {"name": "A", "$patch": "delete"}]},
                {"name": "c", "image": "x:3"},
            ],
            "tolerations": [{"key": "u"}],
        }});
        let expected = json!({"spec": {
            "containers": [
                {"name": "a", "image": "x:2", "env": [{"name": "B", "value": "2"}]},
                {"name": "b", "image": "x:1"},
                {"name": "c", "image": "x:3"},
            ],
            "tolerations": [{"key": "u"}],
        }});
        assert_eq!(patched(pod, patch, PatchKind::Strategic), expected);
    }

    #[test]
    fn a_directive_replaces_a_list_or_an_object() {
        let conditions = json!({"conditions": [{"type": "a", "status": "True"}, {"type": "b", "status": "True"}], "o": {"x": 1}});
        let patch = json!({"conditions": [{"$patch": "replace"}, {"type": "c", "status": "False"}], "o": {"$patch": "replace", "y": 2}});
        assert_eq!(
            patched(conditions, patch, PatchKind::Strategic),
            json!({"conditions": [{"type": "c", "status": "False"}], "o": {"y": 2}})
        );
        // To a merge patch a dollar is a letter like any other.
        assert_eq!(
            patched(json!({}), json!({"$patch": "delete"}), PatchKind::Merge),
            json!({"$patch": "delete"})
        );
    }
}
