//! What the server takes and answers, as its source says: for checks of files that rely on it.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::process::root;

/// Variables that the server reads, and paths that it answers.
#[derive(Debug)]
pub(crate) struct Interface {
    variables: BTreeSet<String>,
    paths: BTreeSet<String>,
}

impl Interface {
    /// Reads the server's source.
    ///
    /// # Errors
    /// A file can't be read.
    pub(crate) fn read() -> Result<Self> {
        let mut text = String::new();
        collect(&root().join("host/src"), &mut text)?;
        Ok(Self::of(&text))
    }

    /// Finds `env = "TENANTRY_..."` and `"/..."` in source.
    pub(crate) fn of(source: &str) -> Self {
        let literal = |rest: &str| rest.split('"').next().unwrap_or_default().to_owned();
        let after = |mark| source.split(mark).skip(1).map(literal);
        let paths = after("\"/").map(|path| format!("/{path}"));
        Self {
            variables: after("env = \"").collect(),
            paths: paths.collect(),
        }
    }

    /// Whether a flag of the program has this variable. `PORT` is one that it reads beside.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        name == "PORT" || self.variables.contains(name)
    }

    /// Whether the server's source names this path.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        self.paths.contains(path)
    }
}

fn collect(folder: &Path, text: &mut String) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, text)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            *text += &fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_paths_are_found_in_the_source() {
        let interface = Interface::read().expect("the source");
        for name in ["PORT", "TENANTRY_LISTEN", "TENANTRY_DRAIN"] {
            assert!(interface.has_variable(name), "{name}");
        }
        assert!(!interface.has_variable("TENANTRY_LISTENS"));
        let interface = Interface::of("#[arg(long, env = \"A_B\", x)] \"/a/b\" => c");
        assert!(interface.has_variable("A_B") && interface.has_path("/a/b"));
        assert!(!interface.has_variable("A") && !interface.has_path("/a"));
    }
}
