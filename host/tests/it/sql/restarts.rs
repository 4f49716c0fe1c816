//! PostgreSQL that goes away while servers run, and comes back.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tenantry_conformance::Exchange;

use crate::support::{
    admin::{authorized, put},
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
        // The log says of each which store it was, and why.
        let line = |line: &&str| line.contains("status=503") && line.contains("tenantry::access");
        let log = first.log();
        let refused: Vec<_> = log.lines().filter(line).collect();
        assert!(refused.len() >= 2, "{log}");
        for line in refused {
            assert!(line.contains("store=\"sessions\""), "{line}");
            assert!(line.contains("why=\"the store is out of reach"), "{line}");
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

/// Changes a tenant by the admin API; returns the status.
fn change(server: &Program, welcome: &str) -> u16 {
    let row = format!(r#"{{"id":"globex","name":"n","welcome":"{welcome}"}}"#);
    ask(server.admin_address(), &authorized(put("globex", &row))).status
}

/// Connections of a server are cut while nobody asks, in every way that there is.
#[test]
fn the_first_write_after_connections_were_cut_is_done() {
    let Some(database) = Postgres::start() else {
        return;
    };
    import(&database, "tenants.jsonl");
    let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], database.port)));
    // A quarter of it is the time in which an idle connection has to answer.
    let patient = ["--store-timeout", "12s"];
    let server = super::kills::serve_with(&database.url_by(proxy.address.port()), &patient);
    let cuts: [(&str, &dyn Fn()); 4] = [
        ("a balancer closes them", &|| {
            proxy.cut();
            proxy.heal();
        }),
        ("a firewall forgets them", &|| proxy.forget()),
        ("PostgreSQL ends them", &|| {
            database.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE application_name LIKE 'tenantry%'",
            );
        }),
        ("PostgreSQL is restarted", &|| {
            database.stop("fast");
            database.run();
        }),
    ];
    for (n, (what, cut)) in cuts.into_iter().enumerate() {
        // Several connections of each kind are open.
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(ask(server.address, &open()).status, 200));
            }
        });
        assert_eq!(change(&server, &format!("before {n}")), 200);
        // From a second of no use on, connections are tried before they are used.
        thread::sleep(Duration::from_millis(1100));
        cut();
        assert_eq!(ask(server.address, &open()).status, 200, "{what}");
        assert_eq!(change(&server, &format!("after {n}")), 200, "{what}");
    }
}

/// A balancer leads to a standby for a while, and then to the primary again.
#[test]
fn a_connection_that_can_only_read_is_not_used_again() {
    let (Some(primary), Some(standby)) = (Postgres::start(), Postgres::start()) else {
        return;
    };
    for database in [&primary, &standby] {
        import(database, "tenants.jsonl");
    }
    let address = |database: &Postgres| SocketAddr::from(([127, 0, 0, 1], database.port));
    let proxy = Proxy::to(address(&standby));
    let server = super::kills::serve_state(&standby.url_by(proxy.address.port()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(ask(server.address, &open()).status, 200));
        }
    });
    assert_eq!(change(&server, "while it can write"), 200);
    standby.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    standby.sql("SELECT pg_reload_conf()");
    wait_for(&server, &open(), 503);
    assert_eq!(change(&server, "to a standby"), 503);
    proxy.lead_to(address(&primary));
    // The open connections still lead to the standby.
    assert_eq!(ask(server.address, &open()).status, 200);
    assert_eq!(change(&server, "to the primary"), 200);
}

/// What was used until PostgreSQL went away is written where it is back before the server
/// ends, and otherwise counted as lost.
#[test]
fn usage_before_a_stop_without_the_database_is_written_or_said_to_be_lost() {
    for is_back in [true, false] {
        let Some(database) = Postgres::start() else {
            return;
        };
        import(&database, "tenants.jsonl");
        let server = super::kills::serve(&database);
        let session = open_session(server.address, "acme");
        database.stop("immediate");
        for _ in 0..10 {
            let reply = ask(server.address, &chat("acme", &session, "hi"));
            assert_eq!(reply.status, 200);
        }
        // A batch has failed by now.
        server.wait_for_line("usage can't be written");
        server.signal("TERM");
        if is_back {
            database.run();
        }
        let (_, _, log) = server.wait();
        assert_eq!(log.contains("usage was lost"), !is_back, "{log}");
        if is_back {
            let server = super::kills::serve(&database);
            let usage = ask(server.admin_address(), &authorized(get("/usage?step=day")));
            let usage: Value = serde_json::from_slice(&usage.body).expect("JSON");
            let chats = usage["usage"].as_array().expect("rows").iter();
            let chats: u64 = chats.filter_map(|row| row["chats"].as_u64()).sum();
            assert_eq!(chats, 10);
        }
    }
}
