//! Stores that answer when a test lets them, or never.

use std::{
    future::pending,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
};

use bytes::Bytes;
use tenantry::state::{Answer, Entry, SessionStore, State, TenantDirectory, UsageBatch, UsageRow};
use tenantry_core::{
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
};
use tokio::sync::Semaphore;

/// What a test holds of a [`GatedSessions`].
pub(crate) struct Gate {
    arrived: Receiver<()>,
    passes: Arc<Semaphore>,
}

impl Gate {
    /// Puts a gate in front of the sessions of `state`.
    pub(crate) fn before(state: &mut State) -> Self {
        let (arrivals, arrived) = channel();
        let passes = Arc::new(Semaphore::new(0));
        state.sessions = Box::new(GatedSessions {
            arrivals,
            passes: Arc::clone(&passes),
        });
        Self { arrived, passes }
    }

    /// Waits until one more request stands before the gate.
    pub(crate) fn wait(&self) {
        self.arrived
            .recv_timeout(super::client::PATIENCE)
            .expect("a request opens a session");
    }

    /// Lets one request through.
    pub(crate) fn let_one_through(&self) {
        self.passes.add_permits(1);
    }
}

/// Opens sessions that it forgets, each when the gate lets it.
struct GatedSessions {
    arrivals: Sender<()>,
    passes: Arc<Semaphore>,
}

impl SessionStore for GatedSessions {
    fn open<'a>(&'a self, _: &'a Entry, _: SessionId) -> Answer<'a, Result<(), OpenError>> {
        Answer::Later(Box::pin(async {
            let _ = self.arrivals.send(());
            match self.passes.acquire().await {
                Ok(pass) => pass.forget(),
                Err(_) => return Err(Unavailable.into()),
            }
            Ok(())
        }))
    }

    fn owner<'a>(&'a self, _: &'a Entry, _: SessionId) -> Answer<'a, Result<Owner, Unavailable>> {
        Answer::Now(Ok(Owner::Unknown))
    }
}

/// Knows whether there are tenants, and never says.
pub(crate) struct SilentDirectory;

impl TenantDirectory for SilentDirectory {
    fn find<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        Answer::Later(Box::pin(pending()))
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        Answer::Later(Box::pin(pending()))
    }
}

/// A batch of usage with this number.
pub(crate) fn batch(seq: u64, rows: Vec<UsageRow>) -> UsageBatch {
    UsageBatch {
        writer: "a test".into(),
        seq,
        rows: rows.into(),
    }
}
