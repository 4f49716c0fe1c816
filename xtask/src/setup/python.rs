//! Python, and what comes from PyPI.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use super::programs::python;
use crate::{
    cargo::Workspace,
    process::{program, root, run},
};

/// Packages that are installed together, in a folder of their own.
#[derive(Debug)]
pub(crate) struct Packages(PathBuf);

impl Packages {
    /// Installs what `xtask/python/NAME.txt` names, with the digests that it names, unless
    /// that was done before. Packages that would have to be built are not taken.
    ///
    /// # Errors
    /// There is no Python, or pip can't install them: says which.
    pub(crate) fn install(name: &str) -> Result<Self> {
        python()?;
        let list = root().join("xtask/python").join(format!("{name}.txt"));
        let wanted = fs::read(&list).with_context(|| list.display().to_string())?;
        let tools = Workspace::load()?.target_dir()?.join("tools/python");
        let packages = Self(tools.join(name));
        let done = packages.0.join("installed.txt");
        if fs::read(&done).is_ok_and(|installed| installed == wanted) {
            return Ok(packages);
        }
        if packages.0.exists() {
            fs::remove_dir_all(&packages.0)?;
        }
        let options = ["--quiet", "--disable-pip-version-check", "--no-input"];
        let strict = ["--require-hashes", "--no-deps", "--only-binary", ":all:"];
        let mut pip = program("python3");
        pip.args(["-m", "pip", "install"])
            .args(options)
            .args(strict)
            .arg("--target")
            .arg(&packages.0)
            .arg("--requirement")
            .arg(&list)
            // Of the user's installation, which this does not touch.
            .env("PIP_ROOT_USER_ACTION", "ignore");
        run(&mut pip).with_context(|| format!("the Python packages of {name}"))?;
        fs::write(done, wanted)?;
        Ok(packages)
    }

    /// A module of theirs, to be run.
    pub(crate) fn module(&self, name: &str) -> Command {
        let mut python = program("python3");
        python.args(["-m", name]).env("PYTHONPATH", &self.0);
        python
    }

    /// A program that they have brought.
    pub(crate) fn program(&self, name: &str) -> Command {
        program(&self.0.join("bin").join(name).to_string_lossy())
    }
}
