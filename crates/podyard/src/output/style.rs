//! Colours: what they stand for, and whether they are on.
//!
//! A colour only repeats what a word or a symbol says already, so switching them off loses nothing.

use anstyle::{AnsiColor, Style};

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It went well.
    Good,
    /// It failed.
    Bad,
    /// It waits, or somebody should look at it.
    Attention,
    /// It is going on.
    Active,
    /// Less important than what is beside it.
    Quiet,
    /// A heading, a name.
    Strong,
    /// Belongs to the container with this place in the pod: the same colour each time.
    Container(usize),
}

/// Paints text, or leaves it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Palette {
    enabled: bool,
}

/// Six colours that can be told apart on light and dark backgrounds; red and grey mean something else already.
const CONTAINER_COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];

impl Palette {
    /// With or without colours.
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    /// Whether it paints.
    pub(crate) fn is_enabled(self) -> bool {
        self.enabled
    }

    /// `text` in the colour of `tone`.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.enabled || text.is_empty() {
            return text.to_owned();
        }
        let style = style(tone);
        format!("{style}{text}{style:#}")
    }
}

fn style(tone: Tone) -> Style {
    let colored = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
    match tone {
        Tone::Good => colored(AnsiColor::Green),
        Tone::Bad => colored(AnsiColor::Red).bold(),
        Tone::Attention => colored(AnsiColor::Yellow),
        Tone::Active => colored(AnsiColor::Cyan),
        Tone::Quiet => Style::new().dimmed(),
        Tone::Strong => Style::new().bold(),
        Tone::Container(index) => colored(CONTAINER_COLORS[index % CONTAINER_COLORS.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_text_is_text() {
        assert_eq!(Palette::new(false).paint(Tone::Bad, "failed"), "failed");
        assert_eq!(
            Palette::new(true).paint(Tone::Good, "done"),
            "\u{1b}[32mdone\u{1b}[0m"
        );
        assert_eq!(Palette::new(true).paint(Tone::Good, ""), "");
    }
}
