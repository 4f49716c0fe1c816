//! The tenants of one file, which stay as they were read.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use tenantry_core::{
    contract::tenant_list, registry::Registry, session::TenantKey, tenancy::Unavailable,
};

use super::{Answer, Entry, TenantDirectory};

/// The tenants of a registry.
#[derive(Debug)]
pub struct StaticDirectory {
    by_id: HashMap<Box<str>, Arc<Entry>>,
    tenant_list: Bytes,
}

impl StaticDirectory {
    /// The tenants of `registry`, numbered from 0 in its order.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        let ids = registry.rows().iter().map(|row| row.tenant().id);
        let tenant_list = tenant_list(ids).into();
        let rows = (0..TenantKey::MAX).zip(registry.into_rows());
        let by_id = rows.map(|(key, row)| {
            let id = row.tenant().id.into();
            let entry = Entry {
                key,
                packed: row.packed,
                limits: row.limits,
            };
            (id, Arc::new(entry))
        });
        Self {
            by_id: by_id.collect(),
            tenant_list,
        }
    }
}

impl TenantDirectory for StaticDirectory {
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        Answer::Now(Ok(self.by_id.get(id).cloned()))
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        Answer::Now(Ok(self.tenant_list.clone()))
    }
}
