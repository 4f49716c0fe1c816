//! Step `unit`: the unit for systemd, by systemd's own rules and by the program's.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};

use crate::{
    cargo::Workspace,
    interface::Interface,
    process::{output, program, root},
    setup,
    steps::Outcome,
};

/// The unit.
const UNIT: &str = "deploy/systemd/tenantry.service";

/// Where it expects the program.
const PROGRAM: &str = "/usr/local/bin/tenantry";

/// What `systemd-analyze security` may say of it at most, from 0 (nothing can be reached) to
/// 100, in tenths of its points.
const MAX_EXPOSURE: &str = "20";

/// For `--drain` as it is by default, and for stores afterwards.
const STOPS_WITHIN: Duration = Duration::from_secs(10 + 5);

/// Runs the step.
pub(crate) fn step() -> Result<Outcome> {
    let text = fs::read_to_string(root().join(UNIT)).context(UNIT)?;
    let problems = problems(&text, &Interface::read()?);
    ensure!(problems.is_empty(), "{UNIT}: {}", problems.join("; "));
    if !cfg!(target_os = "linux") {
        return Ok(Outcome::Skipped("there is no systemd here".to_owned()));
    }
    setup::systemd()?;
    let out = Workspace::load()?.target_dir()?.join("unit");
    fs::create_dir_all(&out)?;
    let copy = out.join("tenantry.service");
    // It asks whether the program is there.
    fs::write(&copy, text.replace(PROGRAM, "/bin/true"))?;
    let verified = output(program("systemd-analyze").arg("verify").arg(&copy))?;
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // Of other units on this machine it may say something, too.
    let about: Vec<_> = said
        .lines()
        .filter(|line| line.contains("tenantry"))
        .collect();
    ensure!(
        verified.status.success() && about.is_empty(),
        "systemd-analyze verify: {said}"
    );
    let security = ["security", "--offline=true", "--threshold", MAX_EXPOSURE];
    let security = output(program("systemd-analyze").args(security).arg(&copy))?;
    ensure!(
        security.status.success(),
        "systemd-analyze security: {}",
        String::from_utf8_lossy(&security.stdout)
    );
    Ok(Outcome::Passed)
}

/// What is wrong with the unit by what the program takes and does.
fn problems(unit: &str, interface: &Interface) -> Vec<String> {
    let values = |name: &str| {
        let lines = unit.lines();
        let values = lines.filter_map(|line| line.split_once('='));
        let values = values.filter(|(found, _)| *found == name);
        values.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let mut problems = Vec::new();
    let mut want = |is_so: bool, what: &str| {
        if !is_so {
            problems.push(what.to_owned());
        }
    };
    for variable in values("Environment") {
        let name = variable.split('=').next().unwrap_or_default();
        let is_known = interface.has_variable(name);
        want(is_known, &format!("the program does not read {name}"));
    }
    want(values("Type") == ["notify"], "it waits for no READY=1");
    let reload = values("ExecReload");
    let is_hangup = reload == ["/bin/kill -HUP $MAINPID"];
    want(is_hangup, "a reload is no SIGHUP");
    let start = values("ExecStart");
    let serves = format!("{PROGRAM} serve");
    let is_serve = matches!(*start, [command] if command.starts_with(&serves));
    want(is_serve, "it does not start the server");
    let stop = values("TimeoutStopSec");
    let stop = stop.first().and_then(|stop| stop.parse().ok());
    let has_time = stop.map(Duration::from_secs) >= Some(STOPS_WITHIN);
    want(has_time, "the server is killed while it drains");
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../deploy/systemd/tenantry.service");

    fn found(unit: &str) -> Vec<String> {
        problems(unit, &Interface::read().expect("the source"))
    }

    #[test]
    fn the_unit_fits_the_program() {
        assert_eq!(found(TEXT), [""; 0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (from, to, problem) in [
            (
                "TENANTRY_STATE=",
                "TENANTRY_STORE=",
                "does not read TENANTRY_STORE",
            ),
            ("Type=notify", "Type=simple", "READY=1"),
            ("-HUP", "-USR1", "SIGHUP"),
            ("tenantry serve", "tenantry check", "does not start"),
            ("TimeoutStopSec=20", "TimeoutStopSec=10", "while it drains"),
            ("TimeoutStopSec=20", "", "while it drains"),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let found = found(&TEXT.replace(from, to));
            assert!(
                matches!(&*found, [only] if only.contains(problem)),
                "{from}: {found:?}"
            );
        }
    }
}
