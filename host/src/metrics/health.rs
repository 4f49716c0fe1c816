//! Whether the server can do its work.

use std::time::Duration;

use super::Metrics;
use crate::state::{Pending, State, StoreError};

/// What a server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// Its threads are not there yet.
    #[default]
    Starting,
    /// It serves.
    Serving,
    /// It is to stop.
    Draining,
}

/// Something that the server cannot work without, and which may be out of reach.
pub trait Probe: Send + Sync {
    /// What it is called, such as `postgres`.
    fn name(&self) -> &'static str;

    /// Whether it answers.
    fn check(&self) -> Pending<'_, Result<(), StoreError>>;
}

/// Why a server is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What is not as it should be: `server`, or the name of a store.
    pub what: &'static str,
    /// In which way, for people.
    pub why: String,
}

/// What a store may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);

impl Metrics {
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.lock()
    }
}

/// Why this server is not ready to serve; nothing where it is. Takes a second at most.
pub async fn obstacles(state: &State) -> Vec<Obstacle> {
    let why = match state.metrics.phase() {
        Phase::Starting => Some("starting"),
        Phase::Serving => None,
        Phase::Draining => Some("draining"),
    };
    let mut obstacles: Vec<_> = why
        .map(|why| Obstacle {
            what: "server",
            why: why.to_owned(),
        })
        .into_iter()
        .collect();
    // Begun before any is awaited, so that all of them have the same second.
    let checks: Vec<_> = state
        .probes
        .iter()
        .map(|probe| {
            (
                probe.name(),
                Box::pin(tokio::time::timeout(PATIENCE, probe.check())),
            )
        })
        .collect();
    for (what, check) in checks {
        let why = match check.await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        obstacles.push(Obstacle { what, why });
    }
    obstacles
}
