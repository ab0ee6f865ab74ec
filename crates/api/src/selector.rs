//! Selectors as a command line and the `labelSelector` and `fieldSelector` of a request write them: `app=web,tier in (front,back),!old`.
//!
//! Not to be confused with the `LabelSelector` of an object, which is a structure.
//! See <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api>.

use std::collections::BTreeMap;

use crate::core::Pod;
use crate::names;

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It cannot be taken apart.
    #[error("unable to parse requirement `{requirement}`: {problem}")]
    Requirement {
        /// The part that is wrong, as it was written.
        requirement: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Objects cannot be selected by this field.
    #[error("field label not supported: {0}")]
    Field(String),
}

/// What labels an object has to have. All requirements have to hold; of none, everything is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelQuery(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    GreaterThan(i64),
    LessThan(i64),
}

impl LabelQuery {
    /// Reads `KEY`, `!KEY`, `KEY=VALUE` (also `==`), `KEY!=VALUE`, `KEY in (A,B)`, `KEY notin (A,B)`, `KEY>N` and `KEY<N`, with commas between.
    ///
    /// # Errors
    ///
    /// When one of them is none of these, or a key or a value is not one that a label can have.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let parts = split(text);
        let read = parts.into_iter().map(str::trim);
        read.filter(|part| !part.is_empty())
            .map(|part| {
                Requirement::parse(part).map_err(|problem| SelectorError::Requirement {
                    requirement: part.to_owned(),
                    problem,
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.and_then(|labels| labels.get(&requirement.key));
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match &requirement.test {
                Test::In(wanted) => value.is_some_and(|value| wanted.contains(value)),
                Test::NotIn(unwanted) => value.is_none_or(|value| !unwanted.contains(value)),
                Test::Exists => value.is_some(),
                Test::DoesNotExist => value.is_none(),
                Test::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
                Test::LessThan(bound) => number().is_some_and(|number| number < *bound),
            }
        })
    }
}

/// At the commas that are in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
    .collect()
}

impl Requirement {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(key) = text.strip_prefix('!') {
            return Self::new(key, Test::DoesNotExist);
        }
        if let Some((head, set)) = text.split_once('(') {
            let values = set
                .strip_suffix(')')
                .ok_or("the list of values has no end")?;
            let values: Vec<String> = values
                .split(',')
                .map(|value| value.trim().to_owned())
                .collect();
            return match head.split_whitespace().collect::<Vec<_>>()[..] {
                [key, "in"] => Self::new(key, Test::In(values)),
                [key, "notin"] => Self::new(key, Test::NotIn(values)),
                _ => Err("expected `KEY in (…)` or `KEY notin (…)`".to_owned()),
            };
        }
        let Some(at) = text.find(['=', '!', '<', '>']) else {
            return Self::new(text, Test::Exists);
        };
        let (key, rest) = text.split_at(at);
        let number = |text: &str| {
            let number = text.trim().parse::<i64>();
            number.map_err(|_| format!("`{}` is not a whole number", text.trim()))
        };
        let one = |text: &str| vec![text.trim().to_owned()];
        // The longer operator first, of which the shorter one is a part.
        if let Some(value) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
            Self::new(key, Test::In(one(value)))
        } else if let Some(value) = rest.strip_prefix("!=") {
            Self::new(key, Test::NotIn(one(value)))
        } else if let Some(bound) = rest.strip_prefix('>') {
            Self::new(key, Test::GreaterThan(number(bound)?))
        } else if let Some(bound) = rest.strip_prefix('<') {
            Self::new(key, Test::LessThan(number(bound)?))
        } else {
            Err("expected `=`, `!=`, `in`, `notin`, `<` or `>` after the key".to_owned())
        }
    }

    fn new(key: &str, test: Test) -> Result<Self, String> {
        let key = key.trim();
        if let Some(problem) = names::qualified_name(key).into_iter().next() {
            return Err(format!("key `{key}`: {problem}"));
        }
        let values = match &test {
            Test::In(values) | Test::NotIn(values) => &values[..],
            _ => &[],
        };
        for value in values {
            if let Some(problem) = names::label_value(value).into_iter().next() {
                return Err(format!("value `{value}`: {problem}"));
            }
        }
        Ok(Self {
            key: key.to_owned(),
            test,
        })
    }
}

/// What fields of a pod have to be. All requirements have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldQuery(Vec<FieldRequirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRequirement {
    /// Its place in [`POD_FIELDS`].
    field: usize,
    value: String,
    is_wanted: bool,
}

/// What a field is of a pod. What the pod does not say counts as empty text.
type FieldOf = fn(&Pod) -> String;

