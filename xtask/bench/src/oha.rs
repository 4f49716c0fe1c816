//! The load generator of open loops: oha, which sends requests at a fixed rate whether or not
//! the ones before are answered, and counts the time of each from when it was due.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::{
    place::{GENERATOR, on_processor},
    results::Run,
};

/// Chats at a fixed rate.
#[derive(Debug, Clone)]
pub(crate) struct Oha<'a> {
    pub(crate) program: &'a Path,
    pub(crate) address: &'a str,
    /// A file with a body on each line, of which each request takes one.
    pub(crate) bodies: PathBuf,
    pub(crate) connections: usize,
    pub(crate) requests_per_s: u32,
}

impl Oha<'_> {
    /// Chats for so many seconds.
    ///
    /// # Errors
    /// oha can't be run, or an answer was not 200.
    pub(crate) fn run(&self, seconds: u64) -> Result<Run> {
        let mut command = on_processor(GENERATOR, &self.program.to_string_lossy());
        command
            .args(["--no-tui", "--output-format", "json"])
            .args(["-m", "POST", "-T", "application/json", "-Z"])
            .arg(&self.bodies)
            .args(["-c", &self.connections.to_string()])
            .args(["-q", &self.requests_per_s.to_string()])
            .args(["-z", &format!("{seconds}s"), "--latency-correction"])
            .args(["--worker-threads", "1"])
            .arg(format!("http://{}/chat", self.address));
        let output = command.output().context("oha can't be run")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "oha failed: {said}{error}");
        parse(&said)
    }
}

/// What is wanted of what oha says. Times are in seconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    summary: Summary,
    latency_percentiles: Percentiles,
    status_code_distribution: BTreeMap<String, f64>,
    error_distribution: BTreeMap<String, f64>,
}

#[derive(Debug, Deserialize)]
struct Summary {
    total: f64,
}

#[derive(Debug, Deserialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p999: f64,
}

/// How oha calls requests that were under way at the end.
const AT_THE_END: &str = "aborted due to deadline";

fn parse(said: &str) -> Result<Run> {
    let report: Report = serde_json::from_str(said).with_context(|| format!("oha said {said}"))?;
    let Report {
        summary,
        latency_percentiles: percentiles,
        status_code_distribution: statuses,
        error_distribution: errors,
    } = report;
    let is_ok = statuses.keys().all(|status| status == "200");
    ensure!(is_ok, "answers were refusals: {statuses:?}");
    let failed = errors.keys().any(|error| error != AT_THE_END);
    ensure!(!failed, "requests failed: {errors:?}");
    let answered: f64 = statuses.values().sum();
    Ok(Run {
        requests_per_s: answered / summary.total,
        cpu_us: None,
        p50_us: percentiles.p50 * 1e6,
        p99_us: percentiles.p99 * 1e6,
        p999_us: Some(percentiles.p999 * 1e6),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What oha 1.16.0 said of a server that was asked 200 times a second.
    const SAID: &str = include_str!("oha.json");

    #[test]
    fn times_and_answers_are_read() {
        let run = parse(SAID).expect("a report");
        assert!((run.requests_per_s - 200.0).abs() < 2.0, "{run:?}");
        let p999_us = run.p999_us.expect("it is there");
        let ordered = 0.0 < run.p50_us && run.p50_us < run.p99_us && run.p99_us < p999_us;
        assert!(ordered && p999_us < 1e6, "{run:?}");
    }

    #[test]
    fn refusals_and_failures_are_no_answers() {
        let with_error = |error: &str| {
            let errors = format!(r#""errorDistribution": {{ "{error}": 3 }}"#);
            SAID.replace(r#""errorDistribution": {}"#, &errors)
        };
        parse(&with_error(AT_THE_END)).expect("what ends with the run is no failure");
        for (said, error) in [
            (with_error("connection refused"), "requests failed"),
            (
                SAID.replace(r#""200": "#, r#""429": "#),
                "answers were refusals",
            ),
        ] {
            let found = parse(&said).expect_err("no answer").to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
