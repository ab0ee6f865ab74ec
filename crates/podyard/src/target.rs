//! Which objects a command line names: `pods`, `pod a b`, `pod/a configmap/b`, `pods,secrets`.

use podyard_api::selector::{FieldQuery, LabelQuery};

use crate::error::CliError;
use crate::objects::Pod;

/// The objects of one kind that are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Every one there is.
    All,
    /// Those that look like this.
    Selected(Selection),
    /// These, in this order.
    Named(Vec<String>),
}

/// What objects have to look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) labels: LabelQuery,
    pub(crate) fields: FieldQuery,
}

impl Selection {
    /// What was asked for, if anything was.
    pub(crate) fn parse(
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Option<Self>, CliError> {
        if labels.is_none() && fields.is_none() {
            return Ok(None);
        }
        let usage =
            |error: podyard_api::selector::SelectorError| CliError::Usage(error.to_string());
        Ok(Some(Self {
            labels: LabelQuery::parse(labels.unwrap_or_default()).map_err(usage)?,
            fields: FieldQuery::parse(fields.unwrap_or_default()).map_err(usage)?,
        }))
    }

    /// Whether the pod is one of them.
    pub(crate) fn matches(&self, pod: &Pod) -> bool {
        self.labels.matches(pod.metadata.labels.as_ref()) && self.fields.matches(pod)
    }
}

/// A kind of object that podyard keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Pods,
    ConfigMaps,
    Secrets,
    Claims,
}

/// Objects of one kind, as a command line asks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) resource: Resource,
    pub(crate) target: Target,
}

/// Singular, plural and short names, as kubectl knows them.
const NAMES: &[(Resource, [&str; 3])] = &[
    (Resource::Pods, ["pod", "pods", "po"]),
    (Resource::ConfigMaps, ["configmap", "configmaps", "cm"]),
    (Resource::Secrets, ["secret", "secrets", "secret"]),
    (
        Resource::Claims,
        ["persistentvolumeclaim", "persistentvolumeclaims", "pvc"],
    ),
];

impl Resource {
    /// The kind of this name, with or without its group.
    fn of(word: &str) -> Result<Self, CliError> {
        let lower = word.to_ascii_lowercase();
        let lower = lower.strip_suffix(".v1").unwrap_or(&lower);
        let named = NAMES.iter().find(|(_, names)| names.contains(&lower));
        named.map(|(resource, _)| *resource).ok_or_else(|| {
            let known: Vec<String> = NAMES
                .iter()
                .map(|(_, [_, plural, _])| format!("`{plural}`"))
                .collect();
            CliError::Usage(format!(
                "there is no resource type `{word}` here: podyard keeps {}",
                known.join(", ")
            ))
        })
    }

    /// kubectl's word for one of them.
    pub(crate) fn singular(self) -> &'static str {
        let names = NAMES.iter().find(|(resource, _)| *resource == self);
        names.map_or("", |(_, [singular, ..])| singular)
    }
}

impl Wanted {
    /// Reads `TYPE[,TYPE…] [NAME…]` or `TYPE/NAME…`, as kubectl does. Names of one type stay together.
    pub(crate) fn parse(words: &[String]) -> Result<Vec<Self>, CliError> {
        let Some((first, rest)) = words.split_first() else {
            return Ok(vec![Self {
                resource: Resource::Pods,
                target: Target::All,
            }]);
        };
        if first.contains('/') {
            return Self::each(words);
        }
        let resources: Vec<Resource> = first
            .split(',')
            .map(Resource::of)
            .collect::<Result<_, _>>()?;
        if let Some(slashed) = rest.iter().find(|word| word.contains('/')) {
            return Err(CliError::Usage(format!(
                "`{first}` names the type already: write `{slashed}` without its type"
            )));
        }
        let target = if rest.is_empty() {
            Target::All
        } else {
            Target::Named(rest.to_vec())
        };
        let all = resources.into_iter().map(|resource| Self {
            resource,
            target: target.clone(),
        });
        Ok(all.collect())
    }

