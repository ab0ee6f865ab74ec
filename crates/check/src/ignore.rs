//! Findings that somebody has looked at and wants to keep as they are.
//!
//! Two ways: the annotation `podyard.dev/ignore: id,id` on the object or on its pod template, and a comment
//! `# podyard:ignore id` on the line of the finding or in the comment above it.

use podyard_api::Span;

/// The annotation.
pub(crate) const ANNOTATION: &str = "podyard.dev/ignore";
const COMMENT: &str = "podyard:ignore";

/// The ids of a list with commas or blanks between them.
pub(crate) fn ids(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t', '\n'])
        .map(str::trim)
        .filter(|id| !id.is_empty())
}

/// Whether a comment at the place of the finding names the check.
pub(crate) fn by_comment(span: &Span, id: &str) -> bool {
    let text = &span.source().text;
    let start = text[..span.start()].rfind('\n').map_or(0, |at| at + 1);
    let above = text[..start]
        .lines()
        .rev()
        .take_while(|line| line.trim_start().starts_with('#'));
    std::iter::once(span.line())
        .chain(above)
        .any(|line| in_comment(line).any(|named| named == id))
}

/// The ids that a line's comment names.
fn in_comment(line: &str) -> impl Iterator<Item = &str> {
    let list = line
        .rfind('#')
        .and_then(|at| line[at + 1..].trim_start().strip_prefix(COMMENT));
    list.into_iter().flat_map(ids)
}

/// Every id that a comment of the text names, with the bytes at which it stands.
pub(crate) fn all_in_comments(text: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    for line in text.lines() {
        for id in in_comment(line) {
            // Both are parts of the same text.
            found.push((id, id.as_ptr() as usize - text.as_ptr() as usize));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use podyard_api::Source;

    use super::*;

    #[test]
    fn a_comment_on_the_line_or_above_it() {
        let text = "a: 1 # podyard:ignore x, y\nb: 2\n# why\n# podyard:ignore z\nc: 3\n";
        let source = Arc::new(Source::new("pod.yaml", text));
        let at = |word: &str| {
            let start = text.find(word).expect("it is there");
            Span::new(Arc::clone(&source), start, start + 1)
        };
        assert!(by_comment(&at("a: 1"), "x") && by_comment(&at("a: 1"), "y"));
        assert!(!by_comment(&at("b: 2"), "x"));
        assert!(by_comment(&at("c: 3"), "z"));
        assert!(!by_comment(&at("c: 3"), "x"));
        let ids: Vec<&str> = all_in_comments(text).iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, ["x", "y", "z"]);
        assert_eq!(all_in_comments(text)[0].1, text.find('x').expect("x"));
    }
}
