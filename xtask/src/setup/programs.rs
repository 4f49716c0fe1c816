//! Programs that the tests run as a user would, and that a machine may lack.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::{output, program, read};

/// What README.md's commands are made of. Debian's packages have the same names.
const OF_THE_README: [&str; 3] = ["bash", "curl", "jq"];

/// Makes sure that the tests find the programs that they run.
///
/// # Errors
/// One is missing, and can't be installed: says which, and why.
pub(crate) fn programs() -> Result<()> {
    install(&OF_THE_README, apt_get)?;
    if cfg!(target_os = "linux") {
        // It sets the clock of a single program.
        install(&["faketime"], apt_get)?;
    }
    Ok(())
}

/// Makes sure that there is what reads units of systemd.
///
/// # Errors
/// It is missing, and can't be installed.
pub(crate) fn systemd() -> Result<()> {
    let is_there = |_: &&str| is_there(&"systemd-analyze");
    install_unless(is_there, &["systemd"], apt_get)
}

/// Installs what the tests use as stores, if that works here. Tests that find a store
/// missing say so, and check nothing.
pub(crate) fn stores() {
    if let Err(error) = install(&["redis-server"], apt_get) {
        println!("note: {error:#}; the tests with Redis are skipped");
    }
}

/// Makes sure that there is a Chromium; `CHROMIUM` in the environment names one.
///
/// # Errors
/// There is none, and none can be installed.
pub(crate) fn chromium() -> Result<()> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    one_of("CHROMIUM", &names, "chromium", apt_get)
}

/// Makes sure that there is a Firefox; `FIREFOX` in the environment names one.
///
/// # Errors
/// There is none, and none can be installed.
pub(crate) fn firefox() -> Result<()> {
    one_of(
        "FIREFOX",
        &["firefox", "firefox-esr"],
        "firefox-esr",
        apt_get,
    )
}

/// Makes sure that there is what the benchmarks load the server with and compare it with.
///
/// # Errors
/// One is missing, and can't be installed.
pub(crate) fn load_tools() -> Result<()> {
    install_unless(
        starts,
        &["wrk", "nginx", "valgrind", "redis-server"],
        apt_get,
    )
}

/// Makes sure that there is a Prometheus, and its tool.
///
/// # Errors
/// It is missing, and can't be installed.
pub(crate) fn prometheus() -> Result<()> {
    // The package of this name has promtool, too.
    install(&["prometheus"], apt_get)
}

/// Makes sure that there is a server of PostgreSQL that tests can start.
///
/// # Errors
/// It is missing, and can't be installed.
pub(crate) fn postgres() -> Result<()> {
    // Debian has it outside of PATH.
    let versions = || {
        std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
    };
    let is_there = |_: &&str| is_there(&"initdb") || versions().next().is_some();
    install_unless(is_there, &["postgresql"], apt_get)
}

/// Makes sure that there is what a soak is made of. Without libfaketime it goes without steps
/// of clocks, and says so.
///
/// # Errors
/// A store or the balancer is missing, and can't be installed.
pub(crate) fn soak_tools() -> Result<()> {
    install(&["redis-server"], apt_get)?;
    haproxy()?;
    postgres()?;
    if let Err(error) = install(&["faketime"], apt_get) {
        println!("note: {error:#}; clocks are not stepped");
    }
    Ok(())
}

/// Makes sure that there is what counts instructions.
///
/// # Errors
/// It is missing, and can't be installed.
pub(crate) fn valgrind() -> Result<()> {
    install(&["valgrind"], apt_get)
}

/// Makes sure that there is what reads HAProxy's configuration.
///
/// # Errors
/// It is missing, and can't be installed.
pub(crate) fn haproxy() -> Result<()> {
    let is_there = |name: &&str| output(program(name).arg("-v")).is_ok();
    install_unless(is_there, &["haproxy"], apt_get)
}

