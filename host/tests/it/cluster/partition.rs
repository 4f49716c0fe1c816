//! Limits that several servers hold together, and a server that is cut off from all stores.

use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use tenantry_conformance::Exchange;

use super::{Ports, wait_for};
use crate::support::{
    admin::{authorized, put, request},
    client::{Connection, ask, chat, open_session, session_id},
    database::{Database, Folder, Postgres, import},
    program::Program,
    proxy::Proxy,
    redis::RedisServer,
};

/// Chats that the limited tenant may have in any ten seconds.
const LIMIT: u32 = 60;

/// Stores, and tenants in them: `acme` without a limit, `globex`, and `small` with one.
struct Stores {
    database: Postgres,
    redis: RedisServer,
}

impl Stores {
    fn start() -> Option<Self> {
        let stores = Self {
            database: Postgres::start()?,
            redis: RedisServer::start()?,
        };
        let folder = Folder::new();
        let file = folder.join("tenants.jsonl");
        let small = format!(
            r#"{{"id":"small","name":"n","welcome":"w","limits":{{"chat_per_10s":{LIMIT}}}}}"#
        );
        let free = |id| {
            format!(
                r#"{{"id":"{id}","name":"n","welcome":"w","limits":{{"chat_per_10s":4000000000}}}}"#
            )
        };
        fs::write(&file, [free("acme"), free("globex"), small].join("\n")).expect("a file");
        let file = file.display().to_string();
        import(&stores.database, &file);
        Some(stores)
    }

    /// A server that reaches its stores at these addresses.
    fn serve_by(database: &str, redis: SocketAddr) -> (Ports, Program) {
        let ports = Ports::free();
        let cache = format!("redis://{redis}/0");
        let more = ["--cache", &cache, "--store-timeout", "500ms"];
        (ports, ports.serve(database, &more))
    }

    fn serve(&self) -> (Ports, Program) {
        Self::serve_by(&self.database.state(), self.redis.address)
    }
}

/// Sends chats to all of these servers at once, `each` on each of four connections; returns
/// how many were granted.
fn granted(servers: &[SocketAddr], session: &str, each: u32) -> u32 {
    let granted = AtomicU32::new(0);
    thread::scope(|scope| {
        for address in servers.iter().cycle().take(4 * servers.len()) {
            let granted = &granted;
            scope.spawn(move || {
                let mut connection = Connection::open(*address);
                for _ in 0..each {
                    let reply = connection.exchange(&chat("small", session, "hi"));
                    match reply.expect("an answer").status {
                        200 => granted.fetch_add(1, Ordering::SeqCst),
                        429 => 0,
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    granted.into_inner()
}

/// How many chats a limit may have granted since then.
fn most(since: Instant) -> u32 {
    LIMIT * (1 + u32::try_from(since.elapsed().as_secs() / 10).expect("a short test"))
}

#[test]
fn a_limit_is_exact_across_servers() {
    let Some(stores) = Stores::start() else {
        return;
    };
    let servers = [stores.serve(), stores.serve(), stores.serve()];
    let addresses = servers.each_ref().map(|(_, server)| server.address);
    let session = open_session(addresses[0], "small");
    let start = Instant::now();
    let count = granted(&addresses, &session, 25);
    // All of them in one window, unless the machine is very slow.
    assert!((LIMIT..=most(start)).contains(&count), "{count}");
}

/// Opens sessions until it is over; returns those that were answered.
fn open_sessions(address: SocketAddr, is_over: &AtomicBool) -> Vec<String> {
    let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
    let mut connection = Connection::open(address);
    let mut opened = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let reply = connection.exchange(&open).expect("an answer");
        match reply.status {
            200 => opened.push(session_id(&reply)),
            503 => assert_eq!(reply.header("retry-after"), Some("1")),
            other => panic!("{other}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
    opened
}

#[test]
fn a_server_that_is_cut_off_from_all_stores_loses_nothing_and_bounds_limits() {
    let Some(stores) = Stores::start() else {
        return;
    };
    let to_database = Proxy::to(SocketAddr::from(([127, 0, 0, 1], stores.database.port)));
    let to_redis = Proxy::to(stores.redis.address);
    let url = stores.database.url_by(to_database.address.port());
    let servers = [
        stores.serve(),
        stores.serve(),
        Stores::serve_by(&url, to_redis.address),
    ];
    let addresses = servers.each_ref().map(|(_, server)| server.address);
    let cut_off = addresses[2];
    let small = open_session(addresses[0], "small");
    let seen = open_session(addresses[1], "acme");
    let globex = open_session(addresses[1], "globex");
    for session in [("small", &small), ("acme", &seen), ("globex", &globex)] {
        for address in addresses {
            assert_eq!(ask(address, &chat(session.0, session.1, "hi")).status, 200);
        }
    }
    for stalls in [false, true] {
        // Nothing that was granted before counts any more.
        thread::sleep(Duration::from_secs(10));
        let is_over = AtomicBool::new(false);
        let opened = thread::scope(|scope| {
            let is_over = &is_over;
            let load = |address| scope.spawn(move || open_sessions(address, is_over));
            let loads: Vec<_> = addresses.map(load).into();
            thread::sleep(Duration::from_millis(300));
            for proxy in [&to_database, &to_redis] {
                if stalls {
                    proxy.stall();
                } else {
                    proxy.cut();
                }
            }
            // What it has seen it serves, for as long as nobody can tell it otherwise.
            let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
            wait_for(cut_off, &open, 503);
            assert_eq!(ask(cut_off, &chat("acme", &seen, "hi")).status, 200);
            // Those that count together, and the one that counts alone: a limit each.
            let start = Instant::now();
            let count = granted(&addresses, &small, 25);
            assert!(
                (LIMIT..=2 * most(start)).contains(&count),
                "{count} of {LIMIT}, stalled: {stalls}"
            );
            // What happens meanwhile is what holds once it is back.
            let suspend = authorized(request("POST", "/tenants/globex/suspend"));
            assert_eq!(ask(servers[0].0.admin(), &suspend).status, 200);
            wait_for(addresses[1], &chat("globex", &globex, "hi"), 403);
            let refused = authorized(put("new", r#"{"id":"new","name":"n","welcome":"w"}"#));
            assert_eq!(ask(servers[2].0.admin(), &refused).status, 503);

            to_database.heal();
            to_redis.heal();
            wait_for(cut_off, &open, 200);
            wait_for(cut_off, &chat("globex", &globex, "hi"), 403);
            // Whatever it granted alone counts for all: there is nothing left.
            servers[2]
                .1
                .wait_for_log("Redis is back after", 1 + usize::from(stalls));
            if start.elapsed() < Duration::from_secs(8) {
                assert_eq!(granted(&addresses, &small, 1), 0, "stalled: {stalls}");
            }
            is_over.store(true, Ordering::SeqCst);
            let opened = loads.into_iter().map(|load| load.join().expect("no panic"));
            opened.collect::<Vec<_>>()
        });
        println!(
            "sessions answered, the last one cut off: {:?}",
            opened.iter().map(Vec::len).collect::<Vec<_>>()
        );
        let resume = authorized(request("POST", "/tenants/globex/resume"));
        assert_eq!(ask(servers[2].0.admin(), &resume).status, 200);
        for address in addresses {
            let mut connection = Connection::open(address);
            for session in opened.iter().flatten() {
                let reply = connection.exchange(&chat("acme", session, "hi"));
                assert_eq!(reply.expect("an answer").status, 200, "{session} is lost");
            }
            wait_for(address, &chat("globex", &globex, "hi"), 200);
        }
    }
}
