//! The documentation against the code: deviations, error texts, statuses, and everything
//! that is named.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tenantry_conformance::{Wire, cases};

use crate::native::Native;

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> String {
    let text = fs::read_to_string(workspace().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of Rust code, by its path from the workspace's root.
fn code() -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.unwrap_or_default();
            if path.is_dir() {
                if name != "target" && name != "node_modules" && !name.starts_with('.') {
                    walk(&path, files);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("text");
                let path = path.strip_prefix(workspace()).expect("inside");
                files.insert(path.to_owned(), text);
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(workspace(), &mut files);
    files
}

/// What stands between each `start` and the `end` behind it.
fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    let parts = text.split(start).skip(1);
    parts.filter_map(move |part| Some(part.split_once(end)?.0))
}

/// What a text has between backticks, outside of blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
        .collect()
}

/// The deviations of docs/http.md: number and text.
fn deviations(page: &str) -> BTreeMap<u32, &str> {
    let (_, list) = page.split_once("\n## Deviations\n").expect("the list");
    let sections = list.split("\n### ").skip(1);
    let numbered = sections.map(|section| {
        let (number, text) = section.split_once(". ").expect("a number");
        (number.parse().expect("a number"), text)
    });
    numbered.collect()
}

#[test]
fn every_deviation_of_the_data_is_listed() {
    let page = read("docs/http.md");
    let listed = deviations(&page);
    for case in cases() {
        if let Some(deviation) = &case.expect {
            let number = deviation.number;
            assert!(
                listed.contains_key(&number),
                "docs/http.md has no deviation {number}: {}",
                case.name
            );
        }
    }
    let numbers: Vec<_> = listed.keys().copied().collect();
    let wanted: Vec<_> = (1..=numbers.len() as u32).collect();
    assert_eq!(numbers, wanted);
}

#[test]
fn every_listed_deviation_is_checked_and_has_a_reason() {
    let page = read("docs/http.md");
    let files = code();
    let used: BTreeSet<u32> = cases()
        .iter()
        .filter_map(|case| Some(case.expect.as_ref()?.number))
        .collect();
    for (number, text) in deviations(&page) {
        assert!(text.contains("\nWhy: "), "deviation {number} has no reason");
        let checks = text.split_once("\nChecked by: ").map(|(_, checks)| checks);
        let checks = quoted(checks.unwrap_or_default());
        assert!(
            used.contains(&number) || !checks.is_empty(),
            "no case and no test shows deviation {number}"
        );
        for check in checks {
            assert!(is_test(&files, check), "{check} is no test");
        }
    }
}

/// The texts of errors as they stand in the code.
fn error_texts() -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for (path, text) in code() {
        if path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        // Neither comments nor a unit test behind the code are a part of it.
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code = text.lines().map(str::trim);
        let code: Vec<_> = code.filter(|line| !line.starts_with("//")).collect();
        let text = &*code.join("\n");
        for arguments in between(text, "detail(", ")") {
            texts.extend(arguments.split('"').nth(1).map(str::to_owned));
        }
        texts.extend(between(text, "{\"detail\":\"", "\"}").map(str::to_owned));
        if path.ends_with("core/src/contract/refusal.rs") {
            texts.extend(between(text, "message: \"", "\"").map(str::to_owned));
            texts.extend(between(text, "kind: \"", "\"").map(str::to_owned));
        }
        if path.ends_with("core/src/json/scan.rs") {
            let texts_here = between(text, ": &str = \"", "\";");
            texts.extend(texts_here.map(|text| text.replace("\\\\", "\\")));
        }
    }
    texts
}

/// The texts of errors in the answers to all recorded requests.
fn answered_texts() -> BTreeSet<String> {
    let mut native = Native::unlimited();
    let mut texts = BTreeSet::new();
    for case in cases() {
        let (Wire::Message(exchange) | Wire::Framed(exchange, _)) = case.request() else {
            continue;
        };
        let reply = native.exchange(&exchange);
        if reply.status < 400 || reply.body.is_empty() {
            continue;
        }
        let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        texts.extend(body["detail"].as_str().map(str::to_owned));
        for item in body["detail"].as_array().into_iter().flatten() {
            for text in [&item["type"], &item["msg"], &item["ctx"]["error"]] {
                texts.extend(text.as_str().map(str::to_owned));
            }
        }
    }
    texts
}

#[test]
fn every_error_text_is_documented() {
    let page = read("docs/http.md");
    let quoted = quoted(&page);
    let (in_code, answered) = (error_texts(), answered_texts());
    assert!(answered.len() > 15, "{answered:?}");
    let unseen: Vec<_> = answered.difference(&in_code).collect();
    assert!(unseen.is_empty(), "answered, but not found: {unseen:?}");
    for text in in_code {
        let detail = format!("{{\"detail\":\"{text}\"}}");
        assert!(
            quoted.contains(&&*text) || quoted.contains(&&*detail),
            "docs/http.md does not say `{text}`"
        );
    }
}

