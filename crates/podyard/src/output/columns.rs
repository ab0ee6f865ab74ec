//! Elastic columns: text with tabs becomes text with aligned columns, by the rules of Go's `text/tabwriter`, which gives
//! `kubectl describe` its look.
//!
//! A tab ends a cell. A column is a run of neighbouring lines that have such a cell; it is as wide as its widest cell and the padding.
//! A line without a tab interrupts every column, so each block of a description has its own widths.

use unicode_width::UnicodeWidthStr;

/// Blanks after the widest cell of a column.
const PADDING: usize = 2;

/// Collects lines and aligns them at the end.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    lines: Vec<Vec<String>>,
}

impl Columns {
    /// Adds a line, indented by `level` steps of two blanks; its cells are separated by tabs.
    pub(crate) fn line(&mut self, level: usize, text: impl AsRef<str>) {
        let mut cells: Vec<String> = text.as_ref().split('\t').map(str::to_owned).collect();
        cells[0].insert_str(0, &"  ".repeat(level));
        self.lines.push(cells);
    }

    /// All lines, aligned.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        format(&self.lines, &mut Vec::new(), &mut text);
        text
    }
}

/// Aligns `lines`, whose first `widths.len()` columns are settled already.
fn format(lines: &[Vec<String>], widths: &mut Vec<usize>, text: &mut String) {
    let column = widths.len();
    let has_cell = |line: &Vec<String>| column + 1 < line.len();
    let mut rest = lines;
    while !rest.is_empty() {
        let outside = rest.iter().take_while(|line| !has_cell(line)).count();
        for line in &rest[..outside] {
            write_line(line, widths, text);
        }
        rest = &rest[outside..];
        let inside = rest.iter().take_while(|line| has_cell(line)).count();
        let (block, after) = rest.split_at(inside);
        if let Some(widest) = block.iter().map(|line| line[column].width()).max() {
            widths.push(widest + PADDING);
            format(block, widths, text);
            widths.pop();
        }
        rest = after;
    }
}

fn write_line(line: &[String], widths: &[usize], text: &mut String) {
    for (index, cell) in line.iter().enumerate() {
        text.push_str(cell);
        if let Some(width) = widths.get(index) {
            text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], expected: &str) {
        let mut columns = Columns::default();
        for line in lines {
            columns.line(0, line);
        }
        assert_eq!(columns.render(), expected);
    }

    #[test]
    fn a_column_is_as_wide_as_its_run_of_lines_needs() {
        check(
            &["Name:\tp", "Namespace:\tdefault"],
            "Name:       p\nNamespace:  default\n",
        );
        check(
            &["A:\t1", "Long:", "Longer still:\t2"],
            "A:  1\nLong:\nLonger still:  2\n",
        );
    }

    #[test]
    fn later_columns_start_where_the_earlier_ones_end() {
        check(
            &["a\tb\tc", "aaa\tb\tc", "a\tlast", "x\tbbbb\tc"],
            "a    b  c\naaa  b  c\na    last\nx    bbbb  c\n",
        );
        check(&["\tvalue", "key:\tother"], "      value\nkey:  other\n");
    }

    #[test]
    fn levels_indent_by_two() {
        let mut columns = Columns::default();
        columns.line(0, "Containers:");
        columns.line(1, "app:");
        columns.line(2, "Image:\tbusybox");
        columns.line(2, "State:\tRunning");
        columns.line(3, "Started:\tnow");
        assert_eq!(
            columns.render(),
            "Containers:\n  app:\n    Image:      busybox\n    State:      Running\n      Started:  now\n"
        );
    }
}
