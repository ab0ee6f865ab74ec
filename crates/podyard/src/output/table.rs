//! Tables as kubectl prints them: left-aligned columns, three spaces apart, no lines.

use unicode_width::UnicodeWidthStr;

use super::escape::one_line;

/// Blanks between two columns of a listing.
const LISTING_GAP: usize = 3;

/// A header and rows of the same number of cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty listing with these column titles.
    pub(crate) fn new<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Self {
        Self {
            header: header.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Appends a row.
    pub(crate) fn push<T: Into<String>>(&mut self, row: impl IntoIterator<Item = T>) {
        // A cell is one line, whatever a container wrote into a message.
        let row: Vec<String> = row
            .into_iter()
            .map(|cell| one_line(&cell.into()).into_owned())
            .collect();
        assert_eq!(
            row.len(),
            self.header.len(),
            "a row has as many cells as the header"
        );
        self.rows.push(row);
    }

    /// The width of each column, without the gap.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|cell| cell.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        widths
    }

    /// The whole table, one line a row, with the header.
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let mut text = line(&self.header, &widths);
        for row in &self.rows {
            text.push_str(&line(row, &widths));
        }
        text
    }

    /// Lines for the rows alone, in columns at least as wide as `widths`, which grow with them: what `-w` prints after its first screen.
    pub(crate) fn render_rows(&self, widths: &mut [usize]) -> String {
        for (width, own) in widths.iter_mut().zip(self.widths()) {
            *width = (*width).max(own);
        }
        self.rows.iter().map(|row| line(row, widths)).collect()
    }
}

/// One line. The last cell is not padded, so that no line ends in blanks because another one is longer.
fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (index, cell) in cells.iter().enumerate() {
        text.push_str(cell);
        if index + 1 < cells.len() {
            let blanks = widths[index].saturating_sub(cell.width()) + LISTING_GAP;
            text.extend(std::iter::repeat_n(' ', blanks));
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_display_width() {
        let mut table = Table::new(["NAME", "STATUS"]);
        table.push(["web", "Running"]);
        table.push(["数据", "Init:0/1"]);
        assert_eq!(
            table.render(),
            "NAME   STATUS\nweb    Running\n数据   Init:0/1\n"
        );
    }

    #[test]
    fn later_rows_keep_the_columns_of_the_first_screen() {
        let mut first = Table::new(["NAME", "STATUS"]);
        first.push(["web-frontend", "Pending"]);
        let mut widths = first.widths();
        let mut next = Table::new(["NAME", "STATUS"]);
        next.push(["web", "Running"]);
        assert_eq!(next.render_rows(&mut widths), "web            Running\n");
    }

    #[test]
    fn a_cell_never_breaks_the_table() {
        let mut table = Table::new(["A", "B"]);
        table.push(["x\ny", ""]);
        assert_eq!(table.render(), "A     B\nx y\n");
    }
}
