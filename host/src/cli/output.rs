//! Answers as people read them.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, value::RawValue};

use crate::terminal::{escaped, escaped_json};

/// A value in a cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escaped(text).into_owned(),
        other => escaped_json(&other.to_string()).into_owned(),
    }
}

/// A table of items, with a column for each name: a member, or a member of a member.
pub(super) fn table(columns: &[&str], items: &[Box<RawValue>]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|name| {
            let name = name.rsplit('/').next().unwrap_or_default();
            name.to_uppercase()
        }));
    for item in items {
        let item: Value = serde_json::from_str(item.get()).unwrap_or_default();
        let cells = columns.iter().map(|name| {
            let value = item.pointer(&format!("/{name}"));
            value.map(cell).unwrap_or_default()
        });
        table.add_row(cells);
    }
    let lines = table.lines();
    lines.map(|line| line.trim().to_owned() + "\n").collect()
}

/// A list in JSON, printed page by page: each item as the server sends it, on a line of its own.
pub(super) struct JsonList<'a> {
    out: &'a mut dyn Write,
    is_begun: bool,
}

impl<'a> JsonList<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        let is_begun = false;
        Self { out, is_begun }
    }

    pub(super) fn add(&mut self, items: &[Box<RawValue>]) -> io::Result<()> {
        for item in items {
            let before = if self.is_begun { ",\n" } else { "[\n" };
            self.is_begun = true;
            write!(self.out, "{before}{}", escaped_json(item.get()))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        let end = if self.is_begun { "\n]\n" } else { "[]\n" };
        self.out.write_all(end.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(texts: &[&str]) -> Vec<Box<RawValue>> {
        let item = |text: &&str| RawValue::from_string((*text).to_owned()).expect("JSON");
        texts.iter().map(item).collect()
    }

    #[test]
    fn a_table_has_what_is_asked_for() {
        let items = items(&[
            r#"{"id":"a","row":{"name":"A b\u001b[1m\u202e"},"n":12}"#,
            r#"{"id":"longer","n":null}"#,
        ]);
        let table = table(&["id", "n", "row/name"], &items);
        let lines: Vec<Vec<_>> = table
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(lines[0], ["ID", "N", "NAME"], "{table}");
        assert_eq!(lines[1], ["a", "12", r"A b\u{1b}[1m\u{202e}"], "{table}");
        assert_eq!(lines[2], ["longer"], "{table}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn no_cell_steers_the_terminal() {
        let items =
            items(&["{\"row\":{\"name\":\"\u{9b}2J\u{202e}\u{2028}\u{61c}\"},\"id\":\"\u{9b}\"}"]);
        let table = table(&["id", "row"], &items);
        let row = r#"{"name":"\u009b2J\u202e\u2028\u061c"}"#;
        assert!(table.contains(row), "{table}");
        assert!(table.contains(r"\u{9b}"), "{table}");
    }

    #[test]
    fn json_is_as_it_was_told() {
        let printed = |pages: &[&[&str]]| {
            let mut out = Vec::new();
            let mut list = JsonList::new(&mut out);
            for page in pages {
                list.add(&items(page)).expect("memory");
            }
            list.finish().expect("memory");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(printed(&[]), "[]\n");
        assert_eq!(printed(&[&[]]), "[]\n");
        let pages = printed(&[&[r#"{"b":1.10,"a":2}"#, "3"], &["\"\u{9b}\""]]);
        assert_eq!(pages, "[\n{\"b\":1.10,\"a\":2},\n3,\n\"\\u009b\"\n]\n");
    }
}
