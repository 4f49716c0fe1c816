//! Step `deny`: what may be depended on, by whom, under which licence.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    cargo::Workspace,
    process::{cargo, output, program, run},
    steps::Outcome,
};

const VERSION: &str = "0.20.2";

/// Where known holes in crates are listed.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

/// Runs the step.
pub(crate) fn step() -> Result<Outcome> {
    let deny = install()?;
    let deny = |checks: &[&str]| {
        let mut command = program(&deny.to_string_lossy());
        command
            .args(["--locked", "--workspace", "check"])
            .args(checks);
        run(&mut command)
    };
    deny(&["bans", "licenses", "sources"])?;

    // Not of this repository: what is listed there changes without a change here, and
    // closed networks do not reach it.
    let asked = program("git")
        .args(["ls-remote", "--exit-code", ADVISORIES, "HEAD"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_HTTP_LOW_SPEED_LIMIT", "1")
        .env("GIT_HTTP_LOW_SPEED_TIME", "20")
        .stdin(std::process::Stdio::null())
        .output();
    if asked.is_ok_and(|asked| asked.status.success()) {
        deny(&["advisories"])?;
        Ok(Outcome::Passed)
    } else {
        let why = format!("advisories: {ADVISORIES} is out of reach");
        Ok(Outcome::Skipped(why))
    }
}

/// The pinned cargo-deny, below target/; built there if it is missing. Without
/// optimisation: that takes a third of the time, and it has little to do.
fn install() -> Result<PathBuf> {
    let tools = Workspace::load()?.target_dir()?.join("tools");
    let deny = tools.join("bin/cargo-deny");
    let version = output(program(&deny.to_string_lossy()).arg("--version"));
    let is_there = version.is_ok_and(|version| {
        version.stdout.trim_ascii() == format!("cargo-deny {VERSION}").as_bytes()
    });
    if !is_there {
        let args = ["install", "--quiet", "--locked", "--debug", "--force"];
        run(cargo()
            .args(args)
            .arg(format!("cargo-deny@{VERSION}"))
            .arg("--root")
            .arg(&tools)
            .env("CARGO_PROFILE_DEV_DEBUG", "false"))?;
    }
    Ok(deny)
}
