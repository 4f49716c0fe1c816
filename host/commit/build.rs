//! Finds out which commit this is: from `TENANTRY_COMMIT`, which a build without the
//! repository sets, or else from git.

use std::{env, path::Path, process::Command};

/// Digits of a commit: always as many, so that the same commit makes the same program.
const DIGITS: &str = "--short=12";

fn main() {
    println!("cargo::rerun-if-env-changed=TENANTRY_COMMIT");
    let given = env::var("TENANTRY_COMMIT").ok();
    let commit = given.filter(|given| is_word(given)).or_else(of_git);
    let commit = commit.as_deref().unwrap_or("unknown");
    println!("cargo::rustc-env=TENANTRY_COMMIT={commit}");
}

/// The commit of this repository, and the files that say so.
fn of_git() -> Option<String> {
    let package = env::var("CARGO_MANIFEST_DIR").ok()?;
    let root = Path::new(&package).join("../..").canonicalize().ok()?;
    let git = |args: &[&str]| {
        let output = Command::new("git").current_dir(&root).args(args).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    // Sources that lie in a repository of something else are not of its commits.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root {
        return None;
    }
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // Which of them changes with a commit depends on whether the branch is packed.
    let files = ["HEAD", "logs/HEAD", "packed-refs"].into_iter();
    for file in files.chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", file]).map(|path| root.join(path));
        // Cargo takes a file that is not there for one that has changed.
        if let Some(path) = path.filter(|path| path.exists()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(&["rev-parse", DIGITS, "HEAD"]).filter(|commit| is_word(commit))
}

/// Whether this can be a label and a part of a line.
fn is_word(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_letter)
}
