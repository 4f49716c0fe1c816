//! Step `counts`: the instructions of a call of each kind, beside those that were accepted.
//!
//! Time wobbles with whatever else the machine does; instructions do not, so a small growth
//! can be seen, and be a failure. They vary by 0.5 % at most, whatever the machine's load, the
//! environment or the folder of the build. What differs from machine to machine is the C
//! library, and that kernels before 6.7 can't say which pages of a sandbox were written, so
//! that `request` has to clear them all.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    cargo::Workspace,
    process::{cargo, program, read, root, run},
    setup,
    steps::Outcome,
};

/// What was accepted, in the repository.
const ACCEPTED: &str = "host/instructions.json";

/// What accepts the counts of this moment.
const UPDATE: &str = "`cargo xtask counts --update`";

/// By how many hundredths a count may grow.
const TOLERANCE: u64 = 5;

/// Instructions of a call, by its kind.
type Counts = BTreeMap<String, u64>;

/// Runs the step.
pub(crate) fn step() -> Result<Outcome> {
    if let Some(why) = obstacle() {
        return Ok(Outcome::Skipped(why));
    }
    // First, as it takes no time.
    let accepted = accepted(&root())?;
    let Verdict { notes, problems } = compare(&accepted, &count()?);
    for note in notes {
        println!("{note}");
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    ensure!(problems.is_empty(), "{} problems", problems.len());
    Ok(Outcome::Passed)
}

/// Accepts what is counted now.
///
/// # Errors
/// It can't be counted on this machine, or not be written down.
pub(crate) fn update() -> Result<()> {
    if let Some(why) = obstacle() {
        bail!("{why}");
    }
    let text = serde_json::to_string_pretty(&count()?)? + "\n";
    fs::write(root().join(ACCEPTED), text).context(ACCEPTED)
}

/// Why nothing can be counted on this machine.
fn obstacle() -> Option<String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some("what was accepted was counted on Linux on x86-64".to_owned());
    }
    let installed = setup::valgrind();
    installed.err().map(|error| format!("{error:#}"))
}

/// Counts every kind, in the program that the step `test` has built already. It is not the
/// one that ships, which takes minutes to build: the sandboxes' code is the same in both, and
/// the rest takes about a half more instructions here, but grows with the same changes.
fn count() -> Result<Counts> {
    let workspace = Workspace::load()?;
    // All members that the tests are built with: then nothing is built again.
    run(cargo()
        .args(["build", "--workspace", "--locked", "--example", "calls"])
        .args(workspace.each_guest("--exclude")))?;
    let calls = workspace.target_dir()?.join("debug/examples/calls");
    let says = |args: &[&str]| {
        let mut calls = program(&calls.to_string_lossy());
        // What it says last is what is wrong.
        read(calls.args(args).env("RUST_BACKTRACE", "0"))
    };
    let kinds = says(&[])?;
    let counts = kinds.lines().map(|kind| {
        let count = says(&[kind, "instructions"])?;
        let count = count.trim().parse();
        Ok((kind.to_owned(), count.with_context(|| kind.to_owned())?))
    });
    counts.collect()
}

