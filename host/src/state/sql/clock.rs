//! The time of day of a database that several servers share: theirs may differ, and sessions,
//! audit and usage of all of them stand beside each other.

use std::{pin::Pin, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tenantry_core::time::Timestamp;

use super::{
    Database, Dialect,
    ending::part_bound,
    tenants::{signed, unsigned},
    writer::from_millis,
};
use crate::state::{Clock, StoreError, Timeline};

/// How often the database is asked for its time.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// An answer that took longer says too little about when it was given.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// A clock whose time of day is the database's. Between two answers, and for as long as the
/// database is away, it goes on by itself: what the server's own clock shows does not matter.
struct DatabaseClock {
    local: Arc<dyn Clock>,
    /// The last answer: the moment, and the database's time.
    answer: Mutex<(Timestamp, Timestamp)>,
    timeline: Timeline,
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        self.local.now()
    }

    fn time_of_day(&self) -> Timestamp {
        let (moment, wall) = *self.answer.lock();
        wall.after(self.local.now().since(moment))
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }
}

impl DatabaseClock {
    /// Learns what the database said, which was asked at the moment `asked`.
    fn learn(&self, asked: Timestamp, wall: Timestamp) {
        let delay = self.local.now().since(asked);
        if delay <= MAX_DELAY {
            *self.answer.lock() = (asked.after(delay / 2), wall);
            self.observed();
        }
    }
}

/// Follows the database's time for ever.
type Following = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The clock for a database that is used by this one, and what keeps it right.
pub(super) async fn of(
    database: &Database,
    local: Arc<dyn Clock>,
) -> Result<(Arc<dyn Clock>, Following), sqlx::Error> {
    if database.dialect == Dialect::Sqlite || !local.is_systems() {
        return Ok((local, Box::pin(std::future::pending())));
    }
    let asked = local.now();
    let wall = ask(database).await?;
    let clock = Arc::new(DatabaseClock {
        answer: Mutex::new((asked.after(local.now().since(asked) / 2), wall)),
        local,
        timeline: Timeline::default(),
    });
    clock.observed();
    let own = clock.local.wall();
    let difference = own.since(wall).max(wall.since(own));
    if difference >= MAX_DIFFERENCE {
        let difference = humantime::format_duration(Duration::from_secs(difference.as_secs()));
        tracing::warn!(
            "this machine's clock and PostgreSQL's differ by {difference}: times are \
             PostgreSQL's; set the one that is wrong"
        );
    }
    let (following, database) = (Arc::clone(&clock), database.clone());
    let follow = async move {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let asked = following.now();
            let (answer, database) = (database.clone(), &database);
            let answer = async move { Ok::<_, StoreError>(ask(&answer).await?) };
            // Without an answer it goes on by itself; who needs the database says so.
            if let Ok(wall) = database.run(answer).await {
                following.learn(asked, wall);
            }
        }
    };
    Ok((clock, Box::pin(follow)))
}

/// Clocks that differ by this are worth a word.
const MAX_DIFFERENCE: Duration = Duration::from_secs(5);

async fn ask(database: &Database) -> Result<Timestamp, sqlx::Error> {
    let millis = database.read(|mut connection| async move {
        let millis: i64 =
            sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                .fetch_one(&mut *connection)
                .await?;
        Ok((millis, connection))
    });
    Ok(from_millis(unsigned(millis.await?)))
}

/// Has the sessions of a part of the table that were used later than `limit`, which is in the
/// future, be used now. Whoever wrote that had a clock that was ahead: they would outlive it
/// by as much.
pub(super) async fn correct(
    database: Database,
    part: u32,
    limit: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let statement = database.dialect.pick(
        "UPDATE sessions SET used_ms = $3 WHERE id >= $1 AND id < $2 AND used_ms > $4",
        "UPDATE sessions SET used_ms = $3 WHERE id IN (SELECT id FROM sessions \
         WHERE id >= $1 AND id < $2 AND used_ms > $4 ORDER BY id FOR UPDATE SKIP LOCKED)",
    );
    let corrected = database.transaction(|mut connection| async move {
        let corrected = sqlx::query(statement)
            .bind(part_bound(part))
            .bind(part_bound(part + 1))
            .bind(signed(now.as_millis()))
            .bind(signed(limit.as_millis()))
            .execute(&mut *connection)
            .await?
            .rows_affected();
        Ok((corrected, connection))
    });
    let corrected = corrected.await?;
    if corrected > 0 {
        tracing::warn!(
            sessions = corrected,
            "sessions were last used in the future: that counts as now"
        );
    }
    Ok(())
}
