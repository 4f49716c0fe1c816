//! Step `deny`: what may be depended on, by whom, under which licence.

use anyhow::Result;

use crate::{
    process::{program, run},
    setup::CARGO_DENY,
    steps::Outcome,
};

/// Where known holes in crates are listed.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

/// Runs the step.
pub(crate) fn step() -> Result<Outcome> {
    let deny = CARGO_DENY.install()?;
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
