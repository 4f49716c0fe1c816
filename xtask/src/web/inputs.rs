//! What the package and the page are made of.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Folders and files of `web/` that are built from.
const SOURCES: &[&str] = &[
    "npm",
    "page",
    "scripts",
    "budget.json",
    "package-lock.json",
    // The page starts with them.
    "../tenants.jsonl",
];

/// A text that changes whenever one of the inputs does.
///
/// # Errors
/// One can't be read.
pub(super) fn fingerprint(web: &Path, module: &Path) -> Result<String> {
    let mut files = vec![module.to_owned()];
    for source in SOURCES {
        collect(&web.join(source), &mut files)?;
    }
    let mut hasher = DefaultHasher::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        (file, bytes).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            collect(&entry.path(), files)?;
        }
    } else {
        files.push(path.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_file_changes_it() {
        let name = format!("tenantry-inputs-{}/web", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let page = folder.join("npm");
        fs::create_dir_all(&page).expect("a folder");
        for name in [
            "page",
            "scripts",
            "budget.json",
            "package-lock.json",
            "module",
            "../tenants.jsonl",
        ] {
            fs::write(folder.join(name), name).expect("a file");
        }
        let now = || fingerprint(&folder, &folder.join("module")).expect("readable");
        let first = now();
        assert_eq!(now(), first);
        fs::write(page.join("index.html"), "a").expect("a file");
        let second = now();
        assert_ne!(second, first);
        fs::write(page.join("index.html"), "b").expect("a file");
        assert_ne!(now(), second);
        fs::remove_file(folder.join("module")).expect("it is there");
        assert!(fingerprint(&folder, &folder.join("module")).is_err());
        let made = folder.parent().expect("it is in a folder");
        fs::remove_dir_all(made).expect("it is there");
    }
}
