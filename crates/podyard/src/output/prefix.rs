//! Log lines of several containers in one stream: each line begins with its container.

/// Puts a prefix in front of every line of one container. Pieces of a line are held back until the line is whole, so that lines of
/// different containers do not run into each other.
#[derive(Debug)]
pub(crate) struct Prefixer {
    prefix: Vec<u8>,
    rest: Vec<u8>,
}

/// A line that grows longer than this is printed in pieces: a container may print for ever without a line break.
const LONGEST_LINE: usize = 1 << 20;

impl Prefixer {
    /// With this text in front of each line.
    pub(crate) fn new(prefix: impl Into<Vec<u8>>) -> Self {
        Self {
            prefix: prefix.into(),
            rest: Vec::new(),
        }
    }

    /// Appends the whole lines of what has come so far to `out`.
    pub(crate) fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() >= LONGEST_LINE {
                self.finish(out);
            }
        }
    }

    /// Appends what is left, as a line.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.rest.is_empty() {
            return;
        }
        out.extend_from_slice(&self.prefix);
        out.append(&mut self.rest);
        if out.last() != Some(&b'\n') {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole() {
        let mut one = Prefixer::new("[a] ");
        let mut two = Prefixer::new("[b] ");
        let mut out = Vec::new();
        one.push(b"first\nsec", &mut out);
        two.push(b"other\n", &mut out);
        one.push(b"ond\n\nrest", &mut out);
        one.finish(&mut out);
        two.finish(&mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "[a] first\n[b] other\n[a] second\n[a] \n[a] rest\n"
        );
    }
}