/// The fields by which the API server lets pods be selected.
const POD_FIELDS: &[(&str, FieldOf)] = &[
    ("metadata.name", |pod| text(pod.metadata.name.as_ref())),
    ("metadata.namespace", |pod| {
        text(pod.metadata.namespace.as_ref())
    }),
    ("spec.nodeName", |pod| {
        text(pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()))
    }),
    ("spec.restartPolicy", |pod| {
        text(
            pod.spec
                .as_ref()
                .and_then(|spec| spec.restart_policy.as_ref()),
        )
    }),
    ("spec.schedulerName", |pod| {
        text(
            pod.spec
                .as_ref()
                .and_then(|spec| spec.scheduler_name.as_ref()),
        )
    }),
    ("spec.serviceAccountName", |pod| {
        text(
            pod.spec
                .as_ref()
                .and_then(|spec| spec.service_account_name.as_ref()),
        )
    }),
    ("spec.hostNetwork", |pod| {
        let of_host = pod.spec.as_ref().and_then(|spec| spec.host_network);
        of_host.unwrap_or_default().to_string()
    }),
    ("status.phase", |pod| {
        text(pod.status.as_ref().and_then(|status| status.phase.as_ref()))
    }),
    ("status.podIP", |pod| {
        text(
            pod.status
                .as_ref()
                .and_then(|status| status.pod_ip.as_ref()),
        )
    }),
    ("status.nominatedNodeName", |pod| {
        text(
            pod.status
                .as_ref()
                .and_then(|status| status.nominated_node_name.as_ref()),
        )
    }),
];

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

impl FieldQuery {
    /// Reads `FIELD=VALUE` (also `==`) and `FIELD!=VALUE`, with commas between.
    ///
    /// # Errors
    ///
    /// When one of them is none of these, or pods cannot be selected by that field.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let parts = text.split(',').map(str::trim);
        let read = parts.filter(|part| !part.is_empty()).map(|part| {
            let (field, is_wanted, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = part.split_once("==") {
                (field, true, value)
            } else if let Some((field, value)) = part.split_once('=') {
                (field, true, value)
            } else {
                return Err(SelectorError::Requirement {
                    requirement: part.to_owned(),
                    problem: "expected `FIELD=VALUE` or `FIELD!=VALUE`".to_owned(),
                });
            };
            let field = field.trim();
            let known = POD_FIELDS.iter().position(|(name, _)| *name == field);
            Ok(FieldRequirement {
                field: known.ok_or_else(|| SelectorError::Field(field.to_owned()))?,
                value: value.trim().to_owned(),
                is_wanted,
            })
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the pod is selected.
    #[must_use]
    pub fn matches(&self, pod: &Pod) -> bool {
        self.0.iter().all(|requirement| {
            let of_pod = POD_FIELDS[requirement.field].1;
            (of_pod(pod) == requirement.value) == requirement.is_wanted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn labels_are_selected_as_kubernetes_does() {
        let all = [
            "app=web tier=front n=3",
            "app=web tier=back old=",
            "app=db example.com/x=y",
        ];
        for (selector, expected) in [
            ("", [true, true, true]),
            ("app=web", [true, true, false]),
            ("app==web,tier=front", [true, false, false]),
            (" app = web , tier = front ", [true, false, false]),
            ("app!=web", [false, false, true]),
            ("tier!=front", [false, true, true]),
            ("tier in (front,back)", [true, true, false]),
            ("tier in ( front , x ),app", [true, false, false]),
            ("tier notin (front)", [false, true, true]),
            ("tier", [true, true, false]),
            ("!tier", [false, false, true]),
            ("old=", [false, true, false]),
            ("old in ()", [false, true, false]),
            ("example.com/x=y", [false, false, true]),
            ("n>2", [true, false, false]),
            ("n>3", [false, false, false]),
            ("n<4", [true, false, false]),
            ("tier>1", [false, false, false]),
        ] {
            let query = LabelQuery::parse(selector).expect(selector);
            let found = all.map(|text| query.matches(Some(&labels(text))));
            assert_eq!(found, expected, "{selector}");
        }
        assert!(LabelQuery::default().matches(None));
        assert!(LabelQuery::parse("!a").is_ok_and(|query| query.matches(None)));
        assert!(LabelQuery::parse("a").is_ok_and(|query| !query.matches(None)));
    }

    #[test]
    fn what_is_no_selector_says_where() {
        for (text, expected) in [
            (
                "app=web,b c",
                "unable to parse requirement `b c`: key `b c`: name part",
            ),
            (
                "a in (b",
                "unable to parse requirement `a in (b`: the list of values has no end",
            ),
            (
                "a of (b)",
                "unable to parse requirement `a of (b)`: expected `KEY in (…)`",
            ),
            ("a=b=c", "unable to parse requirement `a=b=c`: value `b=c`"),
            (
                "=b",
                "unable to parse requirement `=b`: key ``: name part must be non-empty",
            ),
            ("a!b", "unable to parse requirement `a!b`: expected `=`"),
            (
                "a>b",
                "unable to parse requirement `a>b`: `b` is not a whole number",
            ),
        ] {
            let error = LabelQuery::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn pods_are_selected_by_fields() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"containers": [], "restartPolicy": "Never"},
            "status": {"phase": "Running"},
        }))
        .expect("a pod");
        for (selector, expected) in [
            ("", true),
            ("status.phase=Running", true),
            ("status.phase==Running,metadata.name=web", true),
            ("status.phase!=Running", false),
            ("status.phase=Running,metadata.name!=web", false),
            ("spec.hostNetwork=false", true),
            ("status.podIP=", true),
        ] {
            let query = FieldQuery::parse(selector).expect(selector);
            assert_eq!(query.matches(&pod), expected, "{selector}");
        }
        let unknown = FieldQuery::parse("spec.hostname=a").expect_err("not by this one");
        assert_eq!(
            unknown.to_string(),
            "field label not supported: spec.hostname"
        );
        assert!(FieldQuery::parse("status.phase").is_err());
    }
}
