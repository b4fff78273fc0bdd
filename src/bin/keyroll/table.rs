//! A table as wide as its contents, and no wider than the terminal.

use std::fmt::Write;

/// Between two columns.
const GAP: &str = "  ";

/// A column: its head, its cells and where they stand in it.
pub(crate) struct Column {
    pub(crate) head: &'static str,
    pub(crate) cells: Vec<String>,
    pub(crate) to_the_right: bool,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(String::len);
        cells.chain([self.head.len()]).max().unwrap_or(0)
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.cells.iter().all(String::is_empty)
    }
}

/// The table's lines. Columns that do not fit into `width` characters are left out, the last first,
/// but never the first two; `true` if some are.
pub(crate) fn render(mut columns: Vec<Column>, width: Option<usize>) -> (String, bool) {
    columns.retain(|column| !column.is_empty());
    let all = columns.len();
    if let Some(width) = width {
        while columns.len() > 2 && total(&columns) > width {
            columns.pop();
        }
    }
    let widths: Vec<usize> = columns.iter().map(Column::width).collect();
    let mut text = String::new();
    let rows = columns.first().map_or(0, |column| column.cells.len());
    for row in 0..=rows {
        let mut line = String::new();
        for (column, &width) in columns.iter().zip(&widths) {
            let cell = match row {
                0 => column.head,
                _ => &column.cells[row - 1],
            };
            if !line.is_empty() {
                line.push_str(GAP);
            }
            // Writing to a String cannot fail.
            let _ = if column.to_the_right {
                write!(line, "{cell:>width$}")
            } else {
                write!(line, "{cell:width$}")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    (text, columns.len() < all)
}

fn total(columns: &[Column]) -> usize {
    let widths: usize = columns.iter().map(Column::width).sum();
    widths + GAP.len() * columns.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        let column = |head, cells: [&str; 2], to_the_right| Column {
            head,
            cells: cells.map(String::from).to_vec(),
            to_the_right,
        };
        vec![
            column("key id", ["1", "4294967295"], true),
            column("version", ["1", "3"], true),
            column("", ["", "latest"], false),
            column("created", ["2026-11-21T10:00:00Z", "x"], false),
        ]
    }

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell() {
        let (text, cut) = render(columns(), None);
        let expected = "    key id  version          created
         1        1          2026-11-21T10:00:00Z
4294967295        3  latest  x
";
        assert_eq!((text.as_str(), cut), (expected, false));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 19..80 {
            let (text, cut) = render(columns(), Some(width));
            assert!(text.lines().all(|line| line.len() <= width), "{width}: {text}");
            assert_eq!(cut, width < 49, "{width}");
        }
    }

    #[test]
    fn many_lines_take_no_longer_each_than_few() {
        let numbers: Vec<String> = (0..40_000).map(|n: u32| n.to_string()).collect();
        let column = |head| Column {
            head,
            cells: numbers.clone(),
            to_the_right: true,
        };
        let start = std::time::Instant::now();
        let (text, _) = render(vec![column("key id"), column("version")], None);
        assert_eq!(text.lines().count(), 40_001);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }

    #[test]
    fn id_and_version_are_never_left_out() {
        let (text, _) = render(columns(), Some(1));
        assert!(text.starts_with("    key id  version\n"), "{text}");
    }
}
