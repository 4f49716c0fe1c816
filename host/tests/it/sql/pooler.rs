//! PgBouncer between servers and PostgreSQL.

use tenantry_conformance::Exchange;

use crate::support::{
    client::{ask, chat, open_session},
    database::{Database as _, Postgres, import},
    front::Front,
    program::{Program, run},
};

const IGNORE: &str = "ignore_startup_parameters = extra_float_digits";

/// A database with tenants, and PgBouncer before it.
fn pooled(mode: &str, more: &str) -> Option<(Postgres, Front)> {
    let database = Postgres::start()?;
    let pooler = Front::pooler(&database, mode, more)?;
    import(&database, "tenants.jsonl");
    Some((database, pooler))
}

#[test]
fn a_pooler_of_sessions_is_used_as_postgresql_is() {
    let Some((database, pooler)) = pooled("session", IGNORE) else {
        return;
    };
    let state = database.url_by(pooler.port);
    let server = Program::serve(&["--state", &state, "--engine", "native"]);
    let other = Program::serve(&["--state", &database.state(), "--engine", "native"]);
    let session = open_session(server.address, "acme");
    assert_eq!(
        ask(other.address, &chat("acme", &session, "hi")).status,
        200
    );
    let there = open_session(other.address, "acme");
    assert_eq!(ask(server.address, &chat("acme", &there, "hi")).status, 200);
    let open = Exchange::post("/session", r#"{"tenant_id":"globex"}"#);
    for _ in 0..50 {
        assert_eq!(ask(server.address, &open).status, 200);
    }
    assert!(run(&["export", "--state", &state]).status.success());
    assert!(run(&["migrate", "--state", &state]).status.success());
}

#[test]
fn a_pooler_that_shares_connections_is_refused() {
    for (mode, more) in [
        ("transaction", IGNORE.to_owned()),
        ("statement", IGNORE.to_owned()),
        (
            "transaction",
            format!("{IGNORE}\nserver_round_robin = 1\nmin_pool_size = 5"),
        ),
    ] {
        let Some((database, pooler)) = pooled(mode, &more) else {
            return;
        };
        let state = database.url_by(pooler.port);
        for args in [
            &["serve", "--listen", "127.0.0.1:0", "--state", &state][..],
            &["export", "--state", &state],
            &["migrate", "--state", &state],
            &["import", "--if-empty", "--state", &state, "tenants.jsonl"],
        ] {
            let output = run(args);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{mode}: {error}");
            assert!(error.contains("use pool_mode = session"), "{mode}: {error}");
        }
    }
}

#[test]
fn a_pooler_that_knows_fewer_parameters_is_told_apart() {
    let Some((database, pooler)) = pooled("session", "") else {
        return;
    };
    let output = run(&["export", "--state", &database.url_by(pooler.port)]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("set {IGNORE}")), "{error}");
}
