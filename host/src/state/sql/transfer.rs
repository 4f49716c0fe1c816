//! From a tenants file into a database, once, and back.

use std::io::{self, Write};

use serde_json::json;
use sqlx::{AnyConnection, Connection as _, Executor as _};
use tenantry_core::registry::{Parsed, Problems, Registry, lines};
use tokio::time::timeout;

use super::{
    Access, Database, OpenError, Place, StoreSettings,
    change::write_down,
    files::Snapshot,
    runtime,
    schema::{self, Opened},
    tenants::{PAGE, list, signed},
};
use crate::state::{AuditEvent, Author, Clock, Stage, StoreError, TenantQuery};

/// Tenants that go into the database with one statement.
const CHUNK: usize = 1000;

/// Why tenants were not imported. The database is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The text has problems.
    #[error("the tenants file has problems")]
    Invalid(Problems),
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There are tenants already.
    #[error(
        "{place} has {count} tenants already; a file is imported once, and then tenants are \
         changed with `tenantry tenants`; --if-empty makes this no error"
    )]
    NotEmpty {
        /// The database.
        place: Place,
        /// How many.
        count: u64,
    },
    /// The database failed.
    #[error("{place}: nothing was imported")]
    Failed {
        /// The database.
        place: Place,
        /// What happened.
        #[source]
        source: StoreError,
    },
}

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// How many tenants.
    pub tenants: usize,
    /// What is odd about the text.
    pub parsed: Parsed,
}

/// Puts the tenants of a file, whose text this is, into a database that has none.
///
/// # Errors
/// The text has problems, or the database has tenants already, or cannot be used.
pub fn import(
    settings: &StoreSettings,
    text: &[u8],
    by: Author,
    clock: &dyn Clock,
) -> Result<Imported, ImportError> {
    let parsed = Registry::parse(text).map_err(ImportError::Invalid)?;
    let rows = rows(text, &parsed);
    let runtime = runtime().map_err(OpenError::Runtime)?;
    let place = || settings.place.clone();
    let now_ms = clock.wall().as_millis();
    runtime.block_on(async {
        let Opened { database, first } =
            schema::open(settings, Access::Create, runtime.handle()).await?;
        let imported = import_rows(&database, &rows, by, now_ms).await;
        close(&database, first).await;
        let before = imported.map_err(|source| ImportError::Failed {
            place: place(),
            source,
        })?;
        match before {
            0 => Ok(Imported {
                tenants: rows.len(),
                parsed,
            }),
            count => Err(ImportError::NotEmpty {
                place: place(),
                count,
            }),
        }
    })
}

/// Closes a database that a command has used. What it has done is done.
async fn close(database: &Database, first: AnyConnection) {
    let all = async { tokio::join!(database.connections.close(), first.close()) };
    let _ = timeout(database.timeout, all).await;
}

/// Brings a database to this program's schema.
///
/// # Errors
/// It cannot be used, or there is no such file.
pub fn migrate(settings: &StoreSettings) -> Result<(), OpenError> {
    let runtime = runtime().map_err(OpenError::Runtime)?;
    runtime.block_on(async {
        let Opened { database, first } =
            schema::open(settings, Access::Change, runtime.handle()).await?;
        close(&database, first).await;
        Ok(())
    })
}

/// The id of each tenant, and its line as the file has it.
fn rows(text: &[u8], parsed: &Parsed) -> Vec<(String, String)> {
    let lines: Vec<_> = lines(text).collect();
    let rows = parsed.registry.rows().iter().zip(&parsed.lines);
    let rows = rows.map(|(row, line)| {
        let line = lines.get(line.saturating_sub(1)).copied();
        let line = line.and_then(|line| str::from_utf8(line).ok());
        let line = line.map(|line| line.trim_matches(is_blank));
        let id = row.tenant().id.to_owned();
        (id, line.map_or_else(|| row.to_json(), str::to_owned))
    });
    rows.collect()
}

/// What may stand around a row, a byte order mark included.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}' || c.is_control()
}

