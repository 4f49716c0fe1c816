//! A balancer before several servers, of which one is restarted, or killed.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use tenantry_conformance::Exchange;

use super::{Ports, Server, cluster, wait_for};
use crate::support::{
    client::{Connection, PATIENCE, chat, get, session_id},
    database::{Database, Folder, Postgres},
    ports::free_port,
    program::workspace,
};

/// Clients that ask at the same time.
const LOADS: u64 = 6;

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
    let session = session_id(&reply);
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

/// Three servers behind a balancer, and their database.
fn behind_a_balancer() -> Option<(Postgres, Vec<Server>, Balancer)> {
    let database = Postgres::start()?;
    let servers = cluster(&database);
    let ports: Vec<_> = servers.iter().map(|(ports, _)| *ports).collect();
    let balancer = Balancer::start(&ports)?;
    Some((database, servers, balancer))
}

/// What six clients are answered, by status, while something happens.
fn counted(balancer: &Balancer, happens: impl FnOnce()) -> BTreeMap<u16, u64> {
    wait_for(balancer.address, &get("/"), 200);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let loads: Vec<_> = (0..LOADS)
            .map(|_| scope.spawn(|| load(balancer.address, &is_over)))
            .collect();
        happens();
        is_over.store(true, Ordering::SeqCst);
        let mut sum = BTreeMap::new();
        for load in loads {
            for (status, count) in load.join().expect("no panic") {
                *sum.entry(status).or_default() += count;
            }
        }
        sum
    })
}

#[test]
fn a_rolling_restart_fails_no_request() {
    let Some((database, mut servers, balancer)) = behind_a_balancer() else {
        return;
    };
    let counted = counted(&balancer, || {
        for _ in 0..3 {
            let (ports, old) = servers.remove(0);
            old.signal("TERM");
            let (status, _, log) = old.wait();
            assert!(status.success(), "{log}");
            let new = ports.serve(&database.state(), &["--no-limits"]);
            wait_for(ports.admin(), &get("/readyz"), 200);
            // For the balancer to see it.
            thread::sleep(Duration::from_millis(1500));
            servers.push((ports, new));
        }
    });
    println!("answers by status: {counted:?}");
    assert_eq!(counted.keys().collect::<Vec<_>>(), [&200], "{counted:?}");
}

#[test]
fn a_server_that_is_killed_costs_what_was_under_way_on_it() {
    let Some((_database, mut servers, balancer)) = behind_a_balancer() else {
        return;
    };
    let counted = counted(&balancer, || {
        thread::sleep(Duration::from_millis(500));
        servers.remove(0).1.signal("KILL");
        thread::sleep(Duration::from_secs(3));
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
