//! What cargo knows of the workspace, and the steps that are cargo's own.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    process::{cargo, read, root, run},
    setup::{
        Component, WASM_TARGET, component, haproxy, nginx, pgbouncer, postgres, programs,
        prometheus, stores,
    },
    steps::Outcome,
};

/// The workspace, as `cargo metadata` describes it.
#[derive(Debug)]
pub(crate) struct Workspace(Value);

/// A member of the workspace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a>(&'a Value);

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// A manifest is broken, or the lock file is not up to date.
    pub(crate) fn load() -> Result<Self> {
        let args = ["metadata", "--format-version=1", "--no-deps", "--locked"];
        Self::parse(&read(cargo().args(args))?)
    }

    /// Reads what cargo said.
    ///
    /// # Errors
    /// It is not JSON.
    pub(crate) fn parse(metadata: &str) -> Result<Self> {
        Ok(Self(serde_json::from_str(metadata).context("metadata")?))
    }

    /// The packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member<'_>> {
        let packages = self.0["packages"].as_array();
        packages.into_iter().flatten().map(Member)
    }

    /// `flag` and its name for each member that becomes a WebAssembly module.
    pub(crate) fn each_guest<'a>(&'a self, flag: &'a str) -> Vec<&'a str> {
        let guests = self.members().filter(|member| member.is_guest());
        guests.flat_map(|guest| [flag, guest.name()]).collect()
    }

    /// The folder that cargo builds in.
    ///
    /// # Errors
    /// Cargo did not say.
    pub(crate) fn target_dir(&self) -> Result<PathBuf> {
        let dir = self.0["target_directory"].as_str();
        Ok(dir
            .context("no target directory in cargo's metadata")?
            .into())
    }
}

impl<'a> Member<'a> {
    /// The package's name.
    pub(crate) fn name(self) -> &'a str {
        self.0["name"].as_str().unwrap_or_default()
    }

    /// Its Cargo.toml.
    pub(crate) fn manifest(self) -> PathBuf {
        self.0["manifest_path"].as_str().unwrap_or_default().into()
    }

    /// Whether it is for registries.
    pub(crate) fn is_published(self) -> bool {
        // A list of registries; all of them without one.
        let registries = self.0["publish"].as_array();
        registries.is_none_or(|registries| !registries.is_empty())
    }

    /// Names of what it is built from: neither for its tests nor for its build script.
    pub(crate) fn dependencies(self) -> impl Iterator<Item = &'a str> {
        let all = self.0["dependencies"].as_array().into_iter().flatten();
        let normal = all.filter(|dependency| dependency["kind"].is_null());
        normal.filter_map(|dependency| dependency["name"].as_str())
    }

    /// Whether it becomes a WebAssembly module.
    pub(crate) fn is_guest(self) -> bool {
        let targets = self.0["targets"].as_array().into_iter().flatten();
        let mut types = targets.filter_map(|target| target["crate_types"].as_array());
        types.any(|types| types.iter().any(|one| one == "cdylib"))
    }
}

/// The compiler's own platform, such as `x86_64-unknown-linux-gnu`.
///
/// # Errors
/// The compiler can't be asked.
pub(crate) fn host_triple() -> Result<String> {
    rustc_says("host")
}

/// The compiler's version, such as `1.95.0`.
///
/// # Errors
/// The compiler can't be asked.
pub(crate) fn rustc_release() -> Result<String> {
    rustc_says("release")
}

fn rustc_says(name: &str) -> Result<String> {
    let text = read(crate::process::program("rustc").arg("-vV"))?;
    let mut values = text.lines().filter_map(|line| line.split_once(": "));
    let value = values.find(|(found, _)| *found == name);
    let (_, value) = value.with_context(|| format!("`rustc -vV` names no {name}"))?;
    Ok(value.to_owned())
}

/// Step `fmt`.
pub(crate) fn fmt() -> Result<Outcome> {
    if let Some(skipped) = component(Component::Rustfmt)? {
        return Ok(skipped);
    }
    run(cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Outcome::Passed)
}

