//! Step `tidy`: rules of this project that no other tool knows. Each rule is a function
//! from what it looks at to what is wrong with it.

mod ci;
mod crates;
mod markdown;
mod text;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cargo::Workspace,
    process::{cargo, read, root},
    steps::Outcome,
};

/// Folders that are not the project's source.
const FOREIGN: &[&str] = &[".git", "node_modules", "target"];

/// Endings of the files that are read.
const TEXT: &[&str] = &[
    "css", "html", "js", "jsonl", "md", "mjs", "rs", "sh", "toml", "ts", "tsx", "wit", "yaml",
    "yml",
];

/// A file of the repository.
#[derive(Debug)]
struct File {
    /// Its path in the repository, with `/` between folders.
    path: String,
    /// What it says; nothing where it is data.
    text: String,
}

/// Runs the step.
pub(crate) fn step() -> Result<Outcome> {
    let mut files = Vec::new();
    collect(&root(), Path::new(""), &mut files)?;
    let problems = problems(&files, &Workspace::load()?)?;
    if problems.is_empty() {
        println!("{} files are tidy", files.len());
        return Ok(Outcome::Passed);
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    bail!("{} problems", problems.len())
}

fn problems(files: &[File], workspace: &Workspace) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for file in files {
        problems.extend(text::too_long(file));
        problems.extend(text::left_for_later(file));
        if file.path.ends_with(".rs") {
            problems.extend(crates::unsafe_code(file)?);
        }
    }
    problems.extend(crates::core_fences(&content(files, "core/src/lib.rs")?));
    problems.extend(crates::core_dependencies(workspace));
    for member in workspace.members() {
        let path = member.manifest();
        let path = path.strip_prefix(root()).unwrap_or(&path);
        let path = path.to_string_lossy().replace('\\', "/");
        problems.extend(crates::lints(&path, &content(files, &path)?)?);
    }
    let args = [
        "tree",
        "--locked",
        "--package",
        "tenantry",
        "--edges=normal",
    ];
    let tree = read(cargo().args(args).args(["--prefix=none", "--format={p}"]))?;
    problems.extend(crates::compiler(&tree));
    problems.extend(ci::script(&content(files, ".ci/run")?));
    for name in ci::workflows() {
        content(files, &format!(".github/workflows/{name}"))?;
    }
    let workflows = files.iter().filter_map(|file| {
        let name = file.path.strip_prefix(".github/workflows/")?;
        Some(ci::workflow(name, &file.text))
    });
    for found in workflows {
        problems.extend(found?);
    }
    problems.extend(text::changelog(
        content(files, "CHANGELOG.md").ok().as_deref(),
    ));
    let paths: BTreeSet<_> = files.iter().map(|file| file.path.as_str()).collect();
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    problems.extend(documents.flat_map(|file| markdown::broken(file, &paths)));
    Ok(problems)
}

fn content(files: &[File], path: &str) -> Result<String> {
    let file = files.iter().find(|file| file.path == path);
    Ok(file
        .with_context(|| format!("{path} is missing"))?
        .text
        .clone())
}

/// Reads a folder's files, and those of the folders in it.
fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<()> {
    let shown = || folder.display().to_string();
    let entries = fs::read_dir(root.join(folder)).with_context(shown)?;
    let mut entries: Vec<_> = entries.collect::<Result<_, _>>().with_context(shown)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let path: PathBuf = folder.join(&name);
        let name = name.to_string_lossy();
        let kind = entry.file_type()?;
        if kind.is_dir() && !FOREIGN.contains(&&*name) {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            let end = path.extension().unwrap_or_default().to_string_lossy();
            let shown = path.to_string_lossy().replace('\\', "/");
            let text = if TEXT.contains(&&*end) || shown == ".ci/run" {
                fs::read_to_string(root.join(&path)).with_context(|| shown.clone())?
            } else {
                String::new()
            };
            files.push(File { path: shown, text });
        }
    }
    Ok(())
}

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}
