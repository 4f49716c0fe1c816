//! `cargo xtask soak`: servers under faults that are drawn at random, and a checker.

use std::ffi::OsString;

use anyhow::{Result, ensure};

use crate::{
    cargo::Workspace,
    process::{cargo, run},
    setup,
};

/// Builds the program, and soaks it.
///
/// # Errors
/// Something can't be built or installed, or a check failed.
pub(crate) fn run_all(args: &[OsString]) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "a soak runs on Linux only");
    setup::wasm_target()?;
    setup::soak_tools()?;
    // Not the static program that ships: clocks are stepped by a library.
    run(cargo().args(["build", "--release", "--locked", "--package", "tenantry"]))?;
    let target = Workspace::load()?.target_dir()?;
    let mut soak = cargo();
    soak.args(["run", "--release", "--quiet", "--locked"]);
    soak.args(["--package", "tenantry-soak", "--"]).args(args);
    soak.arg("--server").arg(target.join("release/tenantry"));
    run(soak.arg("--scratch").arg(target.join("soak")))
}
