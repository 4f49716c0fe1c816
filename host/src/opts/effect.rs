//! Flags that were given and have no effect beside others.

use clap::{ArgMatches, parser::ValueSource};

use super::{ServeTask, StateKind};
use crate::engine::EngineKind;

/// A sentence for each flag that was given, on the command line or in the environment, and
/// that changes nothing.
pub(super) fn without(given: &ArgMatches, task: &ServeTask) -> Vec<String> {
    let is_given = |id: &str| {
        matches!(
            given.value_source(id),
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        )
    };
    let has_database = matches!(task.state, StateKind::Database(_));
    let has_store = has_database || task.cache.is_some();
    let is_native = task.engine == EngineKind::Native;
    let cases: [(bool, &str, &[&str]); 7] = [
        (
            has_database,
            "tenants are those of the database (--state); `tenantry import` brings a file into it",
            &["tenants", "watch"],
        ),
        (
            !has_database,
            "there is no database without --state sqlite:PATH or postgres://...",
            &["state_create", "store_wait"],
        ),
        (
            !has_store,
            "there is no store elsewhere without --state or --cache",
            &["store_timeout"],
        ),
        (
            is_native,
            "there are no sandboxes with --engine native",
            &[
                "isolation",
                "sandboxes",
                "sandbox_deadline",
                "sandbox_memory",
                "sandbox_stack",
                "max_reply",
            ],
        ),
        (
            !task.rules.limits,
            "nothing is limited with --no-limits",
            &["max_sessions", "cache"],
        ),
        (
            task.traces.is_none(),
            "there are no traces without --otlp",
            &["otlp_sample"],
        ),
        (
            task.admin.is_none(),
            "there is no admin listener, and no /metrics, without --admin-token-file",
            &["metrics_tenants"],
        ),
    ];
    let unused = cases.iter().filter(|(holds, ..)| *holds);
    let sentences = unused.flat_map(|(_, why, ids)| {
        let ids = ids.iter().filter(|id| is_given(id));
        ids.map(move |id| format!("--{} has no effect: {why}", id.replace('_', "-")))
    });
    sentences.collect()
}
