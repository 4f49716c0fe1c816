//! Databases that cannot be used: each stops the start with a text that says what and where,
//! and changes nothing.

use std::{
    fs,
    process::{Command, Output},
    time::{Duration, Instant},
};

use super::contract::Open;
use crate::support::{
    database::{Database, Postgres, Sqlite, import},
    program::{run, tenantry},
};

/// What `tenantry serve` says before it stops, and what it exits with. Where waiting can't help,
/// it does not wait.
fn refused(state: &str) -> (Option<i32>, String) {
    let start = Instant::now();
    let said = said(&run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store-wait",
        "10m",
        "--state",
        state,
    ]));
    assert!(start.elapsed() < Duration::from_secs(60), "it waits");
    said
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert!(output.stdout.is_empty(), "it listens");
    (output.status.code(), text)
}

fn assert_says(state: &str, code: i32, parts: &[&str]) {
    let (exited, text) = refused(state);
    assert_eq!(exited, Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "{state}: no {part:?} in {text}");
    }
}

fn imported() -> Sqlite {
    let database = Sqlite::new();
    import(&database, "tenants.jsonl");
    database
}

#[test]
fn a_store_that_is_none_is_refused() {
    for (state, part) in [
        ("mysql://x", "it must be memory, sqlite:PATH"),
        ("sqlite:", "must be followed by the path"),
        ("postgres://host:port/db", "write it as postgres://"),
    ] {
        assert_says(state, 2, &["--state", part]);
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let state = "sqlite:/nowhere/at/all.db";
    assert_says(state, 1, &[state, "there is no such file"]);
    let output = run(&["import", "--state", state, "tenants.jsonl"]);
    let (code, text) = said(&output);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is its folder there"), "{text}");
}

#[test]
fn a_file_that_is_no_database_stays_as_it_is() {
    let database = Sqlite::new();
    let text = "a tenants file, perhaps\n".repeat(100);
    fs::write(database.path(), &text).expect("a file");
    assert_says(
        &database.state(),
        1,
        &["the file is damaged: file is not a database"],
    );
    assert_eq!(fs::read_to_string(database.path()).expect("a file"), text);
}

#[test]
fn a_damaged_database_is_noticed() {
    let database = imported();
    let mut bytes = fs::read(database.path()).expect("a file");
    // The second half of every page but the first.
    for page in bytes.chunks_mut(4096).skip(1) {
        page[2048..].fill(0x5a);
    }
    fs::write(database.path(), &bytes).expect("a file");
    let name = database.place().to_string();
    assert_says(
        &database.state(),
        1,
        &[&name, "damaged", "restore a backup"],
    );
    assert_eq!(fs::read(database.path()).expect("a file"), bytes);
}

#[test]
fn a_newer_schema_is_left_alone() {
    let database = imported();
    let statement = "INSERT INTO _sqlx_migrations VALUES (99, 'later', '', true, x'00', 0)";
    sql(&database, statement);
    let parts = [
        "its schema has version 99",
        "knows those up to 3",
        "use the newer program",
    ];
    assert_says(&database.state(), 1, &parts);
    let export = said(&run(&["export", "--state", &database.state()]));
    assert_eq!(export.0, Some(1));
    assert!(
        export.1.contains("its schema has version 99"),
        "{}",
        export.1
    );
}

/// What an earlier program left is brought to this one's schema, and nothing in it is lost.
#[test]
fn an_older_schema_is_brought_up_to_date() {
    let database = imported();
    sql(&database, "DROP INDEX usage_by_tenant");
    sql(&database, "ALTER TABLE usage DROP COLUMN refused_bytes_in");
    sql(&database, "DELETE FROM _sqlx_migrations WHERE version > 1");
    // Reading changes nothing, and says what to do.
    let export = said(&run(&["export", "--state", &database.state()]));
    assert_eq!(export.0, Some(1), "{}", export.1);
    assert!(export.1.contains("`tenantry migrate`"), "{}", export.1);

    let open = Open::new(&database);
    assert_eq!(open.directory().len(), 3);
    open.close();
    // It would fail if there were none.
    sql(&database, "DROP INDEX usage_by_tenant");
    sql(&database, "DELETE FROM _sqlx_migrations WHERE version = 2");
    for _ in 0..2 {
        let migrate = run(&["migrate", "--state", &database.state()]);
        assert!(migrate.status.success(), "{migrate:?}");
        let text = String::from_utf8_lossy(&migrate.stdout).into_owned();
        assert!(text.ends_with("the schema is up to date\n"), "{text}");
    }
    assert!(
        run(&["export", "--state", &database.state()])
            .status
            .success()
    );
    sql(&database, "DROP INDEX usage_by_tenant");
}

/// A file that was deleted, and whose log was left: SQLite would put that into the next database.
#[test]
fn the_log_of_a_database_that_is_gone_is_put_into_no_other() {
    let database = imported();
    let server = super::kills::serve(&database);
    crate::support::client::open_session(server.address, "acme");
    server.signal("KILL");
    drop(server);
    let mut log = database.path().into_os_string();
    log.push("-wal");
    let bytes = fs::read(&log).expect("a log is left by a kill");
    assert!(!bytes.is_empty());
    fs::remove_file(database.path()).expect("it is there");
    let state = database.state();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--state-create"];
    for args in [&["import", "tenants.jsonl"][..], &serve] {
        let (code, text) = said(&run(&[args, &["--state", &state]].concat()));
        assert_eq!(code, Some(1), "{text}");
        assert!(
            text.contains("the log of a database that is gone"),
            "{text}"
        );
    }
    assert!(!database.path().exists());
    assert_eq!(fs::read(&log).expect("a log"), bytes);
}

#[test]
fn what_is_not_there_is_not_exported() {
    let database = Sqlite::new();
    let (code, text) = said(&run(&["export", "--state", &database.state()]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("there is no such file"), "{text}");
    assert!(!database.path().exists());
}

#[test]
fn a_full_disk_stops_the_start() {
    // A file system of 64 KiB, which only root can make.
    let folder = crate::support::database::Folder::new();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tenantry-test"])
        .arg(&folder.0)
        .output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        eprintln!("skipped: only root can mount a small file system");
        return;
    }
    let state = format!("sqlite:{}", folder.join("small.db").display());
    let create = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--state-create",
        "--state",
        &state,
    ];
    let refused = std::panic::catch_unwind(|| said(&run(&create)));
    let unmounted = Command::new("umount").arg(&folder.0).status();
    assert!(unmounted.expect("umount runs").success());
    let (code, text) = refused.expect("it ran");
    assert_eq!(code, Some(1), "{text}");
    for part in [&*state, "is there room on the disk?", "full"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn a_disk_that_can_only_be_read_stops_the_start() {
    let database = imported();
    let folder = &database.0.0;
    let mount = |args: &[&str]| {
        let done = Command::new("mount").args(args).arg(folder).output();
        done.is_ok_and(|done| done.status.success())
    };
    let path = folder.display().to_string();
    if !mount(&["--bind", &path]) {
        eprintln!("skipped: only root can mount a folder to be read only");
        return;
    }
    let is_read_only = mount(&["-o", "remount,bind,ro"]);
    let refused = std::panic::catch_unwind(|| refused(&database.state()));
    let unmounted = Command::new("umount").arg(folder).status();
    assert!(unmounted.expect("umount runs").success());
    assert!(is_read_only);
    let (code, text) = refused.expect("it ran");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("Read-only file system"), "{text}");
}

#[test]
fn postgresql_that_is_not_there_or_refuses_is_named() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let port = server.port;
    let wrong = [
        (
            format!("postgres://tenantry:wrong@127.0.0.1:{port}/postgres"),
            "password authentication failed",
        ),
        (
            format!("postgres://nobody:secret@127.0.0.1:{port}/postgres"),
            "password authentication failed",
        ),
        (
            format!("postgres://tenantry:secret@127.0.0.1:{port}/none"),
            "database \"none\" does not exist",
        ),
    ];
    for (state, part) in &wrong {
        assert_says(
            state,
            1,
            &["PostgreSQL refuses", part, &format!("127.0.0.1:{port}")],
        );
        let text = refused(state).1;
        assert!(!text.contains("wrong@"), "{text}");
        // Each part is said once, and lines of PostgreSQL's source are not.
        assert_eq!(text.matches(part).count(), 1, "{text}");
        assert!(!text.contains("at line"), "{text}");
    }
    server.stop("fast");
    let (code, text) = said(&run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store-wait",
        "0s",
        "--state",
        &server.state(),
    ]));
    assert_eq!(code, Some(1));
    assert!(text.contains("PostgreSQL cannot be reached"), "{text}");
    assert_eq!(text.matches("Connection refused").count(), 1, "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn postgresql_with_a_newer_schema_is_left_alone() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let state = server.state();
    import(&server, "tenants.jsonl");
    server.sql("INSERT INTO _sqlx_migrations VALUES (99, 'later', now(), true, '\\x00', 0)");
    assert_says(&state, 1, &["its schema has version 99"]);
}

/// Runs a statement, in a process of its own.
pub(super) fn sql(database: &Sqlite, statement: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database.path());
    runtime.expect("a runtime").block_on(async {
        use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
        let mut connection = options.connect().await.expect("a database");
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        connection.execute(statement).await.expect("a statement");
        connection.close().await.expect("closed");
    });
}

#[test]
fn an_import_or_export_needs_a_database() {
    let output = tenantry(&["export", "--state", "memory"])
        .output()
        .expect("it runs");
    let (code, text) = said(&output);
    assert_eq!(code, Some(2));
    assert!(text.contains("it must be memory, sqlite:PATH"), "{text}");
}
