//! Several servers that share one PostgreSQL, behind a balancer: as operators run them.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tenantry_conformance::Exchange;

use crate::support::{
    admin::{authorized, put, request, token_file},
    client::{Connection, PATIENCE, ask, chat, get, open_session},
    database::{Database, Folder, Postgres},
    program::{Program, run, tenantry, workspace},
};

/// A free port below those that the system gives to clients.
fn free_port() -> u16 {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    free.local_addr().expect("an address").port()
}

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

    /// A server there, with its state in that database.
    fn serve(self, state: &str) -> Program {
        let token = token_file().display().to_string();
        let listen = format!("127.0.0.1:{}", self.service);
        let admin = format!("127.0.0.1:{}", self.admin);
        Program::start(tenantry(&[
            "serve",
            "--listen",
            &listen,
            "--state",
            state,
            "--no-limits",
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
        ]))
    }
}

fn cluster(database: &Postgres) -> Vec<(Ports, Program)> {
    let state = database.state();
    let import = run(&["import", "--state", &state, "tenants.jsonl"]);
    assert!(import.status.success());
    let servers = (0..3).map(|_| {
        let ports = Ports::free();
        (ports, ports.serve(&state))
    });
    servers.collect()
}

/// Waits until a server gives this status; returns after how long.
fn wait_for(address: SocketAddr, exchange: &Exchange, status: u16) -> Duration {
    let start = Instant::now();
    loop {
        if ask(address, exchange).status == status {
            return start.elapsed();
        }
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
    assert!(run(&["import", "--state", &state, &file]).status.success());
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

/// HAProxy with the configuration that is shipped, in front of these servers.
struct Balancer {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Balancer {
    #[expect(clippy::print_stderr, reason = "what a test could not try")]
    fn start(servers: &[Ports]) -> Option<Self> {
        let has_program = Command::new("haproxy").arg("-v").output().is_ok();
        if !has_program {
            let must = std::env::var_os("TENANTRY_TEST_HAPROXY").is_some();
            assert!(!must, "there is no haproxy");
            eprintln!("skipped: HAProxy is not installed");
            return None;
        }
        let shipped = fs::read_to_string(workspace().join("deploy/haproxy/haproxy.cfg"));
        let shipped = shipped.expect("a configuration");
        let port = free_port();
        let mut configuration = String::new();
        let mut is_skipped = false;
        for line in shipped.lines() {
            // Names of containers are resolved by Docker.
            if !line.starts_with([' ', '#']) {
                is_skipped = line.starts_with("resolvers");
            }
            if is_skipped || line.trim_start().starts_with("server ") {
                continue;
            }
            let line = line
                // A test may not open as many files.
                .replace("maxconn 20000", "maxconn 1000")
                .replace("bind :8001", &format!("bind 127.0.0.1:{port}"))
                .replace(" resolvers docker init-addr libc,none", "")
                .replace(" port 9001", "");
            configuration += &format!("{line}\n");
        }
        for (n, ports) in servers.iter().enumerate() {
            let Ports { service, admin } = ports;
            configuration += &format!("    server s{n} 127.0.0.1:{service} port {admin}\n");
        }
        let folder = Folder::new();
        let file = folder.join("haproxy.cfg");
        fs::write(&file, configuration).expect("a file");
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < PATIENCE, "HAProxy does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Some(Self {
            child: child.expect("it starts"),
            address,
            _folder: folder,
        })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Chats and opens sessions through a balancer until it is over; counts answers by status.
fn load(address: SocketAddr, is_over: &AtomicBool) -> BTreeMap<u16, u64> {
    let mut statuses = BTreeMap::new();
    let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
    let mut connection = Connection::open(address);
    let reply = connection.exchange(&open).expect("an answer");
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let session = body["session_id"].as_str().expect("an id").to_owned();
    for n in 0_u64.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let exchange = match n % 8 {
            0 => open.clone(),
            1 => get("/"),
            _ => chat("acme", &session, "hi"),
        };
        // The balancer closes a connection now and then.
        let reply = match connection.exchange(&exchange) {
            Ok(reply) => reply,
            Err(_) => {
                connection = Connection::open(address);
                *statuses.entry(0).or_default() += 1;
                continue;
            }
        };
        *statuses.entry(reply.status).or_default() += 1;
        thread::sleep(Duration::from_millis(1));
    }
    statuses
}

#[test]
fn a_rolling_restart_fails_no_request() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let mut servers = cluster(&database);
    let ports: Vec<_> = servers.iter().map(|(ports, _)| *ports).collect();
    let Some(balancer) = Balancer::start(&ports) else {
        return;
    };
    wait_for(balancer.address, &get("/"), 200);
    let is_over = AtomicBool::new(false);
    let counted = thread::scope(|scope| {
        let loads: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| load(balancer.address, &is_over)))
            .collect();
        for _ in 0..3 {
            let (ports, old) = servers.remove(0);
            old.signal("TERM");
            let (status, _, log) = old.wait();
            assert!(status.success(), "{log}");
            let new = ports.serve(&database.state());
            wait_for(ports.admin(), &get("/readyz"), 200);
            // For the balancer to see it.
            thread::sleep(Duration::from_millis(1500));
            servers.push((ports, new));
        }
        is_over.store(true, Ordering::SeqCst);
        let counts = loads.into_iter().map(|load| load.join().expect("no panic"));
        counts.fold(BTreeMap::new(), |mut sum, counts| {
            for (status, count) in counts {
                *sum.entry(status).or_insert(0) += count;
            }
            sum
        })
    });
    println!("answers by status: {counted:?}");
    assert_eq!(counted.keys().collect::<Vec<_>>(), [&200], "{counted:?}");
}

#[test]
fn a_server_that_is_killed_costs_what_was_under_way_on_it() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let mut servers = cluster(&database);
    let ports: Vec<_> = servers.iter().map(|(ports, _)| *ports).collect();
    let Some(balancer) = Balancer::start(&ports) else {
        return;
    };
    wait_for(balancer.address, &get("/"), 200);
    const LOADS: u64 = 6;
    let is_over = AtomicBool::new(false);
    let counted = thread::scope(|scope| {
        let loads: Vec<_> = (0..LOADS)
            .map(|_| scope.spawn(|| load(balancer.address, &is_over)))
            .collect();
        thread::sleep(Duration::from_millis(500));
        servers.remove(0).1.signal("KILL");
        thread::sleep(Duration::from_secs(3));
        is_over.store(true, Ordering::SeqCst);
        let counts = loads.into_iter().map(|load| load.join().expect("no panic"));
        counts.fold(BTreeMap::new(), |mut sum, counts| {
            for (status, count) in counts {
                *sum.entry(status).or_insert(0) += count;
            }
            sum
        })
    });
    println!("answers by status: {counted:?}");
    let failed: u64 = counted
        .iter()
        .filter(|(status, _)| **status != 200)
        .map(|(_, n)| n)
        .sum();
    assert!(
        failed <= LOADS,
        "more failed than were under way: {counted:?}"
    );
    assert!(counted[&200] > 100, "{counted:?}");
}
