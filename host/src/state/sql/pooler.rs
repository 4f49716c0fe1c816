//! Whether a connection pooler shares server connections between transactions.
//!
//! Statements are prepared once for a connection, changes of other servers are listened for,
//! and migrations hold a lock: all three belong to a server connection. A pooler such as
//! PgBouncer in `pool_mode = transaction` takes that away between two statements, now and
//! then: so it is recognised at the start.

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _, Executor as _, Row as _};

/// Questions to each of two connections.
const ROUNDS: usize = 3;

/// Whether two connections that are open at the same time are served by one process of
/// PostgreSQL, or one of them by several. What another client does meanwhile can hide that,
/// but can't pretend it.
pub(super) async fn shares_connections(
    options: &AnyConnectOptions,
    first: &mut AnyConnection,
) -> Result<bool, sqlx::Error> {
    let mut second = options.connect().await?;
    let mut shares = false;
    let mut own = None;
    for _ in 0..ROUNDS {
        let one = server_process(first).await?;
        let other = server_process(&mut second).await?;
        shares |= one == other || own.replace(one).is_some_and(|before| before != one);
    }
    // It was asked; how it ends does not matter.
    let _ = second.close().await;
    Ok(shares)
}

async fn server_process(connection: &mut AnyConnection) -> Result<i32, sqlx::Error> {
    // A text and no query: it is not prepared.
    let row = connection.fetch_one("SELECT pg_backend_pid()").await?;
    row.try_get(0)
}
