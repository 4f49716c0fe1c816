//! What a sandbox belongs to, and what its guest may ask: the other side of `host/wit`.

use std::sync::Arc;

use tenantry_core::{
    limit::Quota,
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
};
use wasmtime::ResourceLimiter;

use super::bindings::{tenantry::sandbox::scope as wit, wasi::random::random};
use crate::{
    random::random_u64,
    state::{Entry, State},
};

/// A sandbox's scope: one tenant, or nobody, for all its life. The guest's questions are
/// answered from it, and it cannot be changed.
pub(super) struct Scope {
    tenant: Option<Arc<Entry>>,
    state: Arc<State>,
    pub(super) memory: Memory,
    /// Ticks that the running call was seen running.
    pub(super) ticks: u32,
    /// What was left of the tenant's limit when the running call asked.
    pub(super) quota: Option<Quota>,
}

/// How much memory the sandbox has, and may have.
pub(super) struct Memory {
    max: usize,
    pub(super) size: usize,
    /// It wanted more than it may have.
    pub(super) was_refused: bool,
}

impl Scope {
    pub(super) fn new(tenant: Option<Arc<Entry>>, state: Arc<State>, max_memory: usize) -> Self {
        Self {
            tenant,
            state,
            memory: Memory {
                max: max_memory,
                size: 0,
                was_refused: false,
            },
            ticks: 0,
            quota: None,
        }
    }

    /// Forgets what belongs to the call before.
    pub(super) fn begin_call(&mut self) {
        self.ticks = 0;
        self.quota = None;
        self.memory.was_refused = false;
    }

    /// The tenant; none in the anonymous scope.
    pub(super) fn tenant(&self) -> Option<&Arc<Entry>> {
        self.tenant.as_ref()
    }

    /// Whether this is the scope of `tenant`, in this version of its row.
    pub(super) fn is_of(&self, tenant: Option<&Arc<Entry>>) -> bool {
        match (&self.tenant, tenant) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.max;
        if allowed {
            self.size = desired;
        } else {
            self.was_refused = true;
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Tables are made once, with the sandbox.
        Ok(true)
    }
}

impl wit::Host for Scope {
    async fn open_session(&mut self, id: wit::SessionId) -> wit::Opening {
        let opened = match &self.tenant {
            Some(tenant) => {
                self.state
                    .sessions
                    .open(tenant, session_id(id))
                    .wait()
                    .await
            }
            None => Err(Unavailable.into()),
        };
        match opened {
            Ok(()) => wit::Opening::Opened,
            Err(OpenError::Exists) => wit::Opening::Exists,
            Err(OpenError::Full) => wit::Opening::Full,
            Err(_) => wit::Opening::Unavailable,
        }
    }

    async fn owner(&mut self, id: wit::SessionId) -> wit::Ownership {
        let Some(tenant) = &self.tenant else {
            return wit::Ownership::Unavailable;
        };
        match self
            .state
            .sessions
            .owner(tenant, session_id(id))
            .wait()
            .await
        {
            Ok(Owner::Mine) => wit::Ownership::Mine,
            Ok(Owner::Another) => wit::Ownership::Another,
            Ok(Owner::Unknown) => wit::Ownership::Unknown,
            Err(Unavailable) => wit::Ownership::Unavailable,
        }
    }

    async fn admit_chat(&mut self) -> wit::Admission {
        let Some(tenant) = &self.tenant else {
            return wit::Admission::Unavailable;
        };
        let Ok(admission) = self.state.limiter.admit(tenant).wait().await else {
            return wit::Admission::Unavailable;
        };
        self.quota = admission.quota();
        if admission.is_granted() {
            wit::Admission::Granted
        } else {
            wit::Admission::Refused
        }
    }
}

impl random::Host for Scope {
    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        random_u64().map_err(wasmtime::Error::new)
    }
}

fn session_id(id: wit::SessionId) -> SessionId {
    SessionId::from_u64_pair(id.high, id.low)
}
