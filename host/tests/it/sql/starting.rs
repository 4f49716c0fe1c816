//! The start: databases that are not there yet, that never answer, or that are not to be made.

use std::{
    fs,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    admin::{authorized, put},
    client::{ask, get, open_session},
    database::{Database, Folder, Postgres, Sqlite, import},
    early::Early,
    ports::free_port,
    program::run,
};

fn error_of(args: &[&str]) -> (Option<i32>, String) {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.stdout.is_empty(), "{args:?}");
    (output.status.code(), error)
}

#[test]
fn a_server_waits_for_its_database_and_is_alive_and_not_ready_meanwhile() {
    let Some(database) = Postgres::start() else {
        return;
    };
    import(&database, "tenants.jsonl");
    database.stop("fast");
    let mut server = Early::serve(&database.state(), &["--store-wait", "10m"]);
    server.wait_for_log("waiting for the database since 0 s, for 10m at most");
    assert_eq!(ask(server.admin, &get("/healthz")).status, 200);
    let (is_ready, obstacles) = server.readiness();
    assert!(!is_ready);
    let why = |name: &str| {
        let found = obstacles.iter().find(|(what, _)| what == name);
        found.map(|(_, why)| why.clone()).unwrap_or_default()
    };
    assert_eq!(why("server"), "starting");
    assert!(why("postgres").contains("waiting for it: Connection refused"));
    // It does not say that there are no tenants, and nobody else is told where the database is.
    let list = ask(server.admin, &authorized(get("/tenants")));
    assert_eq!(list.status, 503, "{}", list.text());
    assert!(!format!("{obstacles:?}").contains(&database.port.to_string()));
    assert_eq!(ask(server.admin, &get("/metrics")).status, 200);
    server.until("another line", |server| {
        (server.log().matches("waiting for the database").count() > 1).then_some(())
    });
    assert_eq!(server.address(), None);
    database.run();
    let address = server.wait_for_address();
    server.wait_until_ready();
    open_session(address, "acme");
    let log = server.log();
    assert!(log.contains("the database is there"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn a_database_that_is_made_while_a_server_waits_is_used() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let mut server = Early::serve(&database.state(), &["--store-wait", "10m"]);
    server.wait_for_log("it has no schema");
    import(&database, "tenants.jsonl");
    let address = server.wait_for_address();
    server.wait_until_ready();
    open_session(address, "acme");
}

#[test]
fn a_second_server_waits_until_the_file_is_free() {
    let database = Sqlite::new();
    import(&database, "tenants.jsonl");
    let mut first = Early::serve(&database.state(), &[]);
    let session = open_session(first.wait_for_address(), "acme");
    let mut second = Early::serve(&database.state(), &["--store-wait", "10m"]);
    second.wait_for_log("another server, or an import, uses this file");
    first.signal("TERM");
    assert!(first.wait().0.success());
    let address = second.wait_for_address();
    let chat = crate::support::client::chat("acme", &session, "hi");
    assert_eq!(ask(address, &chat).status, 200);
}

#[test]
fn a_port_that_takes_connections_and_never_answers_holds_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    let state = format!("postgres://me:hush@127.0.0.1:{port}/db");
    let commands = [
        vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store-wait",
            "0s",
            "--state",
            &state,
        ],
        vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store-wait",
            "3s",
            "--state",
            &state,
        ],
        vec!["import", "--state", &state, "tenants.jsonl"],
        vec!["export", "--state", &state],
        vec!["migrate", "--state", &state],
    ];
    let start = Instant::now();
    thread::scope(|scope| {
        for args in &commands {
            scope.spawn(|| {
                let (code, error) = error_of(args);
                assert_eq!(code, Some(1), "{error}");
                let place = format!("postgres://me@127.0.0.1:{port}/db: no answer within 10s");
                assert!(error.contains(&place), "{error}");
            });
        }
    });
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_wait_ends_at_once_when_the_server_is_to_stop() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    for port in [port, free_port()] {
        let state = format!("postgres://me:hush@127.0.0.1:{port}/db");
        let more = ["--store-wait", "10m", "--drain-delay", "1m"];
        let mut server = Early::serve(&state, &more);
        server.wait_for_log("waiting for the database");
        let start = Instant::now();
        server.signal("TERM");
        let (status, log) = server.wait();
        assert!(status.success(), "{log}");
        assert!(start.elapsed() < Duration::from_secs(5), "{log}");
        assert!(
            log.contains("stopped before the database was there"),
            "{log}"
        );
    }
}

#[test]
fn a_wait_that_is_over_says_what_was_waited_for() {
    let state = format!("postgres://me:hush@127.0.0.1:{}/db", free_port());
    let start = Instant::now();
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store-wait",
        "1500ms",
        "--state",
        &state,
    ];
    let (code, error) = error_of(&args);
    assert_eq!(code, Some(1), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(1500));
    assert!(
        error.contains("waiting for the database since 0 s"),
        "{error}"
    );
    assert!(error.contains("error: postgres://me@127.0.0.1"), "{error}");
    assert!(error.contains("PostgreSQL cannot be reached"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_not_made() {
    let folder = Folder::new();
    let state = format!("sqlite:{}", folder.join("typo.db").display());
    for args in [
        &["serve", "--listen", "127.0.0.1:0", "--state", &state][..],
        &["export", "--state", &state],
        &["migrate", "--state", &state],
    ] {
        let (code, error) = error_of(args);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("there is no such file"), "{error}");
        assert!(error.contains("`tenantry import`"), "{error}");
    }
    assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 0);
    // A file without a schema is the same mistake.
    fs::write(folder.join("typo.db"), "").expect("a file");
    let (code, error) = error_of(&["serve", "--listen", "127.0.0.1:0", "--state", &state]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("the database is empty"), "{error}");
    assert!(error.contains("--state-create"), "{error}");
}

#[test]
fn tables_are_not_made_where_nobody_has_asked_for_them() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let state = database.state();
    for args in [
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store-wait",
            "0",
            "--state",
            &state,
        ][..],
        &["export", "--state", &state],
    ] {
        let (code, error) = error_of(args);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("the database is empty"), "{error}");
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(database.query(tables), "0\n");
}

#[test]
fn a_database_without_tenants_is_not_ready_until_one_is_added() {
    let mut databases: Vec<Box<dyn Database>> = vec![Box::new(Sqlite::new())];
    databases.extend(Postgres::start().map(|postgres| Box::new(postgres) as _));
    for database in databases {
        let mut server = Early::serve(&database.state(), &["--state-create"]);
        let address = server.wait_for_address();
        // Its threads begin a moment later.
        let why = server.until("one obstacle", |server| {
            let (is_ready, obstacles) = server.readiness();
            assert!(!is_ready);
            let is_one = obstacles.len() == 1 && obstacles[0].0 == "tenants";
            is_one.then(|| obstacles[0].1.clone())
        });
        assert!(why.contains("`tenantry tenants add`"), "{why}");
        server.wait_for_log("the database has no tenants");
        let row = r#"{"id":"acme","name":"n","welcome":"w"}"#;
        let added = ask(server.admin, &authorized(put("acme", row)));
        assert_eq!(added.status, 201, "{}", added.text());
        server.wait_until_ready();
        open_session(address, "acme");
    }
}
