//! `cargo xtask dist`: the program that ships, one static file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    cargo::{Workspace, host_triple},
    process::{cargo, read, run},
    setup,
};

/// Builds target/dist/tenantry and prints its size.
///
/// # Errors
/// It can't be built, or not for this system.
pub(crate) fn build() -> Result<()> {
    setup::wasm_target()?;
    let built = build_static("dist")?;
    let program = Workspace::load()?.target_dir()?.join("dist/tenantry");
    let folder = program.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)?;
    copy(&built, &program)?;
    let size = fs::metadata(&program)?.len();
    println!("{}: {size} bytes", program.display());
    Ok(())
}

/// What makes a program static. And random numbers come from the system call itself: a
/// static program can't look its function up in a library at run time, as the crate
/// `getrandom` does elsewhere, and /dev/urandom need not be there.
const STATIC: &str = "-Ctarget-feature=+crt-static --cfg=getrandom_backend=\"linux_getrandom\"";

/// Builds the server in one of cargo's profiles as a program that needs no library.
///
/// # Errors
/// It can't be built, or this is no Linux.
pub(crate) fn build_static(profile: &str) -> Result<PathBuf> {
    Ok(static_folder(profile, &["--bins"])?.join("tenantry"))
}

/// Builds some of the server's programs so; returns the folder that they are in.
///
/// # Errors
/// They can't be built, or this is no Linux.
pub(crate) fn static_folder(profile: &str, programs: &[&str]) -> Result<PathBuf> {
    run(&mut static_build(profile, programs)?)?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let target = Workspace::load()?.target_dir()?;
    Ok(target.join(host_triple()?).join(folder))
}

/// The component that those programs embed, as WebAssembly: what their build script wrote
/// before it compiled it further.
///
/// # Errors
/// They can't be built, or cargo does not say where that script wrote.
pub(crate) fn component(profile: &str, programs: &[&str]) -> Result<PathBuf> {
    let mut build = static_build(profile, programs)?;
    let messages = read(build.args(["--quiet", "--message-format", "json"]))?;
    let out_dir = messages.lines().find_map(out_dir);
    Ok(out_dir
        .context("cargo names no OUT_DIR")?
        .join("guest.wasm"))
}

/// Where the server's build script wrote, if that is what this message of cargo's says.
fn out_dir(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_script = message["reason"] == "build-script-executed";
    let out_dir = PathBuf::from(message["out_dir"].as_str().filter(|_| is_script)?);
    // Of all packages' scripts, the one that makes a guest of this name.
    out_dir.join("guest.wasm").exists().then_some(out_dir)
}

fn static_build(profile: &str, programs: &[&str]) -> Result<Command> {
    let triple = host_triple()?;
    ensure!(
        triple.ends_with("-linux-gnu") || triple.ends_with("-linux-musl"),
        "a static program can be built on Linux only; this is {triple}"
    );
    // Flags for one target alone: build scripts and macros, which are for the compiler
    // itself, must not be static.
    let flags = format!(
        "CARGO_TARGET_{}_RUSTFLAGS",
        triple.to_uppercase().replace('-', "_")
    );
    let args = ["build", "--locked", "--package", "tenantry"];
    let mut command = cargo();
    command
        .args(args)
        .args(programs)
        .args(["--profile", profile, "--target", &triple])
        .env(flags, STATIC)
        // Either of these would be taken instead.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    Ok(command)
}

/// Copies a file; says which one where that fails.
///
/// # Errors
/// It can't be read or written.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    copied.with_context(|| format!("{} -> {}", from.display(), to.display()))?;
    Ok(())
}