/// Step `wasm`: the core by itself, for the platform that has nothing.
pub(crate) fn wasm() -> Result<Outcome> {
    let args = ["check", "--locked", "--package", "tenantry-core"];
    run(cargo().args(args).args(["--target", WASM_TARGET]))?;
    Ok(Outcome::Passed)
}

/// Step `clippy`: everything for this machine, and the guests for theirs.
pub(crate) fn clippy() -> Result<Outcome> {
    if let Some(skipped) = component(Component::Clippy)? {
        return Ok(skipped);
    }
    let strict = ["--", "-D", "warnings"];
    let args = ["clippy", "--workspace", "--all-targets", "--locked"];
    run(cargo().args(args).args(strict))?;

    let workspace = Workspace::load()?;
    let guests = workspace.each_guest("--package");
    ensure!(!guests.is_empty(), "no member becomes a WebAssembly module");
    let args = ["clippy", "--locked", "--target", WASM_TARGET];
    run(cargo().args(args).args(guests).args(strict))?;
    Ok(Outcome::Passed)
}

/// Step `test`: unit tests, integration tests and the examples in the documentation.
pub(crate) fn test() -> Result<Outcome> {
    programs()?;
    stores();
    // A guest's exports can't be linked for this machine; the host's tests run the guests.
    let workspace = Workspace::load()?;
    let guests = workspace.each_guest("--exclude");
    let mut test = cargo();
    test.args(["test", "--workspace", "--locked"]).args(guests);
    if haproxy().is_ok() {
        test.env("TENANTRY_TEST_HAPROXY", "1");
    }
    if pgbouncer().is_ok() {
        test.env("TENANTRY_TEST_PGBOUNCER", "1");
    }
    if nginx().is_ok() {
        test.env("TENANTRY_TEST_NGINX", "1");
    }
    let postgres = postgres();
    if postgres.is_ok() {
        test.env("TENANTRY_TEST_POSTGRES", "1");
    }
    run(&mut test)?;
    Ok(match postgres {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Skipped(format!("tests with PostgreSQL: {error:#}")),
    })
}

/// Step `dashboards`: the tests of the step `test` that need a Prometheus, which that one passes
/// over where there is none.
pub(crate) fn dashboards() -> Result<Outcome> {
    if let Err(error) = prometheus() {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    let workspace = Workspace::load()?;
    // Built with all members, as in the step `test`: then nothing is built again.
    run(cargo()
        .args(["test", "--workspace", "--locked"])
        .args(workspace.each_guest("--exclude"))
        .args(["--test", "it", "dashboards::"])
        .env("TENANTRY_TEST_PROMETHEUS", "1"))?;
    Ok(Outcome::Passed)
}

/// Step `doc`.
pub(crate) fn doc() -> Result<Outcome> {
    let args = ["doc", "--workspace", "--no-deps", "--locked"];
    run(cargo().args(args).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Passed)
}

/// The version that the workspace's Cargo.toml gives its packages.
///
/// # Errors
/// It gives none.
pub(crate) fn version() -> Result<String> {
    let text = std::fs::read_to_string(root().join("Cargo.toml"))?;
    let file: toml::Table = text.parse().context("Cargo.toml")?;
    let package = file.get("workspace").and_then(|part| part.get("package"));
    let version = package.and_then(|package| package.get("version")?.as_str());
    Ok(version
        .context("Cargo.toml gives its packages no version")?
        .to_owned())
}

/// The version that rust-toolchain.toml names.
///
/// # Errors
/// It names none.
pub(crate) fn pinned_release() -> Result<String> {
    let text = std::fs::read_to_string(root().join("rust-toolchain.toml"))?;
    let file: toml::Table = text.parse().context("rust-toolchain.toml")?;
    let channel = file.get("toolchain").and_then(|part| part.get("channel"));
    let channel = channel.and_then(toml::Value::as_str);
    Ok(channel
        .context("rust-toolchain.toml names no channel")?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_published_unless_its_manifest_forbids_it() {
        let text = r#"{"packages":[{"name":"a","publish":null},{"name":"b","publish":[]}]}"#;
        let workspace = Workspace::parse(text).expect("JSON");
        let published = workspace.members().filter(|member| member.is_published());
        assert_eq!(published.map(Member::name).collect::<Vec<_>>(), ["a"]);
    }
}
