//! Step `container`: the image's files, and its program as the image runs it; and the file
//! that puts several of them together.

mod cluster;
mod files;

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{
    cargo::Workspace,
    dist::{build_static, copy},
    dockerfile::{Stage, stages},
    interface::Interface,
    process::{program, read, root, run},
    served::Served,
    setup::{haproxy, npm_ci},
    steps::Outcome,
    walk,
};

/// The user that the image runs as: nobody.
pub(crate) const USER: &str = "65534:65534";

/// Runs the step.
pub(crate) fn step() -> Result<Outcome> {
    let text = |name: &str| {
        let read = fs::read_to_string(root().join(name));
        read.with_context(|| name.to_owned())
    };
    let dockerfile = text("deploy/Dockerfile")?;
    lint()?;
    let workspace = Workspace::load()?;
    let problems = files::Files {
        dockerfile: &dockerfile,
        compose: &text("deploy/compose.yaml")?,
        ignore: &text(".dockerignore")?,
        release: &crate::cargo::pinned_release()?,
        members: &members(&workspace)?,
    }
    .problems()?;
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    println!("Dockerfile, compose.yaml and .dockerignore agree");
    let no_haproxy = several(&text)?;

    if !cfg!(target_os = "linux") {
        let why = "the image's program is a Linux one";
        return Ok(skipped(Some(why), no_haproxy));
    }
    // How it is linked is what matters here, not how fast it is.
    let built = build_static("dev")?;
    if read(Command::new("id").arg("-u"))?.trim() != "0" {
        let why = "the program in an empty root: chroot is for root only";
        return Ok(skipped(Some(why), no_haproxy));
    }
    let stages = stages(&dockerfile);
    let last = stages.last().context("no stage")?;
    run_in_empty_root(last, &built, &workspace.target_dir()?.join("empty-root"))?;
    Ok(skipped(None, no_haproxy))
}

/// Checks compose.cluster.yaml and what it mounts; returns why HAProxy could not be asked
/// about its own file, where that is so.
fn several(text: &impl Fn(&str) -> Result<String>) -> Result<Option<String>> {
    let if_there = |name: &str| {
        let is_there = root().join(name).exists();
        is_there.then(|| text(name)).transpose()
    };
    let problems = cluster::Cluster {
        compose: &text("deploy/compose.cluster.yaml")?,
        haproxy: &text(HAPROXY)?,
        prometheus: if_there("deploy/prometheus/prometheus.yml")?.as_deref(),
        alerts: if_there("deploy/prometheus/alerts.yml")?.as_deref(),
        operations: &text("docs/operations.md")?,
        folder: &root().join("deploy"),
        interface: &Interface::read()?,
    }
    .problems()?;
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    println!("compose.cluster.yaml and haproxy.cfg agree");
    match haproxy() {
        Ok(()) => {
            // Its servers have no addresses here, which it says, and accepts.
            run(program("haproxy").args(["-c", "-q", "-f", HAPROXY]))?;
            Ok(None)
        }
        Err(error) => Ok(Some(format!("HAProxy's own check: {error:#}"))),
    }
}

/// HAProxy's configuration.
const HAPROXY: &str = "deploy/haproxy/haproxy.cfg";

/// What is left out, if anything is.
fn skipped(why: Option<&str>, no_haproxy: Option<String>) -> Outcome {
    let reasons = why.map(str::to_owned).into_iter().chain(no_haproxy);
    let reasons: Vec<_> = reasons.collect();
    if reasons.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Skipped(reasons.join("; "))
    }
}

/// The members' folders, as the workspace names them.
fn members(workspace: &Workspace) -> Result<Vec<String>> {
    let manifests = workspace.members().map(|member| member.manifest());
    let folders = manifests.map(|manifest| {
        let folder = manifest.parent().context("a manifest is in a folder")?;
        let folder = folder.strip_prefix(root())?;
        Ok(folder.to_string_lossy().into_owned())
    });
    folders.collect()
}

/// Has the Dockerfile read by a linter, which comes from npm.
fn lint() -> Result<()> {
    let tools = Workspace::load()?.target_dir()?.join("tools/npm");
    fs::create_dir_all(&tools)?;
    for name in ["package.json", "package-lock.json"] {
        copy(&root().join("xtask/npm").join(name), &tools.join(name))?;
    }
    npm_ci(&tools)?;
    let linter = tools.join("node_modules/dockerfile-utils/bin/dockerfile-utils");
    let mut node = program("node");
    run(node.arg(linter).args(["lint", "deploy/Dockerfile"]))
}

/// Runs the image's program in a folder that has what the image has, and nothing else: as
/// the image's user, with its environment, started as it starts it.
fn run_in_empty_root(stage: &Stage, built: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    copy(built, &folder.join("tenantry"))?;
    copy(&root().join("tenants.jsonl"), &folder.join("tenants.jsonl"))?;

    let mut chroot = Command::new("chroot");
    chroot
        .arg(format!("--userspec={USER}"))
        .arg(folder)
        .args(stage.entrypoint()?)
        .env_clear()
        // Of this machine, to find chroot.
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(stage.environment())
        // The image's own may be in use on this machine.
        .env("PORT", "0");
    let server = Served::start(&mut chroot)?;
    let uid = format!(
        "Uid:\t{0}\t{0}\t{0}\t{0}",
        USER.split(':').next().unwrap_or("")
    );
    let status = fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    ensure!(
        status.contains(&uid),
        "the server runs as another user:\n{status}"
    );
    walk::walk(&server)?;
    server.stop()?;
    fs::remove_dir_all(folder)?;
    Ok(())
}
