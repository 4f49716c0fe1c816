//! Backups as docs/operations.md describes them, taken while a server runs.

use tenantry_conformance::Exchange;

use crate::support::{
    admin::{authorized, put},
    client::{ask, chat, get, open_session},
    database::{Database, Folder, Postgres, Sqlite, import},
    program::Program,
};

use super::kills::serve;

/// Does something to a server of which a backup must know, then something that it must not.
fn with_backup(database: &dyn Database, backup: impl FnOnce()) -> (String, String) {
    import(database, "tenants.jsonl");
    let server = serve(database);
    let before = open_session(server.address, "acme");
    let row = r#"{"id":"umbrella","name":"n","welcome":"w"}"#;
    let added = ask(server.admin_address(), &authorized(put("umbrella", row)));
    assert_eq!(added.status, 201);
    backup();
    let after = open_session(server.address, "acme");
    (before, after)
}

/// A server on what was restored knows what was there at the backup, and no more.
fn assert_restored(state: &str, (before, after): &(String, String)) {
    let server = Program::serve(&["--state", state, "--no-limits", "--engine", "native"]);
    let list = ask(server.address, &get("/")).text();
    assert!(
        list.contains(r#"["acme","globex","initech","umbrella"]"#),
        "{list}"
    );
    let status = |session: &str| ask(server.address, &chat("acme", session, "hi")).status;
    assert_eq!((status(before), status(after)), (200, 404));
    let open = Exchange::post("/session", r#"{"tenant_id":"umbrella"}"#);
    assert_eq!(ask(server.address, &open).status, 200);
}

#[test]
fn a_copy_of_sqlite_is_of_one_moment_and_complete() {
    let database = Sqlite::new();
    let folder = Folder::new();
    let copy = folder.join("copy.db");
    let into = format!("VACUUM INTO '{}'", copy.display());
    let sessions = with_backup(&database, || super::broken::sql(&database, &into));
    assert_restored(&format!("sqlite:{}", copy.display()), &sessions);
}

#[test]
fn a_dump_of_postgresql_restores_into_another_database() {
    let Some(database) = Postgres::start() else {
        return;
    };
    // A folder into which PostgreSQL's user may write.
    let dump = database
        .folder()
        .join("tenantry.dump")
        .display()
        .to_string();
    let sessions = with_backup(&database, || {
        let state = database.state();
        database.call("pg_dump", &["--format=custom", "--file", &dump, &state]);
    });
    database.sql("CREATE DATABASE restored");
    let restored = database.state().replace("/postgres", "/restored");
    let into = format!("--dbname={restored}");
    let args = [
        "--exit-on-error",
        "--single-transaction",
        "--no-owner",
        &into,
        &dump,
    ];
    database.call("pg_restore", &args);
    assert_restored(&restored, &sessions);
}
