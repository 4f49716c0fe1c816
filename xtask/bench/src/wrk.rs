//! The load generator: wrk, which has a fixed number of connections, each with one request
//! under way at any time.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// What a run of wrk came to.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) duration_us: f64,
    /// Answers of 400 and above.
    refused: f64,
    /// Connections that failed, and answers that did not come.
    failed: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// What the answers should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// All below 400.
    Success,
    /// All 400 and above.
    Refusal,
}

/// Sends the requests, as they stand and again and again, over so many connections.
///
/// # Errors
/// wrk can't be run, or answers were not what they should be.
pub(crate) fn run(
    script: &Path,
    address: &str,
    connections: usize,
    seconds: u64,
    expect: Expect,
) -> Result<Load> {
    let mut command = on_processor(1, "wrk");
    command
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
        .args(["--timeout", "10s", "-s"])
        .arg(script)
        .arg(format!("http://{address}/"));
    let output = command.output().context("wrk can't be run")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {said}");
    let line = said.lines().last().unwrap_or_default();
    let load: Load = serde_json::from_str(line).with_context(|| format!("wrk said {said}"))?;
    ensure!(load.requests > 0.0, "wrk got no answer: {said}");
    ensure!(load.failed == 0.0, "requests failed: {load:?}");
    let refused = match expect {
        Expect::Success => 0.0,
        Expect::Refusal => load.requests,
    };
    // Of those that are under way at the end, some are counted in one place only.
    let counted = (load.refused - refused).abs() <= connections as f64;
    ensure!(counted, "{} answers were refusals: {load:?}", load.refused);
    Ok(load)
}

/// Writes wrk's script for these requests.
///
/// # Errors
/// The file can't be written.
pub(crate) fn write_script(path: &Path, requests: &[Vec<u8>]) -> Result<()> {
    let mut lua = String::from("local requests = {\n");
    for request in requests {
        lua.push('"');
        for &byte in request {
            if byte.is_ascii_alphanumeric() || b" /:._-{},".contains(&byte) {
                lua.push(byte.into());
            } else {
                let _ = write!(lua, "\\{byte:03}");
            }
        }
        lua.push_str("\",\n");
    }
    lua.push_str(
        r#"}
local n = 0
function request()
  n = n % #requests + 1
  return requests[n]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"refused":%d,"failed":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"#,
    );
    fs::write(path, lua).with_context(|| path.display().to_string())
}

/// A program on one processor of its own, where there is more than one: server and generator
/// must not take turns.
pub(crate) fn on_processor(processor: usize, program: &str) -> Command {
    let several = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    if cfg!(target_os = "linux") && several {
        let mut command = Command::new("taskset");
        command.args(["-c", &processor.to_string(), program]);
        command
    } else {
        Command::new(program)
    }
}
