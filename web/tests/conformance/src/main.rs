//! Runs the conformance suite against the npm package in JavaScript runtimes:
//! `tenantry-web-conformance PACKAGE RUNTIME...`.
//!
//! Each runtime is a process that answers lines (`answers.mjs` says which), so that what is
//! sent and what is compared is the same code as for the server: the recorded exchanges by
//! `handle` and by `fetch`, the recorded tenants files, and random calls against the model.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for people at a terminal")]

mod runtime;

use std::{collections::BTreeMap, env, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use proptest::prelude::ProptestConfig;
use proptest::test_runner::{TestCaseError, TestRunner};
use tenantry_conformance::{
    Call, MAX_SESSIONS, Model, Outcome, Report, Runner as _, TENANTS, TTL, WAITS, Wire, cases,
    replay, tenants_files,
};

use crate::runtime::{Options, Runtime, Way};

/// What goes over a socket has its runner among the server's tests.
const OF_THE_TRANSPORT: usize = 39;

/// What a `Request` carries at least: were there fewer, the reasons to skip would be wrong.
const LEAST_BY_FETCH: usize = 300;

const RANDOM_RUNS: u32 = 24;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let usage = "usage: tenantry-web-conformance PACKAGE RUNTIME...";
    let package = PathBuf::from(args.next().context(usage)?).canonicalize()?;
    let names: Vec<_> = args.collect();
    ensure!(!names.is_empty(), usage);
    for name in names {
        let mut runtime = Runtime::start(&name, &package)?;
        run(&mut runtime).with_context(|| name.clone())?;
        runtime.stop()?;
    }
    Ok(())
}

fn run(runtime: &mut Runtime) -> Result<()> {
    for way in [Way::Handle, Way::Fetch] {
        runtime.fresh(TENANTS.as_bytes(), Options::recorded())?;
        runtime.way = way;
        let report = replay(runtime);
        summarize(&runtime.name, way, &report)?;
    }
    runtime.way = Way::Handle;
    let files = replay_files(runtime)?;
    println!("{:9} {files} tenants files", runtime.name);
    random_calls(runtime)?;
    println!(
        "{:9} {RANDOM_RUNS} random runs as the model says",
        runtime.name
    );
    Ok(())
}

/// Prints what a replay came to.
fn summarize(name: &str, way: Way, report: &Report) -> Result<()> {
    let mut reasons = BTreeMap::<_, usize>::new();
    for (_, reason) in &report.skipped {
        *reasons.entry(*reason).or_default() += 1;
    }
    println!(
        "{name:9} {way:6} {} passed, {} skipped",
        report.passed,
        report.skipped.len()
    );
    for (reason, count) in &reasons {
        println!("{:17}{count:4}: {reason}", "");
    }
    if !report.failures.is_empty() {
        bail!(
            "{} failed:\n{}",
            report.failures.len(),
            report.failures.join("\n")
        );
    }
    ensure!(
        report.passed + report.skipped.len() == cases().len(),
        "a case is missing"
    );
    let least = match way {
        Way::Handle => cases().len() - OF_THE_TRANSPORT,
        Way::Fetch => LEAST_BY_FETCH,
    };
    ensure!(
        report.passed >= least,
        "only {} passed; {least} should",
        report.passed
    );
    Ok(())
}

fn replay_files(runtime: &mut Runtime) -> Result<usize> {
    let mut replayed = 0;
    for file in tenants_files() {
        // Whether there is a file at all is up to who reads it.
        let Some(bytes) = file.bytes() else { continue };
        let started =
            runtime.fresh(&bytes, Options::limited(Duration::from_secs(60 * 60), 1000))?;
        ensure!(
            started == file.starts(),
            "{}: it started: {started}",
            file.name
        );
        if started {
            let replay = file.replay(runtime);
            replay.map_err(|error| anyhow::anyhow!("{}: {error}", file.name))?;
        }
        replayed += 1;
    }
    Ok(replayed)
}

fn random_calls(runtime: &mut Runtime) -> Result<()> {
    let runtime = std::cell::RefCell::new(runtime);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: RANDOM_RUNS,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&Call::some(60, WAITS), |calls| {
        random_run(&mut runtime.borrow_mut(), &calls)
            .map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))
}

fn random_run(runtime: &mut Runtime, calls: &[Call]) -> Result<()> {
    runtime.fresh(TENANTS.as_bytes(), Options::limited(TTL, MAX_SESSIONS))?;
    let mut model = Model::new(true, TTL, MAX_SESSIONS as usize);
    for call in calls {
        if let Call::Wait(time) = call {
            runtime.wait(*time)?;
            model.wait(*time);
        }
        let Some(exchange) = model.request(call) else {
            continue;
        };
        match runtime.send(&Wire::Message(exchange)) {
            Outcome::Reply(reply) => model.check(call, &reply).map_err(anyhow::Error::msg)?,
            other => bail!("{call:?}: {other:?}"),
        }
    }
    Ok(())
}
