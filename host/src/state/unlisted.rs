//! Tenants that GET / keeps to itself.

use std::sync::Arc;

use bytes::Bytes;
use tenantry_core::{contract::tenant_list, tenancy::Unavailable};

use super::{Answer, Entry, State, TenantDirectory};

/// A directory that finds tenants and lists none.
struct Unlisted {
    tenants: Box<dyn TenantDirectory>,
    list: Bytes,
}

impl State {
    /// The same, but that GET / lists no tenant. Whoever runs the service sees them still.
    #[must_use]
    pub fn unlisted(self) -> Self {
        let list = Bytes::from(tenant_list([]));
        let tenants = self.tenants;
        Self {
            tenants: Box::new(Unlisted { tenants, list }),
            ..self
        }
    }
}

impl TenantDirectory for Unlisted {
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        self.tenants.find(id)
    }

    fn look_up<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        self.tenants.look_up(id)
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        Answer::Now(Ok(self.list.clone()))
    }

    fn stages(&self) -> Option<[u64; 3]> {
        self.tenants.stages()
    }
}
