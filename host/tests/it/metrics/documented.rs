//! docs/metrics.md lists what is really told.

use std::{collections::BTreeMap, fs};

use super::{Scrape, busy};
use crate::support::program::workspace;

/// Type, labels and meaning of a metric.
type Row = (String, String, String);

/// The metrics of a scrape, by name.
fn told(scrape: &Scrape) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    let mut help = BTreeMap::new();
    for line in scrape.0.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            let (name, text) = text.split_once(' ').expect("a name and a text");
            assert!(text.ends_with('.'), "{name}: {text}");
            help.insert(name, text);
        }
        if let Some(text) = line.strip_prefix("# TYPE ") {
            let (name, kind) = text.split_once(' ').expect("a name and a type");
            let series = match kind {
                "histogram" => format!("{name}_count"),
                _ => name.to_owned(),
            };
            let labels = scrape.labels(&series);
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let help = help.get(name).expect("a help before the type");
            let row = (kind.to_owned(), labels.join(", "), (*help).to_owned());
            let before = rows.insert(name.to_owned(), row);
            assert_eq!(before, None, "{name} is told twice");
        }
    }
    rows
}

/// The rows of the tables of docs/metrics.md, by name.
fn documented() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(workspace().join("docs/metrics.md"));
    let text = text.expect("docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = *cells.as_slice() else {
            panic!("{line}");
        };
        let name = name.trim_matches('`').to_owned();
        (
            name,
            (kind.to_owned(), labels.to_owned(), meaning.to_owned()),
        )
    });
    rows.collect()
}

#[test]
fn every_metric_is_documented_as_it_is_told() {
    let watched = busy();
    let told = told(&watched.scrape());
    let documented = documented();
    let names = |rows: &BTreeMap<String, Row>| rows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&documented), names(&told));
    for (name, (kind, labels, help)) in &told {
        let row = (kind.clone(), labels.clone(), help.clone());
        let (known_kind, known_labels, meaning) = &documented[name];
        assert_eq!((known_kind, known_labels), (kind, labels), "{name}");
        assert!(meaning.starts_with(help.as_str()), "{name}: {row:?}");
    }
}
