//! Several servers that share one PostgreSQL and one Redis, as operators run them.

mod partition;
mod rolling;
mod stalled;

use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use tenantry_conformance::Exchange;

use crate::support::{
    admin::{authorized, put, request, token_file},
    client::{Connection, PATIENCE, ask, chat, get, open_session},
    database::{Database, Folder, Postgres, import},
    ports::free_port,
    program::{Program, tenantry},
};

/// Where a server listens, and its admin API.
#[derive(Clone, Copy)]
struct Ports {
    service: u16,
    admin: u16,
}

impl Ports {
    fn free() -> Self {
        Self {
            service: free_port(),
            admin: free_port(),
        }
    }

    fn admin(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.admin))
    }

    /// A server there, with its state in that database, and these further arguments.
    fn serve(self, state: &str, more: &[&str]) -> Program {
        let token = token_file().display().to_string();
        let listen = format!("127.0.0.1:{}", self.service);
        let admin = format!("127.0.0.1:{}", self.admin);
        let args = [
            "serve",
            "--listen",
            &listen,
            "--state",
            state,
            "--engine",
            "native",
            "--admin",
            &admin,
            "--admin-token-file",
            &token,
            "--drain-delay",
            "3s",
            "--log-filter",
            "info,tenantry::access=off",
        ];
        Program::start(tenantry(&[&args, more].concat()))
    }
}

/// A server, and where it listens.
type Server = (Ports, Program);

fn cluster(database: &Postgres) -> Vec<Server> {
    import(database, "tenants.jsonl");
    let state = database.state();
    let servers = (0..3).map(|_| {
        let ports = Ports::free();
        (ports, ports.serve(&state, &["--no-limits"]))
    });
    servers.collect()
}

/// Waits until a server gives this status.
fn wait_for(address: SocketAddr, exchange: &Exchange, status: u16) {
    let start = Instant::now();
    while ask(address, exchange).status != status {
        assert!(
            start.elapsed() < PATIENCE,
            "no {status} for {}",
            exchange.target
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_one_server_does_holds_on_all() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let servers = cluster(&database);
    let address = |n: usize| servers[n].1.address;
    let admin = |n: usize| servers[n].0.admin();
    let session = open_session(address(0), "acme");
    let other = open_session(address(1), "acme");
    for n in 0..3 {
        let status = |tenant: &str| ask(address(n), &chat(tenant, &session, "hi")).status;
        assert_eq!((status("acme"), status("globex")), (200, 403));
    }

    // A change of a row, suspending, and ending sessions, each from another server.
    let row = r#"{"id":"acme","name":"n","welcome":"Changed!"}"#;
    assert_eq!(ask(admin(1), &authorized(put("acme", row))).status, 200);
    let says = |n: usize| ask(address(n), &chat("acme", &session, "hi")).text();
    let start = Instant::now();
    for n in 0..3 {
        while !says(n).contains("Changed!") {
            assert!(
                start.elapsed() < PATIENCE,
                "server {n} does not know the change"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
    let suspend = authorized(request("POST", "/tenants/acme/suspend"));
    assert_eq!(ask(admin(2), &suspend).status, 200);
    for n in 0..3 {
        wait_for(address(n), &chat("acme", &session, "hi"), 403);
        let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
        wait_for(address(n), &open, 403);
    }
    let resume = authorized(request("POST", "/tenants/acme/resume"));
    assert_eq!(ask(admin(0), &resume).status, 200);
    for n in 0..3 {
        wait_for(address(n), &chat("acme", &session, "hi"), 200);
    }
    let revoke = request("DELETE", &format!("/tenants/acme/sessions/{session}"));
    assert_eq!(ask(admin(0), &authorized(revoke)).status, 204);
    for n in 0..3 {
        wait_for(address(n), &chat("acme", &session, "hi"), 404);
        assert_eq!(ask(address(n), &chat("acme", &other, "hi")).status, 200);
    }
    let add = put("umbrella", r#"{"id":"umbrella","name":"n","welcome":"w"}"#);
    assert_eq!(ask(admin(1), &authorized(add)).status, 201);
    for n in 0..3 {
        let open = Exchange::post("/session", r#"{"tenant_id":"umbrella"}"#);
        wait_for(address(n), &open, 200);
        assert!(ask(address(n), &get("/")).text().contains("umbrella"));
    }
}

#[test]
fn a_bound_on_sessions_is_exact_across_servers() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let state = database.state();
    let folder = Folder::new();
    let file = folder.join("tenants.jsonl");
    let row = r#"{"id":"acme","name":"n","welcome":"w","limits":{"sessions":200}}"#;
    fs::write(&file, row).expect("a file");
    let file = file.display().to_string();
    import(&database, &file);
    let servers: Vec<_> = (0..3)
        .map(|_| Program::serve(&["--state", &state, "--engine", "native"]))
        .collect();
    let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
    let opened = AtomicU64::new(0);
    thread::scope(|scope| {
        for n in 0..12 {
            let (open, opened, server) = (&open, &opened, &servers[n % 3]);
            scope.spawn(move || {
                let mut connection = Connection::open(server.address);
                for _ in 0..40 {
                    match connection.exchange(open).expect("an answer").status {
                        200 => opened.fetch_add(1, Ordering::SeqCst),
                        429 => 0,
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    assert_eq!(opened.load(Ordering::SeqCst), 200);
}

#[test]
fn changes_are_known_everywhere_within_a_second() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let servers = cluster(&database);
    let session = open_session(servers[0].1.address, "acme");
    let mut times = Vec::new();
    for n in 0..100 {
        let row = format!(r#"{{"id":"acme","name":"n","welcome":"<{n}>"}}"#);
        let by = servers[n % 3].0.admin();
        assert_eq!(ask(by, &authorized(put("acme", &row))).status, 200);
        let start = Instant::now();
        for (_, server) in &servers {
            while !ask(server.address, &chat("acme", &session, "hi"))
                .text()
                .contains(&format!("<{n}>"))
            {
                assert!(start.elapsed() < PATIENCE, "change {n} is not known");
                thread::sleep(Duration::from_millis(1));
            }
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!(
        "100 changes: median {:?}, longest {:?}",
        times[50], times[99]
    );
    // On a machine that is not overloaded the longest is far below; the median even there.
    assert!(times[50] < Duration::from_secs(1), "{times:?}");
}
