//! A server that stands still in the middle of a change, and the others.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use tenantry_conformance::Exchange;

use super::Ports;
use crate::support::{
    client::{Connection, ask},
    database::{Database, Postgres, import},
    proxy::Proxy,
};

/// How often a server stands still: about one time in four with a row locked.
const STALLS: usize = 16;

/// For others to go on: PostgreSQL gives up on the one that stands still after two seconds.
const TO_GO_ON: Duration = Duration::from_secs(8);

/// Opens sessions all the time, answered or not.
fn keep_opening(address: SocketAddr, open: &Exchange, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        let mut connection = Connection::open(address);
        while !is_over.load(Ordering::SeqCst) && connection.exchange(open).is_ok() {}
    }
}

#[test]
fn a_server_that_stands_still_in_a_change_does_not_hold_up_others() {
    let Some(database) = Postgres::start() else {
        return;
    };
    import(&database, "tenants.jsonl");
    let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], database.port)));
    let serve = |state: &str| Ports::free().serve(state, &["--store-timeout", "1s"]);
    let still = serve(&database.url_by(proxy.address.port()));
    let other = serve(&database.state());
    let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| keep_opening(still.address, &open, &is_over));
        }
        let mut went_on = Vec::new();
        for _ in 0..STALLS {
            if went_on.last().is_some_and(|time| *time >= TO_GO_ON) {
                break;
            }
            thread::sleep(Duration::from_millis(300));
            proxy.stall();
            // What was under way is stuck now, and what the other one asks comes behind it.
            thread::sleep(Duration::from_millis(100));
            let start = Instant::now();
            while ask(other.address, &open).status != 200 && start.elapsed() < TO_GO_ON {}
            went_on.push(start.elapsed());
            proxy.heal();
            let start = Instant::now();
            while ask(still.address, &open).status != 200 && start.elapsed() < TO_GO_ON {}
            went_on.push(start.elapsed());
        }
        is_over.store(true, Ordering::SeqCst);
        let longest = went_on.iter().max().copied().unwrap_or_default();
        assert!(longest < TO_GO_ON, "{went_on:?}");
    });
}
