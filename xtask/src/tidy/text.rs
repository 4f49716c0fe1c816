//! Rules for every file, and for the changelog.

use super::File;

/// Lines that a file may have, unless it is data.
const MAX_LINES: usize = 800;

/// A file that is too long to be read in one go.
pub(super) fn too_long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    let is_data = file.path.ends_with(".jsonl");
    let is_too_long = lines > MAX_LINES && !is_data;
    is_too_long.then(|| format!("{}: {lines} lines; {MAX_LINES} is the most", file.path))
}

/// Marks of work that somebody was to do later. (Written apart here, so that this file
/// is not found.)
const MARKS: &[&str] = &[
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
];

/// Lines that say that something is not done yet.
pub(super) fn left_for_later(file: &File) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    let marked = lines.filter(|(_, line)| {
        let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.any(|word| MARKS.contains(&word))
    });
    marked
        .map(|(index, _)| format!("{}:{}: left for later", file.path, index + 1))
        .collect()
}

/// A changelog with no place for what is not released yet.
pub(super) fn changelog(text: Option<&str>) -> Option<String> {
    let heading = |line: &str| {
        let title = line.strip_prefix("## ").map(str::trim);
        title.is_some_and(|title| title == "Unreleased" || title.starts_with("[Unreleased]"))
    };
    match text {
        Some(text) if text.lines().any(heading) => None,
        Some(_) => Some("CHANGELOG.md: no section `## [Unreleased]`".to_owned()),
        None => Some("CHANGELOG.md: missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    #[test]
    fn a_long_file_is_a_problem_and_long_data_is_none() {
        let lines = |number: usize| "x\n".repeat(number);
        assert_eq!(too_long(&file("a.rs", &lines(800))), None);
        assert_eq!(
            too_long(&file("a.rs", &lines(801))).as_deref(),
            Some("a.rs: 801 lines; 800 is the most")
        );
        assert_eq!(too_long(&file("a.jsonl", &lines(801))), None);
    }

    #[test]
    fn what_is_left_for_later_is_found() {
        for mark in MARKS {
            let text = format!("a\n// {mark}: b\n");
            assert_eq!(
                left_for_later(&file("a.rs", &text)),
                ["a.rs:2: left for later"]
            );
            // Part of another word.
            let text = format!("{mark}S and A{mark}\n");
            assert_eq!(left_for_later(&file("a.rs", &text)), [""; 0]);
        }
    }

    #[test]
    fn a_changelog_has_a_place_for_what_is_new() {
        assert_eq!(changelog(Some("# Changelog\n\n## [Unreleased]\n")), None);
        assert_eq!(changelog(Some("## Unreleased\n")), None);
        assert!(changelog(Some("## 1.0.0\nUnreleased\n")).is_some());
        assert!(changelog(None).is_some());
    }
}