/// Returns how many tenants there were before; where there were any, nothing is imported.
async fn import_rows(
    database: &Database,
    rows: &[(String, String)],
    by: Author,
    now_ms: u64,
) -> Result<u64, StoreError> {
    // Meanwhile nobody else adds tenants.
    let lock = database
        .dialect
        .pick("SELECT 1", "LOCK TABLE tenants IN SHARE ROW EXCLUSIVE MODE");
    let statement = database.dialect.pick(
        "INSERT INTO tenants (id, line, stage, version, created_ms, changed_ms) \
         SELECT value ->> 0, value ->> 1, 'active', 1, $2, $2 FROM json_each($1) ORDER BY key",
        "INSERT INTO tenants (id, line, stage, version, created_ms, changed_ms) \
         SELECT value ->> 0, value ->> 1, 'active', 1, $2, $2 \
         FROM json_array_elements($1::json) WITH ORDINALITY AS t (value, place) ORDER BY place",
    );
    let event = AuditEvent {
        at_ms: now_ms,
        by,
        action: "import".to_owned(),
        tenant_id: String::new(),
        before: None,
        after: Some(json!({ "tenants": rows.len() }).to_string()),
    };
    let event = &event;
    let imported = database.transaction(|mut connection| async move {
        sqlx::query(lock).execute(&mut *connection).await?;
        let before: i64 = sqlx::query_scalar("SELECT count(*) FROM tenants")
            .fetch_one(&mut *connection)
            .await?;
        if before > 0 {
            return Ok((before.unsigned_abs(), connection));
        }
        for chunk in rows.chunks(CHUNK) {
            sqlx::query(statement)
                .bind(json!(chunk).to_string())
                .bind(signed(now_ms))
                .execute(&mut *connection)
                .await?;
        }
        write_down(&mut connection, event, 0).await?;
        Ok((0, connection))
    });
    Ok(imported.await?)
}

/// Why tenants were not exported, or not all of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file cannot be written.
    #[error("the tenants cannot be written")]
    Write(#[source] io::Error),
}

/// How many tenants were written, and how many were not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Written, and served.
    pub active: usize,
    /// Written; a file can't say that they are suspended.
    pub suspended: usize,
    /// Not written, or, where that was asked for, written.
    pub archived: usize,
}

/// Writes the tenants of a database as a tenants file: each row as it was imported or set, in
/// the order in which they are listed.
///
/// # Errors
/// The database cannot be used, or `out` not written to.
pub fn export(
    settings: &StoreSettings,
    with_archived: bool,
    out: &mut dyn Write,
) -> Result<Exported, ExportError> {
    let runtime = runtime().map_err(OpenError::Runtime)?;
    let place = &settings.place;
    let failed = |source| OpenError::failed(place, source);
    runtime.block_on(async {
        let (mut connection, snapshot) = schema::open_to_read(place).await?;
        // All pages are of one moment. They lock nothing, and may wait for a slow reader.
        let begin = place.dialect().pick(
            "BEGIN",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET LOCAL idle_in_transaction_session_timeout = 0",
        );
        connection.execute(begin).await.map_err(failed)?;
        let mut exported = Exported::default();
        let mut after = None;
        loop {
            let query = TenantQuery {
                stage: None,
                after,
                max: PAGE,
            };
            let records = list(&mut connection, query).await.map_err(failed)?;
            for (place, record) in &records {
                after = Some(*place);
                let is_written = match record.stage {
                    Stage::Active => {
                        exported.active += 1;
                        true
                    }
                    Stage::Suspended => {
                        exported.suspended += 1;
                        true
                    }
                    Stage::Archived => {
                        exported.archived += 1;
                        with_archived
                    }
                };
                if is_written {
                    out.write_all(record.row.as_bytes())
                        .and_then(|()| out.write_all(b"\n"))
                        .map_err(ExportError::Write)?;
                }
            }
            if records.len() < PAGE {
                break;
            }
        }
        if let (Some(before), Place::Sqlite(path)) = (snapshot, place)
            && Snapshot::of(path).ok() != Some(before)
        {
            let place = place.clone();
            return Err(OpenError::Changed { place }.into());
        }
        out.flush().map_err(ExportError::Write)?;
        // It has read what there was; the last connection to a file cleans up.
        let _ = timeout(settings.timeout, connection.close()).await;
        Ok(exported)
    })
}
