//! The first rows of a result as a table of characters.

use domain::execution::{Column, PreviewRow};
use serde_json::value::RawValue;

use crate::text::inline;

const ROWS: usize = 10;
const COLUMNS: usize = 8;
const CELL: usize = 40;

/// A table of the first rows and columns, and whether these are all that the preview has.
pub(super) fn table(columns: &[Column], rows: &[&PreviewRow]) -> (String, bool) {
    let names = columns.iter().take(COLUMNS).map(|column| cell(&column.name)).collect();
    let mut lines: Vec<Vec<String>> = vec![names];
    lines.extend(rows.iter().take(ROWS).map(|row| cells(&row.json)));
    let widths = widths(&lines);
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect();
    lines.insert(1, rule);
    let written: Vec<String> = lines.iter().map(|line| aligned(line, &widths)).collect();
    (written.join("\n"), columns.len() <= COLUMNS && rows.len() <= ROWS)
}

/// The values of a row. Numbers stay as the server wrote them.
fn cells(json: &str) -> Vec<String> {
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(values) => values.iter().take(COLUMNS).map(|value| cell(&plain(value.get()))).collect(),
        Err(_) => vec![cell(json)],
    }
}

/// Texts without their quotes.
fn plain(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

fn cell(text: &str) -> String {
    if text.is_empty() { String::new() } else { inline(text, CELL).text }
}

fn widths(lines: &[Vec<String>]) -> Vec<usize> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    (0..columns).map(|column| width(column).max(1)).collect()
}

fn aligned(line: &[String], widths: &[usize]) -> String {
    let padded: Vec<String> = line
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count()))))
        .collect();
    padded.join(" | ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Column {
        Column { name: name.to_owned(), type_name: "text".to_owned() }
    }

    #[test]
    fn a_table_shows_values_as_the_server_wrote_them() {
        let rows = ["[9007199254740993,\"a\\nb\"]", "[1.10,null]", "[\"é\",[]]"]
            .map(|json| PreviewRow { statement: 0, json: json.to_owned() });
        let rows: Vec<&PreviewRow> = rows.iter().collect();
        let (table, all) = table(&[column("id"), column("na\u{202e}me")], &rows);
        let expected = "id               | na⟨U+202E⟩me\n\
                        ---------------- | ------------\n\
                        9007199254740993 | a⟨U+000A⟩b\n\
                        1.10             | null\n\
                        é                | []";
        assert_eq!(table, expected);
        assert!(all);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said_so() {
        let row = PreviewRow { statement: 0, json: format!("[{}]", vec!["1"; 20].join(",")) };
        let columns: Vec<Column> = (0..20).map(|n| column(&n.to_string())).collect();
        let (wide, all) = table(&columns, &[&row]);
        assert_eq!(wide.lines().next().unwrap().split('|').count(), COLUMNS);
        assert!(!all);
        let (long, all) = table(&[column("a")], &[&row; 30]);
        assert_eq!(long.lines().count(), ROWS + 2);
        assert!(!all);
    }
}
