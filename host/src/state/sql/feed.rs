//! What other servers have changed: told by PostgreSQL at once, and asked for regularly in
//! case that it was not.

use std::{convert::Infallible, time::Duration};

use sqlx::{
    Row as _,
    postgres::{PgListener, PgPoolOptions},
};
use tenantry_core::session::TenantKey;
use tokio::sync::Notify;

use super::{
    Database,
    place::postgres_options,
    shared::Seen,
    tenants::{SqlTenants, signed, tenant_key, unsigned},
};
use crate::state::StoreError;

/// Where PostgreSQL says that there is something new.
const CHANNEL: &str = "tenantry_audit";

/// How often it is asked whether there is something new. A change is to be known everywhere
/// within a second.
const ASK_EVERY: Duration = Duration::from_millis(400);

/// Between attempts to listen.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// Events that are read at a time.
const PAGE: i64 = 1000;

/// Follows the audit of a database.
pub(super) struct Feed {
    database: Database,
    url: Box<str>,
    tenants: SqlTenants,
    seen: Seen,
    /// The number of the last event that was followed.
    last: u64,
}

/// An event, as far as servers have to follow it.
struct Event {
    seq: u64,
    action: String,
    tenant_id: String,
    tenant: TenantKey,
}

/// The number of the last event so far. To be asked before the tenants are read.
pub(super) async fn end(database: &Database) -> Result<u64, sqlx::Error> {
    let end = database.read(|mut connection| async move {
        let end = sqlx::query_scalar("SELECT seq FROM audit_end WHERE one = 1")
            .fetch_one(&mut *connection)
            .await?;
        Ok((end, connection))
    });
    Ok(unsigned(end.await?))
}

impl Feed {
    pub(super) fn new(
        database: Database,
        url: &str,
        tenants: SqlTenants,
        seen: Seen,
        last: u64,
    ) -> Self {
        Self {
            database,
            url: url.into(),
            tenants,
            seen,
            last,
        }
    }

    /// Follows for ever.
    pub(super) async fn run(mut self) {
        let news = Notify::new();
        let listening = listen(self.url.clone(), &news);
        tokio::join!(listening, self.follow_all(&news));
    }

    async fn follow_all(&mut self, news: &Notify) {
        let mut is_failing = false;
        loop {
            match self.catch_up().await {
                Ok(()) => {
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("changes of other servers are followed again");
                    }
                }
                Err(error) if is_failing => tracing::debug!(%error, "still not followed"),
                Err(error) => {
                    is_failing = true;
                    tracing::error!(%error, "changes of other servers cannot be followed");
                }
            }
            tokio::select! {
                () = news.notified() => {}
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), StoreError> {
        loop {
            let work = events(self.database.clone(), self.last);
            let events = self.database.run(work).await?;
            let count = events.len();
            for event in events {
                self.follow(&event).await?;
                self.last = event.seq;
            }
            if count < PAGE as usize {
                return Ok(());
            }
        }
    }

    async fn follow(&self, event: &Event) -> Result<(), StoreError> {
        match &*event.action {
            "import" => self.tenants.refresh_all().await,
            "revoke" => {
                if let Some(tenant) = self.tenants.directory().by_key(event.tenant) {
                    self.seen.forget(&tenant);
                }
                Ok(())
            }
            _ => {
                let tenant = self.tenants.directory().by_key(event.tenant);
                self.tenants.refresh(&event.tenant_id, event.tenant).await?;
                if event.action == "purge"
                    && let Some(tenant) = tenant
                {
                    self.seen.forget(&tenant);
                }
                Ok(())
            }
        }
    }
}

async fn events(database: Database, last: u64) -> Result<Vec<Event>, StoreError> {
    let rows = database.read(|mut connection| async move {
        let rows = sqlx::query(
            "SELECT seq, action, tenant_id, tenant FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .bind(signed(last))
        .bind(PAGE)
        .fetch_all(&mut *connection)
        .await?;
        Ok((rows, connection))
    });
    let rows = rows.await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        events.push(Event {
            seq: unsigned(row.try_get(0)?),
            action: row.try_get(1)?,
            tenant_id: row.try_get(2)?,
            tenant: tenant_key(row.try_get(3)?)?,
        });
    }
    Ok(events)
}

/// Listens for ever; where that fails, whoever asks regularly notices a little later.
async fn listen(url: Box<str>, news: &Notify) {
    loop {
        let failed = async {
            let options = postgres_options(&url)?;
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .connect_with(options);
            let mut listener = PgListener::connect_with(&pool.await?).await?;
            listener.listen(CHANNEL).await?;
            loop {
                listener.recv().await?;
                news.notify_one();
            }
        };
        let failed: Result<Infallible, sqlx::Error> = failed.await;
        let Err(error) = failed;
        tracing::debug!(%error, "PostgreSQL is not listened to for a moment");
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}
