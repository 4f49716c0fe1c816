//! Links and file names in Markdown.

use std::collections::BTreeSet;

use pulldown_cmark::{Event, Parser, Tag};

use super::File;

/// Endings that make a word without a folder the name of one of this project's files.
const NAMED: &[&str] = &[".md", ".rs", ".wit"];

/// Links to, and names of, files that are not there.
pub(super) fn broken(file: &File, paths: &BTreeSet<&str>) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let events = Parser::new(&file.text).into_offset_iter();
    events
        .filter_map(|(event, range)| {
            let problem = match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    let is_fine = link(&dest_url, folder).is_none_or(|path| exists(&path, paths));
                    (!is_fine).then(|| format!("the link {dest_url} leads nowhere"))
                }
                Event::Code(code) => {
                    let is_fine = !is_file_name(&code, paths) || is_there(&code, folder, paths);
                    (!is_fine).then(|| format!("there is no file `{code}`"))
                }
                _ => None,
            };
            let line = file.text[..range.start].matches('\n').count() + 1;
            problem.map(|problem| format!("{}:{line}: {problem}", file.path))
        })
        .collect()
}

/// The path that a link leads to, if that is in the repository.
fn link(target: &str, folder: &str) -> Option<String> {
    let path = target.split('#').next().unwrap_or_default();
    let is_elsewhere = path.contains(':') || path.starts_with("//");
    (!path.is_empty() && !is_elsewhere).then(|| join(folder, path))
}

/// Whether code in a text is meant as the name of a file.
fn is_file_name(code: &str, paths: &BTreeSet<&str>) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/".contains(letter);
    if !code.chars().all(is_plain) {
        return false;
    }
    match code.split_once('/') {
        // Below one of the repository's own folders.
        Some((top, _)) => !top.is_empty() && exists(top, paths),
        None => NAMED
            .iter()
            .any(|end| code.len() > end.len() && code.ends_with(end)),
    }
}

fn is_there(code: &str, folder: &str, paths: &BTreeSet<&str>) -> bool {
    let is_named = |path: &&str| path.rsplit('/').next() == Some(code);
    exists(&join("", code), paths)
        || exists(&join(folder, code), paths)
        || !code.contains('/') && paths.iter().any(is_named)
}

/// Whether the repository has such a file or folder.
fn exists(path: &str, paths: &BTreeSet<&str>) -> bool {
    let below = format!("{path}/");
    let is_folder = || {
        let next = paths.range(below.as_str()..).next();
        next.is_some_and(|next| next.starts_with(&below))
    };
    path.is_empty() || paths.contains(path) || is_folder()
}

/// A path, seen from a folder of the repository.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if !parts.is_empty() => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    fn problems(path: &str, text: &str) -> Vec<String> {
        let paths = ["README.md", "core/src/lib.rs", "docs/http.md"];
        broken(&file(path, text), &BTreeSet::from(paths))
    }

    #[test]
    fn links_to_files_are_followed() {
        for good in [
            "[a](docs/http.md#limits)",
            "[a](core/src)",
            "[a](https://example.org/x.md)",
            "[a](#here)",
            "```\n[a](nowhere.md)\n```",
        ] {
            assert_eq!(problems("README.md", good), [""; 0], "{good}");
        }
        assert_eq!(problems("docs/http.md", "[a](../README.md)"), [""; 0]);
        assert_eq!(
            problems("docs/http.md", "a\n\n[a](README.md)"),
            ["docs/http.md:3: the link README.md leads nowhere"]
        );
    }

    #[test]
    fn names_of_files_are_looked_up() {
        for good in [
            "`core/src/lib.rs`",
            "`core/`",
            "`lib.rs`",
            "`/docs/x`",
            "`a/b`",
            "`x.json`",
        ] {
            assert_eq!(problems("README.md", good), [""; 0], "{good}");
        }
        assert_eq!(
            problems("README.md", "`core/src/nothing.rs` and `none.rs`"),
            [
                "README.md:1: there is no file `core/src/nothing.rs`",
                "README.md:1: there is no file `none.rs`",
            ]
        );
    }
}
