//! What runs on pushes and for releases: nothing that a user could not run.

use anyhow::{Context as _, Result};
use saphyr::{LoadableYamlNode as _, Yaml};

/// The lines that `.ci/run` may have. The last one must be there.
const SCRIPT: &[&str] = &[
    "set -eu",
    "cd \"$(dirname \"$0\")/..\"",
    "exec cargo xtask test",
];

/// A workflow, and what it may do.
#[derive(Debug)]
struct Workflow {
    /// The file's name.
    name: &'static str,
    /// What its steps may run.
    runs: &'static [&'static str],
    /// What they may use: the checkout, the programs that the project asks for, and what
    /// keeps the results.
    uses: &'static [&'static str],
}

/// All workflows.
const WORKFLOWS: &[Workflow] = &[
    Workflow {
        name: "ci.yml",
        runs: &[".ci/run", "cargo xtask test"],
        uses: &["actions/checkout", "actions/setup-node"],
    },
    Workflow {
        name: "release.yml",
        runs: &["cargo xtask test", "cargo xtask release"],
        uses: &[
            "actions/checkout",
            "actions/setup-node",
            "actions/attest-build-provenance",
            "actions/upload-artifact",
        ],
    },
];

/// Lines of `.ci/run` that do more than calling `cargo xtask test`.
pub(super) fn script(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut problems: Vec<_> = lines
        .iter()
        .filter(|line| !SCRIPT.contains(line))
        .map(|line| format!(".ci/run: `{line}` is not `cargo xtask test`"))
        .collect();
    if lines.last() != SCRIPT.last() {
        problems.push(".ci/run: does not end in `exec cargo xtask test`".to_owned());
    }
    problems
}

/// The names of all workflows.
pub(super) fn workflows() -> impl Iterator<Item = &'static str> {
    WORKFLOWS.iter().map(|workflow| workflow.name)
}

/// Steps of a workflow that do more than it may, and workflows that nobody knows.
///
/// # Errors
/// It is not YAML.
pub(super) fn workflow(name: &str, text: &str) -> Result<Vec<String>> {
    let Some(allowed) = WORKFLOWS.iter().find(|known| known.name == name) else {
        return Ok(vec![format!("{name}: tidy has no rules for it")]);
    };
    let documents = Yaml::load_from_str(text).with_context(|| name.to_owned())?;
    let mut problems = Vec::new();
    let mut runs = 0;
    for document in &documents {
        visit(document, &mut |member, value| {
            let is_allowed = match member {
                "run" => {
                    runs += 1;
                    allowed.runs.contains(&value.trim())
                }
                "uses" => value
                    .split_once('@')
                    .is_some_and(|(action, _)| allowed.uses.contains(&action)),
                _ => true,
            };
            if !is_allowed {
                problems.push(format!("{name}: `{member}: {value}` is not for every user"));
            }
        });
    }
    if runs == 0 {
        problems.push(format!("{name}: runs nothing"));
    }
    Ok(problems)
}

/// Calls `found` with each member of a mapping, however deep, that is text.
fn visit(yaml: &Yaml<'_>, found: &mut impl FnMut(&str, &str)) {
    for value in yaml.as_sequence().into_iter().flatten() {
        visit(value, found);
    }
    for (name, value) in yaml.as_mapping().into_iter().flatten() {
        if let (Some(name), Some(value)) = (name.as_str(), value.as_str()) {
            found(name, value);
        }
        visit(value, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_only_calls_the_tests() {
        let good = SCRIPT.join("\n");
        assert_eq!(script(&format!("#!/bin/sh\n# Why.\n\n{good}\n")), [""; 0]);
        assert_eq!(
            script(&format!("apt-get install x\n{good}\n")),
            [".ci/run: `apt-get install x` is not `cargo xtask test`"]
        );
        assert_eq!(
            script("set -eu\n"),
            [".ci/run: does not end in `exec cargo xtask test`"]
        );
    }

    #[test]
    fn the_workflow_only_calls_the_tests() {
        let steps = |steps: &str| {
            let text = format!("jobs:\n  test:\n    steps:\n{steps}");
            workflow("ci.yml", &text).expect("YAML")
        };
        let good = "      - uses: actions/checkout@v4\n      - run: .ci/run\n";
        assert_eq!(steps(good), [""; 0]);
        assert_eq!(
            steps(&format!("{good}      - run: cargo test\n")),
            ["ci.yml: `run: cargo test` is not for every user"]
        );
        assert_eq!(
            steps(&format!("{good}      - uses: somebody/cache@v1\n")),
            ["ci.yml: `uses: somebody/cache@v1` is not for every user"]
        );
        assert_eq!(
            steps("      - uses: actions/checkout@v4\n"),
            ["ci.yml: runs nothing"]
        );
        assert!(workflow("ci.yml", "a: [\n").is_err());
        let released = workflow("release.yml", "run: cargo xtask release");
        assert_eq!(released.expect("YAML"), [""; 0]);
        assert_eq!(
            steps("      - run: cargo xtask release\n"),
            ["ci.yml: `run: cargo xtask release` is not for every user"]
        );
        let another = workflow("nightly.yml", "run: cargo xtask test");
        assert_eq!(
            another.expect("YAML"),
            ["nightly.yml: tidy has no rules for it"]
        );
    }
}