#[test]
fn the_page_and_the_api_description_name_the_same_answers() {
    let page = read("docs/http.md");
    let mut on_page = BTreeSet::new();
    let (_, routes) = page.split_once("\n## Routes\n").expect("routes");
    let rows = routes.lines().skip_while(|line| !line.starts_with("|---"));
    for row in rows.skip(1) {
        if row.is_empty() {
            break;
        }
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, methods, path, _, statuses, _] = cells[..] else {
            continue;
        };
        for method in methods.split(", ") {
            for status in statuses.split(", ") {
                on_page.insert((
                    method.to_lowercase(),
                    path.trim_matches('`').to_owned(),
                    status.to_owned(),
                ));
            }
        }
    }
    let api: Value =
        serde_json::from_str(&read("core/src/contract/pages/openapi.json")).expect("JSON");
    let mut in_api = BTreeSet::new();
    for (path, operations) in api["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            for status in operation["responses"]
                .as_object()
                .expect("responses")
                .keys()
            {
                in_api.insert((method.clone(), path.clone(), status.clone()));
            }
        }
    }
    assert_eq!(on_page, in_api);
}

/// Where `module::item` is defined: the text in front of it.
fn definition<'a>(files: &'a BTreeMap<PathBuf, String>, path: &str) -> Option<&'a str> {
    let (module, item) = path.rsplit_once("::")?;
    let module = module.rsplit("::").next()?;
    let in_module = files.iter().filter(|(path, _)| {
        path.with_extension("")
            .components()
            .any(|part| part.as_os_str() == module)
    });
    let mut before = in_module.filter_map(|(_, text)| {
        ["fn", "struct", "enum", "trait", "type", "const", "static"]
            .iter()
            .find_map(|kind| {
                let start = format!("{kind} {item}");
                let ends = |at: usize| {
                    let behind = text[at + start.len()..].chars().next();
                    !behind.is_some_and(|c| c.is_alphanumeric() || c == '_')
                };
                let (at, _) = text.match_indices(&start).find(|(at, _)| ends(*at))?;
                Some(&text[..at])
            })
    });
    before.next()
}

fn is_test(files: &BTreeMap<PathBuf, String>, path: &str) -> bool {
    let Some(before) = definition(files, path) else {
        return false;
    };
    // Attributes and comments stand between `#[test]` and the function.
    let mut lines = before.lines().rev().map(str::trim);
    lines
        .find(|line| !line.is_empty() && !line.starts_with("//"))
        .is_some_and(|line| line == "#[test]")
}

const PAGES: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/admin.md",
    "docs/databases.md",
    "docs/decisions.md",
    "docs/http.md",
    "docs/metrics.md",
    "docs/operations.md",
];

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for page in PAGES {
        let text = read(page);
        for link in between(&text, "](", ")") {
            if link.starts_with("https://") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(page).parent().expect("a folder");
            let target = if file.is_empty() {
                Path::new(page).to_owned()
            } else {
                folder.join(file)
            };
            let path = workspace().join(&target);
            assert!(path.exists(), "{page}: {link}");
            if !anchor.is_empty() {
                let text = fs::read_to_string(path).expect("text");
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|heading| anchor_of(heading) == anchor),
                    "{page}: {link}"
                );
            }
        }
    }
    assert!(links > 10);
}

/// The anchor that GitHub gives a heading.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.collect()
}

#[test]
fn what_the_architecture_names_exists() {
    let page = read("ARCHITECTURE.md") + &read("docs/decisions.md");
    let files = code();
    let (mut items, mut paths) = (0, 0);
    for name in quoted(&page) {
        let is_word = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if name.contains("::") && name.split("::").all(is_word) {
            items += 1;
            assert!(definition(&files, name).is_some(), "there is no {name}");
        } else if name.contains('/') && !name.starts_with('/') && !name.contains([' ', '<']) {
            paths += 1;
            assert!(workspace().join(name).exists(), "there is no {name}");
        }
    }
    assert!(items > 30 && paths > 20, "{items} items, {paths} paths");
}

#[test]
fn every_invariant_has_a_check() {
    let page = read("ARCHITECTURE.md");
    let files = code();
    let mut invariants = 0;
    for paragraph in page.split("\n\n") {
        if !paragraph.trim_start().starts_with("**Invariant") {
            continue;
        }
        invariants += 1;
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, checks) = paragraph
            .split_once("*Held by*")
            .unwrap_or_else(|| panic!("nothing holds: {paragraph}"));
        let checks = quoted(checks);
        // A test, or a line in a file that the compiler or another tool obeys.
        let held = checks.iter().any(|check| is_test(&files, check))
            || checks.windows(2).any(|pair| {
                let file = workspace().join(pair[0]);
                fs::read_to_string(file).is_ok_and(|text| text.contains(pair[1]))
            });
        assert!(held, "no check is known: {paragraph}");
        for check in checks.iter().filter(|check| check.contains("::")) {
            assert!(is_test(&files, check), "{check} is no test");
        }
    }
    assert!(invariants >= 10, "{invariants}");
}