/// Makes sure that there is a pooler of connections to PostgreSQL.
///
/// # Errors
/// It is missing, and can't be installed.
pub(crate) fn pgbouncer() -> Result<()> {
    install(&["pgbouncer"], apt_get)
}

/// Makes sure that there is an nginx, which is a proxy in tests.
///
/// # Errors
/// It is missing, and can't be installed.
pub(crate) fn nginx() -> Result<()> {
    let is_there = |name: &&str| output(program(name).arg("-v")).is_ok();
    install_unless(is_there, &["nginx"], apt_get)
}

/// Makes sure that there is a Python with its installer of packages.
///
/// # Errors
/// One is missing, and can't be installed.
pub(super) fn python() -> Result<()> {
    let is_there = |name: &&str| {
        let mut python = program("python3");
        let asked = match name.strip_prefix("python3-") {
            Some(module) => python.args(["-m", module, "--version"]),
            None => python.arg("--version"),
        };
        output(asked).is_ok_and(|asked| asked.status.success())
    };
    install_unless(is_there, &["python3", "python3-pip"], apt_get)
}

/// Installs a package unless one of its programs is there, or the variable names one.
fn one_of(variable: &str, names: &[&str], package: &str, apt: impl Fn() -> Command) -> Result<()> {
    if std::env::var_os(variable).is_some() || names.iter().any(is_there) {
        return Ok(());
    }
    let another_way = || format!("{package} can't be installed; {variable} may name one");
    install(&[package], apt).with_context(another_way)
}

fn apt_get() -> Command {
    let mut apt = program("apt-get");
    apt.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn install(names: &[&str], apt: impl Fn() -> Command) -> Result<()> {
    install_unless(is_there, names, apt)
}

/// Installs those programs of which that is not so.
fn install_unless(
    is_there: impl Fn(&&str) -> bool,
    names: &[&str],
    apt: impl Fn() -> Command,
) -> Result<()> {
    let is_missing = |name: &&str| !is_there(name);
    let missing: Vec<&str> = names.iter().copied().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    let ask = || format!("the tests need {names}: please install what is missing");
    println!("installing {names}");
    read(apt().arg("update")).with_context(ask)?;
    let args = ["install", "--yes", "--no-install-recommends"];
    read(apt().args(args).args(&missing)).with_context(ask)?;
    ensure!(missing.iter().all(&is_there), ask());
    Ok(())
}

/// Whether there is such a program, which may not know `--version`.
fn starts(name: &&str) -> bool {
    output(program(name).arg("--version")).is_ok()
}

fn is_there(name: &&str) -> bool {
    let version = output(program(name).arg("--version"));
    version.is_ok_and(|version| version.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_left_alone() {
        let no_installer = || program("tenantry-no-such-program");
        install(&["cargo", "rustc"], no_installer).expect("what runs this test");
    }

    #[test]
    fn one_program_of_several_is_enough() {
        let names = ["tenantry-no-such-program", "cargo"];
        let no_installer = || program("tenantry-no-such-program");
        one_of("TENANTRY_NO_VARIABLE", &names, "none", no_installer).expect("there is cargo");
        let error = one_of("TENANTRY_NO_VARIABLE", &names[..1], "none", no_installer);
        let error = format!("{:#}", error.expect_err("there is none"));
        assert!(error.starts_with(
            "none can't be installed; TENANTRY_NO_VARIABLE may name one: the tests need none"
        ));
        one_of("PATH", &names[..1], "none", no_installer).expect("the variable names one");
    }

    #[test]
    fn what_can_t_be_installed_is_asked_for_by_name() {
        // An installer that does nothing, and one that fails.
        for installer in ["true", "false"] {
            let installed = install(&["cargo", "tenantry-no-such-program"], || {
                program(installer)
            });
            let error = installed.expect_err("there is none").to_string();
            assert_eq!(
                error,
                "the tests need tenantry-no-such-program: please install what is missing"
            );
        }
    }
}
