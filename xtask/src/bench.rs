//! `cargo xtask bench`: builds what is measured, and measures it.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    cargo::Workspace,
    dist,
    process::{cargo, root, run},
    setup,
};

/// What is measured: the program that ships, and examples with its library.
const PROGRAMS: [&str; 5] = ["--bins", "--example", "calls", "--example", "misbehaving"];

/// Measures the program that ships.
///
/// # Errors
/// Something can't be built or installed, or the measurement failed.
pub(crate) fn run_all(args: &[OsString]) -> Result<()> {
    setup::wasm_target()?;
    setup::load_tools()?;
    setup::postgres()?;
    let oha = setup::OHA.install()?;
    let programs = dist::static_folder("dist", &PROGRAMS)?;
    let scratch = Workspace::load()?.target_dir()?.join("bench");
    let mut bench = cargo();
    bench.args(["run", "--release", "--quiet", "--locked"]);
    bench.args(["--package", "tenantry-bench", "--"]).args(args);
    bench.arg("--server").arg(programs.join("tenantry"));
    bench.arg("--calls").arg(programs.join("examples/calls"));
    let misbehaving = programs.join("examples/misbehaving");
    bench.arg("--misbehaving").arg(misbehaving);
    let component = dist::component("dist", &PROGRAMS)?;
    bench.arg("--component").arg(component);
    bench.arg("--oha").arg(oha);
    bench.arg("--docs").arg(root().join("docs"));
    run(bench.arg("--scratch").arg(scratch))
}
