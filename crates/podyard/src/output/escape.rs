//! Text of strangers made safe for a terminal.
//!
//! Names come from manifests and messages from containers: an escape sequence in one of them must not move the cursor, change the title
//! or hide a line. Container logs are the exception: they are the workload's own output and pass unchanged.

use std::borrow::Cow;

/// Every control character made visible: blanks for line breaks and tabs, caret notation for the others.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '\n' | '\r' | '\t' => safe.push(' '),
            // U+0000 to U+001F as ^@ to ^_, DEL as ^?.
            '\0'..='\u{1f}' | '\u{7f}' => {
                safe.push('^');
                safe.push(char::from((character as u8) ^ 0x40));
            }
            // The C1 controls, among them a one-character "escape [".
            _ if character.is_control() => safe.push(char::REPLACEMENT_CHARACTER),
            _ => safe.push(character),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_reaches_the_terminal_as_a_command() {
        for (text, expected) in [
            ("plain äöü", "plain äöü"),
            ("two\nlines\n", "two lines"),
            ("\u{1b}[2Jgone", "^[[2Jgone"),
            ("bell\u{7}del\u{7f}", "bell^Gdel^?"),
            ("\u{9b}2J", "\u{fffd}2J"),
        ] {
            assert_eq!(one_line(text), expected);
        }
    }
}
