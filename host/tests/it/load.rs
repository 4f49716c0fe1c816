//! Many connections: idle ones, a burst of them, too many of them.

use std::{fs, io::ErrorKind, sync::Arc, thread, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tenantry::server::{self, Server};

use crate::support::{
    client::{Connection, PATIENCE, chat, get, open_session},
    program::Program,
    server::{Setup, Way},
};

/// Files that this process has open besides those that a test of this file opens.
const OTHER_FILES: u64 = 3000;

/// Says that this machine lets less be tested than is meant to be.
#[expect(clippy::print_stdout, reason = "a note beside the test's result")]
fn note(text: &str) {
    println!("note: {text}");
}

/// How many connections of `wanted` can be opened here, after the limit was raised as far
/// as it goes. Says so where that is fewer.
fn connections(wanted: usize) -> usize {
    let files = wanted as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let maximum = limit.maximum.map(|maximum| maximum.max(files));
        let raised = Rlimit {
            current: Some(files),
            maximum,
        };
        let as_far_as_allowed = Rlimit {
            current: limit.maximum.map(|maximum| maximum.min(files)),
            ..limit
        };
        if setrlimit(Resource::Nofile, raised).is_err() {
            setrlimit(Resource::Nofile, as_far_as_allowed).expect("a limit within the maximum");
        }
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(files);
    let possible = usize::try_from(current.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
    if possible < wanted {
        note(&format!(
            "this machine allows only {possible} of {wanted} connections"
        ));
    }
    assert!(possible > 0, "too few open files are allowed: {current}");
    possible.min(wanted)
}

#[test]
fn ten_thousand_idle_connections_do_not_disturb_the_working_ones() {
    // The other ends are another process's files.
    let server = Program::serve(&[
        "--no-limits",
        "--idle-timeout",
        "1h",
        "--log-filter",
        "warn",
    ]);
    let id = open_session(server.address, "acme");
    let mut working = Connection::open(server.address);
    let mut idle = Vec::new();
    for n in 0..connections(10_000) {
        let mut connection = Connection::open(server.address);
        // Idle before the first request, and between two.
        if n % 2 == 0 {
            let reply = connection.exchange(&get("/")).expect("an answer");
            assert_eq!(reply.status, 200);
        }
        idle.push(connection);
        if n % 10 == 0 {
            let reply = working.exchange(&chat("acme", &id, "hello"));
            assert_eq!(reply.expect("an answer").status, 200);
        }
    }
    for connection in &mut idle {
        let reply = connection.exchange(&get("/")).expect("an answer");
        assert_eq!(reply.status, 200);
    }
    let reply = working.exchange(&chat("acme", &id, "hello"));
    assert_eq!(reply.expect("an answer").status, 200);
}

#[test]
fn a_thousand_connections_at_once_all_find_room() {
    let allowed = fs::read_to_string("/proc/sys/net/core/somaxconn");
    let allowed = allowed.ok().and_then(|text| text.trim().parse().ok());
    let mut burst = connections(2000) / 2;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < burst) {
        note(&format!(
            "this machine lets only {allowed} connections wait"
        ));
        burst = allowed;
    }
    let mut setup = Setup::new(Way::Tenant);
    setup.task.server.max_connections = 2000;
    let listener = server::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr().expect("an address");
    // Nobody accepts yet, and nobody has to: a client that found no room would wait here.
    let mut connections: Vec<_> = (0..burst).map(|_| Connection::open(address)).collect();
    for connection in &mut connections {
        connection.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    }
    let state = Arc::new(setup.state());
    let server = Server::new(listener, setup.task.server, state, setup.component());
    let shutdown = server.shutdown();
    let thread = thread::spawn(move || server.run());
    for connection in &mut connections {
        assert_eq!(connection.reply().expect("an answer").status, 200);
    }
    shutdown.now();
    let ran = thread.join().expect("the server did not panic");
    ran.expect("the server ran");
}

#[test]
fn connections_over_the_bound_wait_until_one_ends() {
    let mut setup = Setup::new(Way::Tenant);
    setup.task.server.max_connections = 4;
    let server = setup.start();
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut connection = Connection::open(server.address);
        let reply = connection.exchange(&get("/")).expect("an answer");
        assert_eq!(reply.status, 200);
        open.push(connection);
    }
    let mut waiting: Vec<_> = (0..4)
        .map(|_| {
            let mut connection = Connection::open(server.address);
            connection.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
            connection
        })
        .collect();
    let moment = Duration::from_millis(300);
    for connection in &waiting {
        let stream = connection.stream();
        stream.set_read_timeout(Some(moment)).expect("a socket");
        let error = stream.peek(&mut [0]).expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    }
    for connection in &mut open {
        let reply = connection.exchange(&get("/")).expect("an answer");
        assert_eq!(reply.status, 200);
    }
    // First come, first served: one that waits for each that ends.
    for (ended, connection) in open.into_iter().zip(&mut waiting) {
        drop(ended);
        assert_eq!(connection.reply().expect("an answer").status, 200);
    }
}
