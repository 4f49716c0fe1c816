//! Programs of crates.io, of one version each, below target/tools.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    cargo::Workspace,
    process::{cargo, output, program, run},
};

/// A program of the crate of the same name.
pub(crate) struct Tool {
    /// The name.
    pub(crate) name: &'static str,
    /// The version.
    pub(crate) version: &'static str,
    /// How it is built, for `cargo install`.
    pub(crate) args: &'static [&'static str],
}

/// Checks what is depended on. Without optimisation: that takes a third of the time, and it
/// has little to do.
pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    args: &["--debug"],
};

/// Loads the server at a fixed rate. Without its features, one of which is TLS, it does not
/// compile.
pub(crate) const OHA: Tool = Tool {
    name: "oha",
    version: "1.16.0",
    args: &[],
};

impl Tool {
    /// Where the program is; it is built there if it is missing.
    ///
    /// # Errors
    /// It can't be built.
    pub(crate) fn install(&self) -> Result<PathBuf> {
        let Self {
            name,
            version,
            args,
        } = self;
        let tools = Workspace::load()?.target_dir()?.join("tools");
        let tool = tools.join("bin").join(name);
        let said = output(program(&tool.to_string_lossy()).arg("--version"));
        let is_there = said
            .is_ok_and(|said| said.stdout.trim_ascii() == format!("{name} {version}").as_bytes());
        if !is_there {
            run(cargo()
                .args(["install", "--quiet", "--locked", "--force"])
                .args(*args)
                .arg(format!("{name}@{version}"))
                .arg("--root")
                .arg(&tools)
                .env("CARGO_PROFILE_DEV_DEBUG", "false"))?;
        }
        Ok(tool)
    }
}
