//! `cargo xtask test`: the steps, in order, and how long each one took.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{cargo, container, counts, deny, manifests, setup, tidy, unit, walk, web};

/// How a step ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was checked.
    Passed,
    /// Some of it can't be checked on this machine: what, and why.
    Skipped(String),
}

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<Outcome>,
}

const fn step(name: &'static str, what: &'static str, run: fn() -> Result<Outcome>) -> Step {
    Step { name, what, run }
}

/// All steps: those that fail fastest come first, and what shares a build stands together.
/// A new step (a package, a browser, a benchmark) is one more line here.
const STEPS: &[Step] = &[
    step("fmt", "the form of the source", cargo::fmt),
    step(
        "tidy",
        "rules of this project that no other tool knows",
        tidy::step,
    ),
    step(
        "wasm",
        "the core compiles for WebAssembly, alone",
        cargo::wasm,
    ),
    step(
        "clippy",
        "lints, of the guests for WebAssembly too",
        cargo::clippy,
    ),
    step(
        "test",
        "unit, integration and documentation tests",
        cargo::test,
    ),
    step(
        "counts",
        "instructions of calls: none takes many more than was accepted",
        counts::step,
    ),
    step(
        "dashboards",
        "the dashboard and the alerts, in a real Prometheus",
        cargo::dashboards,
    ),
    step("doc", "the documentation of the code", cargo::doc),
    step(
        "web",
        "the npm package and the page: types, sizes, pure functions",
        web::tests::built,
    ),
    step(
        "api",
        "what the npm package does, whatever it is called with",
        web::tests::api,
    ),
    step(
        "package",
        "the packed npm package in bundlers and runtimes",
        web::tests::package,
    ),
    step(
        "runtimes",
        "the recorded exchanges wherever the npm package runs",
        web::tests::runtimes,
    ),
    step(
        "browser",
        "the page in real browsers, by clicks",
        web::tests::browser,
    ),
    step("serve", "`cargo xtask serve` as a user runs it", walk::step),
    step(
        "container",
        "the image's files, and its program in an empty root",
        container::step,
    ),
    step(
        "manifests",
        "what is in deploy/kubernetes: rendered, in schemas, and as a whole",
        manifests::step,
    ),
    step(
        "unit",
        "the unit in deploy/systemd, by systemd and by the program",
        unit::step,
    ),
    step(
        "deny",
        "licences, sources and users of dependencies",
        deny::step,
    ),
];

/// The names of all steps.
pub(crate) fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

/// Prints every step's name and what it checks.
pub(crate) fn list() {
    for step in STEPS {
        println!("{:10} {}", step.name, step.what);
    }
}

/// Sets up, then runs the named steps, or all. The first failure stops it.
///
/// # Errors
/// A step failed: says which, why, and how to run it alone.
pub(crate) fn run(wanted: &[String]) -> Result<()> {
    let setup = step("setup", "", || {
        setup::wasm_target().map(|()| Outcome::Passed)
    });
    let is_wanted = |step: &&Step| wanted.is_empty() || wanted.iter().any(|name| name == step.name);
    let steps = [&setup].into_iter().chain(STEPS.iter().filter(is_wanted));
    let mut rows = Vec::new();
    let done = steps.into_iter().try_for_each(|step| {
        println!("== {} {}", step.name, step.what);
        let start = Instant::now();
        let outcome = (step.run)();
        let mark = match &outcome {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(_) => "FAILED".to_owned(),
        };
        rows.push((step.name, start.elapsed(), mark));
        let again = || match step.name {
            "setup" => "setup failed; alone: cargo xtask setup".to_owned(),
            name => format!("step {name} failed; alone: cargo xtask test {name}"),
        };
        outcome.map(drop).with_context(again)
    });
    print!("\n{}", table(&rows));
    done
}

/// A line for each step: its name, its seconds, how it ended. The sum comes last.
fn table(rows: &[(&str, Duration, String)]) -> String {
    let line = |name: &str, time: Duration, end: &str| {
        format!("{name:10} {:7.1} s  {end}", time.as_secs_f64())
    };
    let mut lines: Vec<_> = rows
        .iter()
        .map(|(name, time, end)| line(name, *time, end))
        .collect();
    let sum = rows.iter().map(|(_, time, _)| *time).sum();
    lines.push(line("all", sum, ""));
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_step_and_the_sum() {
        let rows = [
            ("fmt", Duration::from_millis(1_500), "passed".to_owned()),
            (
                "deny",
                Duration::from_secs(100),
                "skipped: no network".to_owned(),
            ),
        ];
        assert_eq!(
            table(&rows),
            "fmt            1.5 s  passed\n\
             deny         100.0 s  skipped: no network\n\
             all          101.5 s\n"
        );
    }

    #[test]
    fn no_two_steps_share_a_name() {
        let mut names = names();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
