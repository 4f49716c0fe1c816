//! PostgreSQL that goes away while servers run, and comes back.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use tenantry_conformance::Exchange;

use crate::support::{
    client::{ask, chat, get, open_session},
    database::{Database, Postgres, import},
    program::Program,
    proxy::Proxy,
};

/// A server's answers come within the time of a store, and some.
const SOON: Duration = Duration::from_secs(8);

fn serve(state: &str) -> Program {
    Program::serve(&["--state", state, "--store-timeout", "500ms", "--no-limits"])
}

fn open() -> Exchange {
    Exchange::post("/session", r#"{"tenant_id":"acme"}"#)
}

/// Asks until there is this status.
fn wait_for(server: &Program, exchange: &Exchange, status: u16) {
    let start = Instant::now();
    while ask(server.address, exchange).status != status {
        assert!(
            start.elapsed() < 3 * SOON,
            "no {status} for {}",
            exchange.target
        );
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_is_known_is_served_without_the_database_and_the_rest_when_it_is_back() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let state = database.state();
    import(&database, "tenants.jsonl");
    let (first, second) = (serve(&state), serve(&state));
    let here = open_session(first.address, "acme");
    let there = open_session(second.address, "acme");
    for mode in ["fast", "immediate"] {
        database.stop(mode);
        // What this server has seen needs nobody.
        assert_eq!(ask(first.address, &get("/")).status, 200);
        assert_eq!(ask(first.address, &chat("acme", &here, "hi")).status, 200);
        // What it would have to ask for is a 503, soon, that says when to come back.
        for exchange in [open(), chat("acme", &there, "hi")] {
            let start = Instant::now();
            let reply = ask(first.address, &exchange);
            assert_eq!(reply.status, 503, "{}", reply.text());
            assert_eq!(reply.header("retry-after"), Some("1"));
            assert!(start.elapsed() < SOON);
        }
        database.run();
        wait_for(&first, &open(), 200);
        wait_for(&second, &open(), 200);
    }
    // And once it is back, sessions of another server are found.
    wait_for(&first, &chat("acme", &there, "hi"), 200);
    assert_eq!(ask(second.address, &chat("acme", &here, "hi")).status, 200);
    assert_eq!(
        ask(second.address, &chat("globex", &here, "hi")).status,
        403
    );
}

#[test]
fn a_server_that_is_cut_off_from_the_database_loses_nothing_and_finds_back() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let state = database.state();
    import(&database, "tenants.jsonl");
    let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], database.port)));
    let cut_off = serve(&database.url_by(proxy.address.port()));
    let other = serve(&state);
    let mut sessions = vec![open_session(cut_off.address, "acme")];
    for stalls in [false, true] {
        if stalls {
            proxy.stall();
        } else {
            proxy.cut();
        }
        let there = open_session(other.address, "acme");
        // Soon after the first failures nobody waits any more.
        for _ in 0..6 {
            for exchange in [open(), chat("acme", &there, "hi")] {
                let start = Instant::now();
                assert_eq!(ask(cut_off.address, &exchange).status, 503);
                assert!(start.elapsed() < SOON, "{stalls}");
            }
        }
        for session in &sessions {
            assert_eq!(
                ask(cut_off.address, &chat("acme", session, "hi")).status,
                200
            );
        }
        proxy.heal();
        wait_for(&cut_off, &chat("acme", &there, "hi"), 200);
        wait_for(&cut_off, &open(), 200);
        sessions.push(there);
        sessions.push(open_session(cut_off.address, "acme"));
    }
    // Whatever was answered, by whom and when, is known to both.
    for session in &sessions {
        for server in [&cut_off, &other] {
            assert_eq!(
                ask(server.address, &chat("acme", session, "hi")).status,
                200
            );
        }
    }
}
