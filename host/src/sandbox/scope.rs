//! What a sandbox belongs to, and what its guest may ask: the other side of `host/wit`.

use std::sync::Arc;

use tenantry_core::{
    limit::{Admission, Quota},
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
    tenant::{ReplyStyle, Tenant},
};
use wasmtime::ResourceLimiter;

use super::bindings::{
    tenantry::sandbox::scope as wit,
    wasi::random::random,
};
use crate::{
    random::random_u64,
    state::{Entry, State},
};

/// A sandbox's scope: one tenant, or nobody, for all its life. The guest's questions are
/// answered from it, and it cannot be changed.
pub(super) struct Scope {
    tenant: Option<Arc<Entry>>,
    /// The tenant's row as the guest gets it.
    row: Option<wit::Row>,
    state: Arc<State>,
    pub(super) memory: Memory,
    /// Ticks that the running call was seen running.
    pub(super) ticks: u32,
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
            row: tenant.as_ref().map(|entry| row(&entry.tenant)),
            tenant,
            state,
            memory: Memory {
                max: max_memory,
                size: 0,
                was_refused: false,
            },
            ticks: 0,
        }
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
    fn tenant(&mut self) -> wasmtime::Result<Option<wit::Row>> {
        Ok(self.row.clone())
    }

    async fn open_session(&mut self, id: wit::SessionId) -> Result<(), wit::OpenError> {
        let opened = match &self.tenant {
            Some(tenant) => self.state.sessions.open(tenant, session_id(id)).wait().await,
            None => Err(Unavailable.into()),
        };
        opened.map_err(|error| match error {
            OpenError::Exists => wit::OpenError::Exists,
            OpenError::Full => wit::OpenError::Full,
            _ => wit::OpenError::Unavailable,
        })
    }

    async fn owner(&mut self, id: wit::SessionId) -> Result<wit::Ownership, ()> {
        let Some(tenant) = &self.tenant else {
            return Err(());
        };
        match self.state.sessions.owner(tenant, session_id(id)).wait().await {
            Ok(Owner::Mine) => Ok(wit::Ownership::Mine),
            Ok(Owner::Another) => Ok(wit::Ownership::Another),
            Ok(Owner::Unknown) => Ok(wit::Ownership::Unknown),
            Err(Unavailable) => Err(()),
        }
    }

    async fn admit_chat(&mut self) -> Result<wit::Admission, ()> {
        let Some(tenant) = &self.tenant else {
            return Err(());
        };
        match self.state.limiter.admit(tenant).wait().await {
            Ok(Admission::Unlimited) => Ok(wit::Admission::Unlimited),
            Ok(Admission::Granted(left)) => Ok(wit::Admission::Granted(quota(left))),
            Ok(Admission::Refused(left)) => Ok(wit::Admission::Refused(quota(left))),
            Err(Unavailable) => Err(()),
        }
    }
}

impl random::Host for Scope {
    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        random_u64().map_err(wasmtime::Error::new)
    }
}

fn row(tenant: &Tenant) -> wit::Row {
    let mut texts = String::new();
    let mut end_of = |text: &str| {
        texts.push_str(text);
        // A row is a line of a file: far from 4 GiB.
        u32::try_from(texts.len()).unwrap_or(u32::MAX)
    };
    let ends = (
        end_of(&tenant.id),
        end_of(&tenant.name),
        end_of(&tenant.welcome),
        end_of(&tenant.model),
        end_of(&tenant.reply.tag),
    );
    wit::Row {
        texts,
        ends,
        reply_style: match tenant.reply.style {
            ReplyStyle::Reverse => wit::ReplyStyle::Reverse,
            ReplyStyle::Upper => wit::ReplyStyle::Upper,
            ReplyStyle::Ack => wit::ReplyStyle::Ack,
        },
    }
}

fn session_id(id: wit::SessionId) -> SessionId {
    SessionId::from_u64_pair(id.high, id.low)
}

fn quota(quota: Quota) -> wit::Quota {
    wit::Quota {
        limit: quota.limit,
        remaining: quota.remaining,
        reset: u64::try_from(quota.reset.as_nanos()).unwrap_or(u64::MAX),
    }
}
