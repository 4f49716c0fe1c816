//! What the errors of databases say: whose fault it was.

use std::borrow::Cow;

use super::open_error;
use crate::state::StoreError;

/// Whether the connection, or what is at its other end, cannot be used any more; another
/// connection may do better.
pub(super) fn is_connections(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(_) => match postgres_code(error).as_deref() {
            // A server that is read only, as a standby is; one that ends sessions, stops, has
            // crashed, or starts; and any other fault of connections.
            Some("25006" | "25P03" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05") => true,
            Some(code) => code.starts_with("08"),
            None => false,
        },
        _ => false,
    }
}

/// Whether transactions were in each other's way, and this one was given up.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    postgres_code(error).is_some_and(|code| code.starts_with("40"))
}

/// Whether the database gave no answer to what it was asked.
fn is_silent(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => postgres_code(error).is_some_and(|code| {
            // It has no connection to spare, or it stops, or it starts.
            code == "53300" || code.starts_with("08") || code.starts_with("57P")
        }),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::RowNotFound
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_) => false,
        _ => true,
    }
}

/// The five characters with which PostgreSQL says what is wrong; SQLite has numbers.
fn postgres_code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    let code = error.as_database_error()?.code()?;
    (code.len() == 5).then_some(code)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_silent(&error) {
            Self::Unavailable(match error {
                // The pool does not say which.
                sqlx::Error::PoolTimedOut => {
                    "no connection could be made, or none was free, in time".to_owned()
                }
                error => open_error::text(&error),
            })
        } else {
            Self::Failed(open_error::text(&error))
        }
    }
}
