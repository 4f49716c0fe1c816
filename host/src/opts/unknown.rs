//! Variables of the environment that look as if they were meant for this program, and are not
//! known.

use std::{collections::BTreeSet, ffi::OsString};

use clap::Command;
use tenantry_core::similar::nearest;

/// What the names of this program's variables begin with.
const PREFIX: &str = "TENANTRY_";

/// What tests of this project are controlled by, and not the program.
const OF_TESTS: &str = "TENANTRY_TEST_";

/// What the program was built from: read by the build, and set where people build.
const OF_THE_BUILD: &str = "TENANTRY_COMMIT";

/// A warning for each variable that no command knows, whatever is to be done: a misspelt one
/// would be ignored without a word.
pub(super) fn unknown(
    command: &Command,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<String> {
    let mut known = BTreeSet::new();
    names(command, &mut known);
    let mut unknown: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            let is_meant = name.starts_with(PREFIX)
                && !name.starts_with(OF_TESTS)
                && name != OF_THE_BUILD
                && !known.contains(&name)
                && !is_of_kubernetes(&name, &value.to_string_lossy());
            is_meant.then_some(name)
        })
        .collect();
    unknown.sort();
    let warning = |name: &String| {
        let short = name.strip_prefix(PREFIX).unwrap_or(name);
        let known = known.iter().filter_map(|name| name.strip_prefix(PREFIX));
        let meant = nearest(short, known);
        let meant = meant.map(|meant| format!("; did you mean {PREFIX}{meant}?"));
        let (shown, meant) = (name.escape_debug(), meant.unwrap_or_default());
        format!("{shown} in the environment is unknown, so it is ignored{meant}")
    };
    unknown.iter().map(warning).collect()
}

/// The variables that a command knows, and its commands.
fn names(command: &Command, known: &mut BTreeSet<String>) {
    let variables = command.get_arguments().filter_map(|arg| arg.get_env());
    known.extend(variables.map(|name| name.to_string_lossy().into_owned()));
    for command in command.get_subcommands() {
        names(command, known);
    }
}

/// Whether a variable is one of those that Kubernetes sets for each Service of a namespace,
/// which may be called `tenantry`: `TENANTRY_SERVICE_HOST`, `TENANTRY_PORT_8001_TCP_ADDR`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let is_part = |mark: &str| {
        let behind = name.split_once(mark).map(|(_, rest)| rest);
        behind.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_address)
        || is_part("_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(variables: &[(&str, &str)]) -> Vec<String> {
        let command = <super::super::Cli as clap::CommandFactory>::command();
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        unknown(&command, variables)
    }

    #[test]
    fn a_misspelt_variable_is_named_with_what_was_probably_meant() {
        assert_eq!(
            warnings(&[
                ("TENANTRY_SESION_TTL", "1h"),
                ("TENANTRY_CASH", "redis://x"),
                ("TENANTRY_FORMAT", ""),
                ("TENANTRY_A\u{1b}[31m", ""),
                ("tenantry_state", ""),
                ("PORT", "1"),
            ]),
            [
                r"TENANTRY_A\u{1b}[31m in the environment is unknown, so it is ignored",
                "TENANTRY_CASH in the environment is unknown, so it is ignored; did you mean TENANTRY_CACHE?",
                "TENANTRY_FORMAT in the environment is unknown, so it is ignored",
                "TENANTRY_SESION_TTL in the environment is unknown, so it is ignored; did you mean TENANTRY_SESSION_TTL?",
            ]
        );
    }

    #[test]
    fn what_any_command_knows_and_what_others_set_is_no_mistake() {
        let known = [
            ("TENANTRY_STATE", "x"),
            ("TENANTRY_SESSION_TTL", "x"),
            ("TENANTRY_ADMIN_URL", "x"),
            ("TENANTRY_OUTPUT", "x"),
            ("TENANTRY_ADMIN_TOKEN_FILE", "x"),
            ("TENANTRY_TEST_POSTGRES", "1"),
            ("TENANTRY_COMMIT", "8704a884b37a"),
            ("TENANTRY_SERVICE_HOST", "10.0.0.1"),
            ("TENANTRY_SERVICE_PORT", "8001"),
            ("TENANTRY_SERVICE_PORT_HTTP", "8001"),
            ("TENANTRY_PORT", "tcp://10.0.0.1:8001"),
            ("TENANTRY_PORT_8001_TCP", "tcp://10.0.0.1:8001"),
            ("TENANTRY_PORT_8001_TCP_ADDR", "10.0.0.1"),
            ("TENANTRY_ADMIN_PORT", "tcp://10.0.0.1:9001"),
            ("TENANTRY_ADMIN_PORT_9001_TCP_PROTO", "tcp"),
        ];
        assert_eq!(warnings(&known), [""; 0]);
        assert_eq!(warnings(&[("TENANTRY_PORT", "8001")]).len(), 1);
    }
}
