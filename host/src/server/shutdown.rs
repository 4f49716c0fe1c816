//! Stopping a server: first gently, then at once.

use std::sync::Arc;

use tokio::sync::watch;

/// Stops a server. Clones stop the same one.
#[derive(Debug, Clone)]
pub struct Shutdown {
    phase: Arc<watch::Sender<Phase>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Nothing new is accepted; what was begun is ended.
    Draining,
    /// Everything is given up.
    Stopped,
}

impl Shutdown {
    /// Stops nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Running)),
        }
    }

    /// Stops gently: accepts nothing new, answers what was begun.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Stops at once: connections are cut off.
    pub fn now(&self) {
        self.advance(Phase::Stopped);
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = *phase < to;
            if later {
                *phase = to;
            }
            later
        });
    }

    /// Waits until the server is to stop, gently or at once.
    pub async fn requested(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until the server is to stop at once.
    pub(crate) async fn stopped(&self) {
        self.reached(Phase::Stopped).await;
    }

    async fn reached(&self, wanted: Phase) {
        // `self` keeps the sender, so there always is one.
        let _ = self
            .phase
            .subscribe()
            .wait_for(|phase| *phase >= wanted)
            .await;
    }
}
