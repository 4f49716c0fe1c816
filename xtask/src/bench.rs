//! `cargo xtask bench`: builds what is measured, and measures it.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    cargo::Workspace,
    dist,
    process::{cargo, root, run},
    setup,
};

/// Measures the program that ships.
///
/// # Errors
/// Something can't be built or installed, or the measurement failed.
pub(crate) fn run_all(args: &[OsString]) -> Result<()> {
    setup::wasm_target()?;
    setup::load_tools()?;
    let programs = dist::static_folder("dist", &["--bins", "--example", "calls"])?;
    let scratch = Workspace::load()?.target_dir()?.join("bench");
    let mut bench = cargo();
    bench.args(["run", "--release", "--quiet", "--locked"]);
    bench.args(["--package", "tenantry-bench", "--"]).args(args);
    bench.arg("--server").arg(programs.join("tenantry"));
    bench.arg("--calls").arg(programs.join("examples/calls"));
    bench.arg("--docs").arg(root().join("docs"));
    run(bench.arg("--scratch").arg(scratch))
}
