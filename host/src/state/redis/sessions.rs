//! A cache of sessions in Redis, for a store that is slower to ask.
//!
//! It may lose any of them at any time, and be out of reach: it is asked first, and the store
//! knows. An id is a secret, and so are the keys.

use std::{sync::Arc, time::Duration};

use redis::Pipeline;
use tenantry_core::{
    session::{SessionId, TenantKey},
    tenancy::Unavailable,
    time::Timestamp,
};
use tokio::sync::mpsc;

use super::limiter::{Counter, Job};

/// In front of a session's id.
const KEY: &str = "tenantry:session:";

/// What is known of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedSession {
    /// Whose it is.
    pub tenant: TenantKey,
    /// When it was last used.
    pub used: Timestamp,
}

/// Sessions in Redis, each until its time to live is over.
pub struct SessionCache {
    counter: Arc<Counter>,
    /// Keeps the thread of the connection alive.
    _jobs: mpsc::UnboundedSender<Job>,
}

impl SessionCache {
    pub(super) fn new(counter: Arc<Counter>, jobs: mpsc::UnboundedSender<Job>) -> Self {
        Self {
            counter,
            _jobs: jobs,
        }
    }

    /// What is known of these sessions, in their order.
    ///
    /// # Errors
    /// Redis is lost.
    pub async fn get(&self, ids: &[SessionId]) -> Result<Vec<Option<CachedSession>>, Unavailable> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        for id in ids {
            command.arg(key(*id));
        }
        let link = self.counter.link();
        let values = link.ask(link.timeout(), async |connection| {
            let values: Vec<Option<String>> = command.query_async(connection).await?;
            Ok(values)
        });
        let values = values.await.map_err(|_| Unavailable)?;
        let sessions = values.iter().map(|value| parse(value.as_deref()?));
        Ok(sessions.collect())
    }

    /// Remembers sessions, each for this time. One of no time is forgotten.
    ///
    /// # Errors
    /// Redis is lost, and may know some of them or none.
    pub async fn put(
        &self,
        sessions: &[(SessionId, CachedSession, Duration)],
    ) -> Result<(), Unavailable> {
        let mut pipeline = Pipeline::with_capacity(sessions.len());
        for (id, session, time) in sessions {
            let CachedSession { tenant, used } = session;
            let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            // More is more than Redis can add to its clock.
            let ms = ms.min(u64::MAX >> 16);
            if ms == 0 {
                pipeline.cmd("DEL").arg(key(*id)).ignore();
                continue;
            }
            let value = format!("{tenant} {}", used.as_nanos());
            let command = pipeline.cmd("SET").arg(key(*id)).arg(value);
            command.arg("PX").arg(ms).ignore();
        }
        self.run(&pipeline).await
    }

    /// Forgets sessions.
    ///
    /// # Errors
    /// Redis is lost, and may know some of them still, until their time is over.
    pub async fn remove(&self, ids: &[SessionId]) -> Result<(), Unavailable> {
        let mut pipeline = Pipeline::with_capacity(1);
        if !ids.is_empty() {
            let command = pipeline.cmd("DEL");
            for id in ids {
                command.arg(key(*id));
            }
        }
        self.run(&pipeline).await
    }

    async fn run(&self, pipeline: &Pipeline) -> Result<(), Unavailable> {
        if pipeline.is_empty() {
            return Ok(());
        }
        let link = self.counter.link();
        let done = link.ask(link.timeout(), async |connection| {
            pipeline.exec_async(connection).await
        });
        done.await.map_err(|_| Unavailable)
    }
}

fn key(id: SessionId) -> String {
    format!("{KEY}{id}")
}

/// Reads a value; none where somebody else has written it.
fn parse(value: &str) -> Option<CachedSession> {
    let (tenant, used) = value.split_once(' ')?;
    Some(CachedSession {
        tenant: tenant.parse().ok()?,
        used: Timestamp::from_nanos(used.parse().ok()?),
    })
}
