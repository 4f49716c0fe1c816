//! Steps that test the npm package and the page, as they are built.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::{Web, build};
use crate::{
    cargo::Workspace,
    process::{cargo, program, root, run},
    setup,
    steps::Outcome,
};

/// Where the suite of recorded exchanges runs.
const RUNTIMES: [&str; 5] = ["node", "deno", "bun", "workerd", "chromium"];

/// Step `web`: what can be told without running it in a browser.
pub(crate) fn built() -> Result<Outcome> {
    let web = prepare()?;
    let mut check = program("node");
    run(check
        .arg("web/scripts/check.mjs")
        .arg("--out")
        .arg(&web.folder))?;
    run(program("node").arg("web/page/tests/run.mjs"))?;
    Ok(Outcome::Passed)
}

/// Step `api`: what the package does, called from outside.
pub(crate) fn api() -> Result<Outcome> {
    run_tests("api", &prepare()?)
}

/// Step `package`: the packed tarball in projects of every kind.
pub(crate) fn package() -> Result<Outcome> {
    setup::chromium()?;
    run_tests("package", &prepare()?)
}

/// Step `runtimes`: the conformance suite wherever the package runs.
pub(crate) fn runtimes() -> Result<Outcome> {
    setup::chromium()?;
    let web = prepare()?;
    let args = ["run", "--quiet", "--locked", "--package"];
    let mut suite = cargo();
    suite.args(args).args(["tenantry-web-conformance", "--"]);
    run(suite.arg(web.folder.join("package")).args(RUNTIMES))?;
    Ok(Outcome::Passed)
}

/// Step `browser`: the page, used as people use it.
pub(crate) fn browser() -> Result<Outcome> {
    setup::chromium()?;
    let no_firefox = setup::firefox().err();
    let web = prepare()?;
    run(cargo().args(["build", "--quiet", "--locked", "--package", "tenantry"]))?;
    let passed = run_tests("browser", &web)?;
    Ok(match no_firefox {
        None => passed,
        Some(error) => Outcome::Skipped(format!("Firefox: {error:#}")),
    })
}

/// Runs a script that uses Chromium on what is built.
///
/// # Errors
/// Something is missing, or the script failed.
pub(super) fn script(name: &str) -> Result<()> {
    setup::chromium()?;
    let web = prepare()?;
    let mut node = program("node");
    run(node.arg(folder().join(name)).arg("--out").arg(&web.folder))
}

/// Builds, and installs what the tests need.
fn prepare() -> Result<Web> {
    let web = build()?;
    setup::npm_ci(&folder())?;
    Ok(web)
}

/// The folder of the tests.
fn folder() -> PathBuf {
    root().join("web/tests")
}

/// Runs all tests of one of the folder's folders.
fn run_tests(name: &str, web: &Web) -> Result<Outcome> {
    let mut node = program("node");
    node.args(["--test", "--test-reporter=spec"])
        .args(test_files(&folder().join(name))?);
    node.env("TENANTRY_WEB", &web.folder);
    node.env("TENANTRY_SERVER", server()?);
    run(&mut node)?;
    Ok(Outcome::Passed)
}

/// The server, as cargo builds it for tests.
fn server() -> Result<PathBuf> {
    let name = format!("tenantry{}", std::env::consts::EXE_SUFFIX);
    Ok(Workspace::load()?.target_dir()?.join("debug").join(name))
}

fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut files: Vec<_> = paths.collect::<Result<_>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(".test.mjs"));
    files.sort();
    ensure!(!files.is_empty(), "{}: no tests", folder.display());
    Ok(files)
}
