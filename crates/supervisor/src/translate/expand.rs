//! `$(VAR)` as Kubernetes expands it (`pod-api.md` section 3.2): no nesting, no defaults; an unknown name stays as it is written.

use std::cell::RefCell;

/// Replaces every `$(NAME)` that `value` knows; `$$` becomes `$`.
pub(crate) fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest
            .strip_prefix('(')
            .and_then(|inside| inside.split_once(')'))
        {
            match value(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// The same where every name has to be known.
///
/// # Errors
///
/// The names that are not.
pub(crate) fn expand_known<'a>(
    text: &str,
    value: impl Fn(&str) -> Option<&'a str>,
) -> Result<String, Vec<String>> {
    let missing = RefCell::new(Vec::new());
    let expanded = expand(text, |name| {
        let found = value(name);
        if found.is_none() {
            missing.borrow_mut().push(name.to_owned());
        }
        found
    });
    let missing = missing.into_inner();
    if missing.is_empty() {
        Ok(expanded)
    } else {
        Err(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_reference() {
        for (text, expected) in [
            ("$(A)", "x"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$x"),
            ("$$", "$"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("a$(A)b$(A)", "axbx"),
            ("é$(A)ü", "éxü"),
            ("", ""),
        ] {
            assert_eq!(
                expand(text, |name| (name == "A").then_some("x")),
                expected,
                "{text}"
            );
        }
    }
}
