//! Servers that are killed at any moment under load: whatever was answered is there when they
//! are started again, and nothing is there twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tenantry_conformance::Exchange;

use crate::support::{
    admin::{authorized, put, token_file},
    client::{Connection, PATIENCE, ask, chat, get, session_id},
    database::{Database, Postgres, Sqlite, import},
    program::Program,
};

/// How often servers are killed; `TENANTRY_TEST_KILLS` in the environment says otherwise.
fn kills(default: usize) -> usize {
    let kills = std::env::var("TENANTRY_TEST_KILLS").ok();
    kills
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(default)
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}

pub(super) fn serve(database: &dyn Database) -> Program {
    serve_state(&database.state())
}

/// A server with that state, without limits, and with an admin API.
pub(super) fn serve_state(state: &str) -> Program {
    serve_with(state, &[])
}

/// The same with further arguments.
pub(super) fn serve_with(state: &str, args: &[&str]) -> Program {
    let token = token_file().display().to_string();
    let own = [
        "--state",
        state,
        "--no-limits",
        "--admin",
        "127.0.0.1:0",
        "--admin-token-file",
        &token,
        "--engine",
        "native",
        "--threads",
        "2",
        "--log-filter",
        "info,tenantry::access=off",
    ];
    Program::serve(&[&own, args].concat())
}