    /// As [`Self::parse`], with those that look like `selection` instead of all.
    pub(crate) fn parse_selected(
        words: &[String],
        selection: Option<&Selection>,
    ) -> Result<Vec<Self>, CliError> {
        let mut all = Self::parse(words)?;
        if let Some(selection) = selection {
            for wanted in &mut all {
                if let Target::Named(_) = wanted.target {
                    return Err(CliError::Usage(
                        "name cannot be provided when a selector is specified".to_owned(),
                    ));
                }
                wanted.target = Target::Selected(selection.clone());
            }
        }
        Ok(all)
    }

    /// The pods that are meant, where nothing else can be; `what` says so.
    pub(crate) fn only_pods(wanted: &[Self], what: &str) -> Result<Target, CliError> {
        match wanted {
            [
                Self {
                    resource: Resource::Pods,
                    target,
                },
            ] => Ok(target.clone()),
            _ => Err(CliError::Usage(what.to_owned())),
        }
    }

    fn each(words: &[String]) -> Result<Vec<Self>, CliError> {
        let mut all: Vec<Self> = Vec::new();
        for word in words {
            let (kind, name) = word.split_once('/').ok_or_else(|| {
                CliError::Usage(format!("`{word}` names no type: write TYPE/{word}"))
            })?;
            let resource = Resource::of(kind)?;
            check_name(word, name, resource)?;
            let known = all.iter_mut().find(|wanted| wanted.resource == resource);
            match known.map(|wanted| &mut wanted.target) {
                Some(Target::Named(names)) => names.push(name.to_owned()),
                _ => all.push(Self {
                    resource,
                    target: Target::Named(vec![name.to_owned()]),
                }),
            }
        }
        Ok(all)
    }
}

/// The pod's name in `NAME` or `pod/NAME`.
pub(crate) fn pod_name(word: &str) -> Result<String, CliError> {
    let Some((kind, name)) = word.split_once('/') else {
        return Ok(word.to_owned());
    };
    match Resource::of(kind)? {
        Resource::Pods => check_name(word, name, Resource::Pods).map(|()| name.to_owned()),
        _ => Err(CliError::Usage(format!("`{word}` is not a pod"))),
    }
}

fn check_name(word: &str, name: &str, resource: Resource) -> Result<(), CliError> {
    if name.is_empty() || name.contains('/') {
        let kind = resource.singular();
        return Err(CliError::Usage(format!("`{word}` names no {kind}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<&[(Resource, &[&str])]>) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let expected = expected.map(|all| {
            let wanted = all.iter().map(|(resource, names)| Wanted {
                resource: *resource,
                target: match names {
                    [] => Target::All,
                    names => Target::Named(names.iter().map(|&name| name.to_owned()).collect()),
                },
            });
            wanted.collect::<Vec<_>>()
        });
        assert_eq!(Wanted::parse(&words).ok(), expected, "{line}");
    }

    #[test]
    fn targets_as_kubectl_reads_them() {
        use Resource::{Claims, ConfigMaps, Pods, Secrets};
        check("pods", Some(&[(Pods, &[])]));
        check("po", Some(&[(Pods, &[])]));
        check("Pod a b", Some(&[(Pods, &["a", "b"])]));
        check("pod/a", Some(&[(Pods, &["a"])]));
        check("pod/a pods/b", Some(&[(Pods, &["a", "b"])]));
        check("cm a", Some(&[(ConfigMaps, &["a"])]));
        check("ConfigMaps", Some(&[(ConfigMaps, &[])]));
        check("secret", Some(&[(Secrets, &[])]));
        check("pvc/data", Some(&[(Claims, &["data"])]));
        check("persistentvolumeclaim", Some(&[(Claims, &[])]));
        check("pods,cm", Some(&[(Pods, &[]), (ConfigMaps, &[])]));
        check(
            "pod/a cm/b pod/c",
            Some(&[(Pods, &["a", "c"]), (ConfigMaps, &["b"])]),
        );
        check("deployment a", None);
        check("deployment/a", None);
        check("pod pod/a", None);
        check("pod/a b", None);
        check("pod/", None);
        check("cm/a/b", None);
    }

    #[test]
    fn a_pod_is_meant_where_only_pods_can_be() {
        let name = |word| pod_name(word).ok();
        assert_eq!(name("a").as_deref(), Some("a"));
        assert_eq!(name("pod/a").as_deref(), Some("a"));
        assert_eq!(name("pod/"), None);
        assert_eq!(name("cm/a"), None);
        assert_eq!(name("thing/a"), None);
    }
}
