//! Answers as people read them.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, value::RawValue};

/// Text without what could steer a terminal: line ends, controls, and marks that turn the
/// writing around.
pub(super) fn plain(text: &str) -> String {
    let is_plain = |letter: char| {
        let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        !letter.is_control() && !turns
    };
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_plain(letter) {
            plain.push(letter);
        } else {
            plain.extend(letter.escape_unicode());
        }
    }
    plain
}

/// A value in a cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        other => other.to_string(),
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

/// Items as a list in JSON, each as it was told, on a line of its own.
pub(super) fn json(items: &[Box<RawValue>]) -> String {
    let items: Vec<_> = items.iter().map(|item| item.get()).collect();
    if items.is_empty() {
        return "[]\n".to_owned();
    }
    format!("[\n{}\n]\n", items.join(",\n"))
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
    fn json_is_as_it_was_told() {
        assert_eq!(json(&[]), "[]\n");
        let items = items(&[r#"{"b":1.10,"a":2}"#, "3"]);
        assert_eq!(json(&items), "[\n{\"b\":1.10,\"a\":2},\n3\n]\n");
    }
}
