//! Did you mean …? The nearest known word to a misspelt one.

/// The candidate nearest to `word`, if one is near enough to be what was meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted: Vec<char> = word.to_lowercase().chars().take(64).collect();
    if wanted.is_empty() {
        return None;
    }
    let allowed = (wanted.len() / 3).clamp(1, 3);
    candidates
        .filter(|candidate| !candidate.is_empty() && *candidate != word)
        .map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().take(64).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, left) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, right) in to.iter().enumerate() {
            let mut best = (last[column] + usize::from(left != right))
                .min(last[column + 1] + 1)
                .min(current[column] + 1);
            if row > 0 && column > 0 && *left == to[column - 1] && from[row - 1] == *right {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_only() {
        let fields = ["initContainers", "containers", "image", "imagePullPolicy"];
        for (word, expected) in [
            ("intiContainers", Some("initContainers")),
            ("Containers", Some("containers")),
            ("imagePulPolicy", Some("imagePullPolicy")),
            ("imgae", Some("image")),
            ("hostNetwork", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, fields.into_iter()), expected, "{word}");
        }
    }
}
