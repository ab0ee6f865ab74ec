//! Files of variables that an init container writes and another container gets (`fileKeyRef`, `pod-api.md` section 3.6). Pure text.
//!
//! ```text
//! # a comment
//! KEY='a value in single quotes,
//! over as many lines as it likes'   # a comment
//! EMPTY=
//! ```
//!
//! The last line is an error in this grammar: a value is quoted, or a blank follows the `=`.

/// A line of this many bytes or more is refused, as the kubelet's reader does.
const LINE_BYTES: usize = 64 << 10;

/// The text is no file of variables, as far as it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The value of a key, empty if the file has no such key. Nothing behind the key is looked at.
pub(crate) fn value(text: &str, key: &str) -> Result<String, Malformed> {
    let mut lines = text.lines();
    let mut next = || -> Result<Option<&str>, Malformed> {
        match lines.next() {
            Some(line) if line.len() >= LINE_BYTES => Err(Malformed),
            // The last line may have one without the other.
            line => Ok(line.map(|line| line.strip_suffix('\r').unwrap_or(line))),
        }
    };
    while let Some(line) = next()? {
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, mut rest) = line.split_once('=').ok_or(Malformed)?;
        if name.is_empty() || name.ends_with([' ', '\t']) {
            return Err(Malformed);
        }
        let mut value = String::new();
        if !rest.starts_with([' ', '\t']) {
            rest = rest.strip_prefix('\'').ok_or(Malformed)?;
            let after = loop {
                if let Some((end, after)) = rest.split_once('\'') {
                    value.push_str(end);
                    break after;
                }
                value.push_str(rest);
                value.push('\n');
                rest = next()?.ok_or(Malformed)?;
            };
            let after = after.trim_start_matches([' ', '\t']);
            if !after.is_empty() && !after.starts_with('#') {
                return Err(Malformed);
            }
        }
        if name == key {
            return Ok(value);
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_the_reference() {
        let ok = |text: &str| Ok(text.to_owned());
        for (text, expected) in [
            ("K='v'", ok("v")),
            ("K='v'\n", ok("v")),
            ("K='v'\r\n", ok("v")),
            ("\n# c\n \tK='v' \t# c\nrubbish", ok("v")),
            ("A='1'\nK='v'", ok("v")),
            ("K='a\nb\n'", ok("a\nb\n")),
            ("K='a\r\nb'", ok("a\nb")),
            ("K='\"$x\\n'", ok("\"$x\\n")),
            ("K=''", ok("")),
            ("K= anything 'here", ok("")),
            ("A='1'", ok("")),
            ("", ok("")),
            ("export K='v'", ok("")),
            ("K=v", Err(Malformed)),
            ("K=", Err(Malformed)),
            ("K=\"v\"", Err(Malformed)),
            ("K ='v'", Err(Malformed)),
            ("='v'", Err(Malformed)),
            ("K", Err(Malformed)),
            ("K='v' x", Err(Malformed)),
            ("K='v", Err(Malformed)),
            ("rubbish\nK='v'", Err(Malformed)),
        ] {
            assert_eq!(value(text, "K"), expected, "{text:?}");
        }
        assert_eq!(value("export K='v'", "export K"), ok("v"));
        let long = format!("K='{}'", "x".repeat(LINE_BYTES));
        assert_eq!(value(&long, "K"), Err(Malformed));
        assert_eq!(value(&format!("K='v'\n{long}"), "K"), ok("v"));
    }
}