/// What was answered so far.
#[derive(Default)]
struct Answered {
    sessions: Mutex<Vec<(&'static str, String)>>,
    /// The last number that each tenant's welcome was given.
    welcomes: Mutex<BTreeMap<&'static str, u64>>,
    /// Changes that were answered.
    changes: AtomicU64,
    /// Changes of which nobody knows.
    uncertain: AtomicU64,
}

const TENANTS: [&str; 2] = ["acme", "globex"];

/// Opens sessions until the server is gone.
fn open_sessions(address: SocketAddr, tenant: &'static str, answered: &Answered) {
    let open = Exchange::post("/session", format!(r#"{{"tenant_id":"{tenant}"}}"#));
    let mut connection = Connection::open(address);
    while let Ok(reply) = connection.exchange(&open) {
        let id = session_id(&reply);
        answered
            .sessions
            .lock()
            .expect("no panic")
            .push((tenant, id));
    }
}

/// Changes a tenant's welcome to higher and higher numbers until the server is gone.
fn change(admin: SocketAddr, tenant: &'static str, is_over: &AtomicBool, answered: &Answered) {
    let mut connection = Connection::open(admin);
    let last = answered
        .welcomes
        .lock()
        .expect("no panic")
        .get(tenant)
        .copied();
    for n in last.unwrap_or(0) + 1.. {
        let row = format!(r#"{{"id":"{tenant}","name":"n","welcome":"{n}"}}"#);
        match connection.exchange(&authorized(put(tenant, &row))) {
            Ok(reply) => {
                assert_eq!(reply.status, 200, "{}", reply.text());
                answered
                    .welcomes
                    .lock()
                    .expect("no panic")
                    .insert(tenant, n);
                answered.changes.fetch_add(1, Ordering::SeqCst);
            }
            Err(_) => {
                assert!(is_over.load(Ordering::SeqCst), "a change got no answer");
                answered.uncertain.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "what a test has seen")]
/// Kills servers under load, and looks for what they have answered.
fn kill(database: &dyn Database, kills: usize, mut crash: impl FnMut(usize)) {
    import(database, "tenants.jsonl");
    let answered = Answered::default();
    let mut random = Random(7);
    let mut server = serve(database);
    let mut seen = 0;
    for n in 0..kills {
        let admin = server.admin_address();
        let is_over = AtomicBool::new(false);
        let pause = Duration::from_millis(20 + random.below(150));
        thread::scope(|scope| {
            for tenant in TENANTS {
                for _ in 0..4 {
                    scope.spawn(|| open_sessions(server.address, tenant, &answered));
                }
            }
            scope.spawn(|| change(admin, "acme", &is_over, &answered));
            thread::sleep(pause);
            is_over.store(true, Ordering::SeqCst);
            server.signal("KILL");
        });
        drop(server);
        crash(n);
        server = serve(database);
        let sessions = answered.sessions.lock().expect("no panic");
        let mut connection = Connection::open(server.address);
        // All that are new, and some of the others.
        let new = sessions.len() - seen;
        let old = seen / 50 + 1;
        for (at, (tenant, id)) in sessions.iter().enumerate() {
            if at >= seen || at % old == 0 {
                let reply = connection
                    .exchange(&chat(tenant, id, "hi"))
                    .expect("an answer");
                assert_eq!(
                    reply.status, 200,
                    "kill {n}: a session of {new} new ones is lost"
                );
            }
        }
        seen = sessions.len();
        let row = ask(server.admin_address(), &authorized(get("/tenants/acme")));
        let row: Value = serde_json::from_slice(&row.body).expect("JSON");
        let welcome: u64 = row["row"]["welcome"]
            .as_str()
            .and_then(|welcome| welcome.parse().ok())
            .unwrap_or(0);
        let last = answered
            .welcomes
            .lock()
            .expect("no panic")
            .get("acme")
            .copied();
        let last = last.unwrap_or(0);
        assert!(
            (last..=last + 1).contains(&welcome),
            "kill {n}: {welcome}, not {last}"
        );
        answered
            .welcomes
            .lock()
            .expect("no panic")
            .insert("acme", welcome);
    }
    // Once more, all of them, and each once.
    let sessions = answered.sessions.lock().expect("no panic");
    let mut connection = Connection::open(server.address);
    for (tenant, id) in sessions.iter() {
        let reply = connection
            .exchange(&chat(tenant, id, "hi"))
            .expect("an answer");
        assert_eq!(reply.status, 200);
    }
    let distinct: BTreeSet<_> = sessions.iter().map(|(_, id)| id).collect();
    assert_eq!(distinct.len(), sessions.len());
    // Every change was written down once.
    let changes = answered.changes.load(Ordering::SeqCst);
    let uncertain = answered.uncertain.load(Ordering::SeqCst);
    let audited = audited(server.admin_address());
    assert!(
        (changes..=changes + uncertain).contains(&audited),
        "{audited} changes are written down; {changes} were answered, {uncertain} may have been"
    );
    println!(
        "{kills} kills: {} sessions and {changes} changes answered, none lost",
        sessions.len()
    );
    assert!(sessions.len() > kills && changes > 0);
}

/// How many changes the audit has; each of its versions once.
fn audited(admin: SocketAddr) -> u64 {
    let mut versions = BTreeSet::new();
    let mut target = "/audit?tenant=acme&limit=1000".to_owned();
    loop {
        let page = ask(admin, &authorized(get(&target)));
        let page: Value = serde_json::from_slice(&page.body).expect("JSON");
        for record in page["records"].as_array().expect("records") {
            assert_eq!(record["action"], "put");
            let version = record["after"]["version"].as_u64().expect("a version");
            assert!(versions.insert(version), "version {version} is there twice");
        }
        match page["next"].as_str() {
            Some(next) => target = format!("/audit?tenant=acme&limit=1000&cursor={next}"),
            None => return versions.len() as u64,
        }
    }
}

#[test]
fn whatever_was_answered_survives_kills_with_sqlite() {
    kill(&Sqlite::new(), kills(30), |_| {});
}

#[test]
fn whatever_was_answered_survives_kills_with_postgresql() {
    let Some(database) = Postgres::start() else {
        return;
    };
    // Every fourth time, PostgreSQL is killed, too.
    kill(&database, kills(12), |n| {
        if n % 4 == 3 {
            database.kill();
            database.run();
        }
    });
}

#[test]
fn usage_is_known_to_the_last_second_before_a_kill() {
    let mut databases: Vec<Box<dyn Database>> = vec![Box::new(Sqlite::new())];
    databases.extend(Postgres::start().map(|postgres| Box::new(postgres) as _));
    for database in databases {
        import(&*database, "tenants.jsonl");
        let (mut sent, mut surely) = (0, 0);
        for _ in 0..3 {
            let server = serve(&*database);
            let mut connection = Connection::open(server.address);
            let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
            let reply = connection.exchange(&open).expect("a session");
            let session = session_id(&reply);
            let start = Instant::now();
            let mut times = Vec::new();
            while start.elapsed() < Duration::from_secs(4) {
                let reply = connection.exchange(&chat("acme", &session, "hi"));
                assert_eq!(reply.expect("an answer").status, 200);
                times.push(start.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            server.signal("KILL");
            let killed = start.elapsed();
            sent += times.len() as u64;
            // A second until they are collected, and what a busy machine needs to write.
            let known = |time: &&Duration| **time + Duration::from_millis(2500) < killed;
            surely += times.iter().filter(known).count() as u64;
        }
        let server = serve(&*database);
        let usage = ask(server.admin_address(), &authorized(get("/usage?step=day")));
        let usage: Value = serde_json::from_slice(&usage.body).expect("JSON");
        let rows = usage["usage"].as_array().expect("rows").iter();
        let chats: u64 = rows
            .map(|row| row["chats"].as_u64().expect("a number"))
            .sum();
        assert!(
            (surely..=sent).contains(&chats),
            "{chats} chats are known; {sent} were sent, {surely} of them long before the kills"
        );
    }
}

/// With so little time for the database, many changes are made and their answers lost. What
/// requests see agrees with the database soon, all the same.
#[test]
fn a_change_whose_answer_was_lost_is_seen_where_it_was_made() {
    let database = Sqlite::new();
    import(&database, "tenants.jsonl");
    let server = serve_with(&database.state(), &["--store-timeout", "10ms"]);
    let admin = server.admin_address();
    let is_over = AtomicBool::new(false);
    let lost = AtomicU64::new(0);
    let welcomed = || {
        let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
        let reply = ask(server.address, &open);
        let reply: Value = serde_json::from_slice(&reply.body).expect("JSON");
        reply["tenant"]["welcome"].as_str().map(str::to_owned)
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    welcomed();
                }
            });
        }
        for n in 0..200 {
            let row = format!(r#"{{"id":"acme","name":"n","welcome":"{n}"}}"#);
            let reply = ask(admin, &authorized(put("acme", &row)));
            lost.fetch_add(u64::from(reply.status == 503), Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let end = Instant::now() + PATIENCE;
    loop {
        let row = ask(admin, &authorized(get("/tenants/acme")));
        let row: Value = serde_json::from_slice(&row.body).expect("JSON");
        let kept = row["row"]["welcome"].as_str().map(str::to_owned);
        if kept.is_some() && kept == welcomed() {
            break;
        }
        assert!(
            Instant::now() < end,
            "{kept:?} is kept; {lost:?} answers were lost"
        );
        thread::sleep(Duration::from_millis(50));
    }
}