/// Reads what was accepted, in the workspace's folder.
fn accepted(root: &Path) -> Result<Counts> {
    let text = fs::read_to_string(root.join(ACCEPTED));
    let text = text.with_context(|| format!("{ACCEPTED} can't be read; {UPDATE} makes it"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{ACCEPTED} is no list of counts; {UPDATE} makes it anew"))
}

/// What a comparison has shown.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// How each kind fared.
    notes: Vec<String>,
    /// What is wrong.
    problems: Vec<String>,
}

/// Compares what was accepted with what is counted now.
fn compare(accepted: &Counts, now: &Counts) -> Verdict {
    let mut verdict = Verdict::default();
    for (kind, &now) in now {
        let Some(&before) = accepted.get(kind) else {
            let problem = format!("{kind}: not in {ACCEPTED}; {UPDATE} adds it");
            verdict.problems.push(problem);
            continue;
        };
        let change = (now as f64 / before as f64 - 1.0) * 100.0;
        let line = format!("{kind}: {before} instructions accepted, {now} now, {change:+.1} %");
        if now * 100 > before * (100 + TOLERANCE) {
            let problem = format!("{line}: make it cheaper, or accept it with {UPDATE}");
            verdict.problems.push(problem);
        } else if now * 100 < before * (100 - TOLERANCE) {
            let note = format!("{line}: better; please keep it so with {UPDATE}");
            verdict.notes.push(note);
        } else {
            verdict.notes.push(line);
        }
    }
    for kind in accepted.keys().filter(|kind| !now.contains_key(*kind)) {
        let problem = format!("{kind}: in {ACCEPTED}, but no kind of call; {UPDATE} takes it out");
        verdict.problems.push(problem);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> Counts {
        let counts = counts
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), *count));
        counts.collect()
    }

    fn verdict(accepted: &[(&str, u64)], now: &[(&str, u64)]) -> (Vec<String>, Vec<String>) {
        let Verdict { notes, problems } = compare(&counts(accepted), &counts(now));
        (notes, problems)
    }

    #[test]
    fn a_call_may_grow_by_five_per_cent_and_no_more() {
        let (notes, problems) = verdict(&[("chat", 1_000)], &[("chat", 1_050)]);
        assert_eq!(
            notes,
            ["chat: 1000 instructions accepted, 1050 now, +5.0 %"]
        );
        assert!(problems.is_empty());

        let (notes, problems) = verdict(&[("chat", 1_000)], &[("chat", 1_051)]);
        assert!(notes.is_empty());
        assert_eq!(
            problems,
            [
                "chat: 1000 instructions accepted, 1051 now, +5.1 %: make it cheaper, \
                 or accept it with `cargo xtask counts --update`"
            ]
        );
    }

    #[test]
    fn what_takes_much_less_is_to_be_written_down_and_is_no_failure() {
        let (notes, problems) = verdict(&[("chat", 1_000)], &[("chat", 950)]);
        assert_eq!(notes, ["chat: 1000 instructions accepted, 950 now, -5.0 %"]);
        assert!(problems.is_empty());

        let (notes, problems) = verdict(&[("chat", 1_000)], &[("chat", 949)]);
        assert_eq!(
            notes,
            [
                "chat: 1000 instructions accepted, 949 now, -5.1 %: better; \
                 please keep it so with `cargo xtask counts --update`"
            ]
        );
        assert!(problems.is_empty());
    }

    #[test]
    fn kinds_that_one_side_does_not_know_are_problems() {
        let (notes, problems) = verdict(&[("old", 7), ("both", 7)], &[("new", 7), ("both", 7)]);
        assert_eq!(notes, ["both: 7 instructions accepted, 7 now, +0.0 %"]);
        assert_eq!(
            problems,
            [
                "new: not in host/instructions.json; `cargo xtask counts --update` adds it",
                "old: in host/instructions.json, but no kind of call; \
                 `cargo xtask counts --update` takes it out",
            ]
        );
    }

    #[test]
    fn each_kind_that_grew_is_named() {
        let before = [("chat", 100), ("limit", 100), ("read", 100)];
        let now = [("chat", 106), ("limit", 100), ("read", 200)];
        let (notes, problems) = verdict(&before, &now);
        assert_eq!(notes.len(), 1);
        let kinds = problems.iter().map(|problem| problem.split(':').next());
        assert_eq!(kinds.collect::<Vec<_>>(), [Some("chat"), Some("read")]);
    }

    #[test]
    fn the_files_of_the_project_are_read_and_bad_ones_are_named() {
        accepted(&root()).expect("the project's own");
        let folder = std::env::temp_dir().join(format!("tenantry-counts-{}", std::process::id()));
        fs::create_dir_all(folder.join("host")).expect("a folder");
        let error = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(folder.join(ACCEPTED), text).expect("a file");
            }
            let error = accepted(&folder).expect_err("a bad file");
            error.to_string()
        };
        assert_eq!(
            error(None),
            "host/instructions.json can't be read; `cargo xtask counts --update` makes it"
        );
        for text in [
            "",
            "<<<<<<< HEAD\n{}",
            r#"{"chat": -1}"#,
            r#"{"chat": "many"}"#,
        ] {
            assert_eq!(
                error(Some(text)),
                "host/instructions.json is no list of counts; \
                 `cargo xtask counts --update` makes it anew",
                "{text}"
            );
        }
        fs::remove_dir_all(folder).expect("a folder");
    }
}
