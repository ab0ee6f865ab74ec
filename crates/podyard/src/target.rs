//! Which pods a command line names: `pods`, `pod a b`, `pod/a pod/b`, `a`.

use crate::error::CliError;

/// The pods that are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Every pod there is.
    All,
    /// These, in this order.
    Named(Vec<String>),
}

impl Target {
    /// Reads `TYPE [NAME…]` or `TYPE/NAME…`, as kubectl does.
    pub(crate) fn parse(words: &[String]) -> Result<Self, CliError> {
        let Some((first, rest)) = words.split_first() else {
            return Ok(Self::All);
        };
        if first.contains('/') {
            return words
                .iter()
                .map(|word| pod_name(word))
                .collect::<Result<_, _>>()
                .map(Self::Named);
        }
        if !is_pods(first) {
            return Err(unknown_type(first));
        }
        if let Some(slashed) = rest.iter().find(|word| word.contains('/')) {
            return Err(CliError::Usage(format!(
                "`{first}` names the type already: write `{}` without its type",
                slashed
            )));
        }
        Ok(if rest.is_empty() {
            Self::All
        } else {
            Self::Named(rest.to_vec())
        })
    }
}

/// The pod's name in `NAME` or `pod/NAME`.
pub(crate) fn pod_name(word: &str) -> Result<String, CliError> {
    match word.split_once('/') {
        None => Ok(word.to_owned()),
        Some((kind, name)) if is_pods(kind) && !name.is_empty() && !name.contains('/') => {
            Ok(name.to_owned())
        }
        Some((kind, _)) if is_pods(kind) => Err(CliError::Usage(format!("`{word}` names no pod"))),
        Some((kind, _)) => Err(unknown_type(kind)),
    }
}

fn is_pods(kind: &str) -> bool {
    matches!(kind.to_ascii_lowercase().as_str(), "pod" | "pods" | "po")
}

fn unknown_type(kind: &str) -> CliError {
    CliError::Usage(format!(
        "there is no resource type `{kind}` here: podyard keeps `pods`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<Target>) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(Target::parse(&words).ok(), expected, "{line}");
    }

    #[test]
    fn targets_as_kubectl_reads_them() {
        let named = |names: &[&str]| {
            Some(Target::Named(
                names.iter().map(|&name| name.to_owned()).collect(),
            ))
        };
        check("pods", Some(Target::All));
        check("po", Some(Target::All));
        check("Pod a b", named(&["a", "b"]));
        check("pod/a", named(&["a"]));
        check("pod/a pods/b", named(&["a", "b"]));
        check("deployment a", None);
        check("deployment/a", None);
        check("pod pod/a", None);
        check("pod/", None);
    }
}
