//! Stopping: what was begun is ended, and nothing new is begun.

use std::{
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tenantry_conformance::Exchange;

use crate::support::{
    client::{Connection, PATIENCE, get},
    program::Program,
    server::{Served, Setup, Way},
    stores::Gate,
};

const LONG: Duration = Duration::from_secs(3600);

fn session() -> Exchange {
    Exchange::post("/session", r#"{"tenant_id":"acme"}"#)
}

/// A server whose sessions wait at a gate, and which drains for as long as it takes.
fn gated() -> (Served, Gate) {
    let mut setup = Setup::new(Way::Tenant);
    setup.task.server.drain = LONG;
    let mut state = setup.state();
    let gate = Gate::before(&mut state);
    (setup.start_with(state), gate)
}

/// Waits until nobody listens on an address any more.
#[track_caller]
fn wait_until_refused(address: SocketAddr) {
    let begin = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "it still listens");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_begun_is_ended_and_nothing_new_is_begun() {
    let (mut server, gate) = gated();
    let mut fresh = Connection::open(server.address);
    let mut used = Connection::open(server.address);
    assert_eq!(used.exchange(&get("/")).expect("an answer").status, 200);
    let mut waiting = Connection::open(server.address);
    waiting.send_exchange(&session());
    gate.wait();

    server.shutdown.drain();
    assert!(fresh.is_closed_gently());
    assert!(used.is_closed_gently());
    wait_until_refused(server.address);
    gate.let_one_through();
    let reply = waiting.reply().expect("an answer");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(waiting.is_closed_gently());
    server.join();
}

#[test]
fn a_request_that_has_begun_to_come_is_answered() {
    let (mut server, _gate) = gated();
    let request = "PUT /chat HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}";
    // On a fresh connection, and on one that has had a request.
    for cut in [1, 10, 30, request.len() - 1] {
        let mut connections = Vec::new();
        for is_used in [false, true] {
            let mut connection = Connection::open(server.address);
            if is_used {
                let reply = connection.exchange(&get("/")).expect("an answer");
                assert_eq!(reply.status, 200);
            }
            connection.send(&request[..cut]);
            connections.push(connection);
        }
        server.shutdown.drain();
        wait_until_refused(server.address);
        for connection in &mut connections {
            connection.send(&request[cut..]);
            let reply = connection.reply().expect("an answer");
            assert_eq!(reply.status, 405, "{cut}");
            assert!(connection.is_closed(), "{cut}");
        }
        server.join();
        server = gated().0;
    }
}

#[test]
fn requests_that_have_come_are_answered_even_if_nobody_has_looked_at_them() {
    for _ in 0..10 {
        let mut server = Setup::new(Way::Tenant).start();
        let connections = (0..200).map(|_| {
            let mut connection = Connection::open(server.address);
            connection.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
            connection
        });
        let connections: Vec<_> = connections.collect();
        server.shutdown.drain();
        for mut connection in connections {
            assert_eq!(connection.reply().expect("an answer").status, 200);
            assert!(connection.is_closed());
        }
        server.join();
    }
}

#[test]
fn a_server_that_is_to_stop_at_once_cuts_off() {
    let (mut server, gate) = gated();
    let mut waiting = Connection::open(server.address);
    waiting.send_exchange(&session());
    gate.wait();
    server.shutdown.drain();
    server.shutdown.now();
    server.join();
    assert!(waiting.is_closed());
}

#[test]
fn draining_ends_with_its_bound() {
    let mut setup = Setup::new(Way::Tenant);
    setup.task.server.drain = Duration::from_millis(300);
    let mut state = setup.state();
    let gate = Gate::before(&mut state);
    let mut server = setup.start_with(state);
    let mut waiting = Connection::open(server.address);
    waiting.send_exchange(&session());
    gate.wait();
    server.shutdown.drain();
    server.join();
    assert!(waiting.is_closed());
}

#[test]
fn slow_clients_are_cut_off_while_the_server_drains() {
    let mut setup = Setup::new(Way::Tenant);
    setup.task.server.drain = LONG;
    setup.task.server.head_timeout = Duration::from_millis(300);
    let mut server = setup.start();
    let mut slow = Connection::open(server.address);
    slow.send("GET / HTTP/1.1\r\n");
    server.shutdown.drain();
    server.join();
    assert!(slow.is_closed());
}

/// A program with a request on its way: the head of a POST /session.
fn program_with_request() -> (Program, Connection) {
    let program = Program::serve(&["--drain", "1h", "--body-timeout", "1h"]);
    let mut connection = Connection::open(program.address);
    connection.send(
        "POST /session HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\nexpect: 100-continue\r\n\r\n",
    );
    // The permission to send the body says that the request is being served.
    let mut permission = [0; 25];
    std::io::Read::read_exact(&mut connection.stream(), &mut permission).expect("permission");
    (program, connection)
}

#[test]
fn a_signal_ends_the_program_after_its_open_requests() {
    for signal in ["TERM", "INT"] {
        let (program, mut connection) = program_with_request();
        let mut idle = Connection::open(program.address);
        assert_eq!(idle.exchange(&get("/")).expect("an answer").status, 200);
        program.signal(signal);
        assert!(idle.is_closed_gently());
        wait_until_refused(program.address);
        connection.send(r#"{"tenant_id":"acme"}"#);
        let reply = connection.reply().expect("an answer");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("connection"), Some("close"));
        let (status, stdout, log) = program.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {log}");
        assert_eq!(stdout, "");
        assert!(log.contains("stopping: open requests"), "{log}");
        assert!(log.contains("stopped"), "{log}");
    }
}

#[test]
fn a_second_signal_cuts_open_requests_off() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let (program, mut connection) = program_with_request();
        program.signal(first);
        wait_until_refused(program.address);
        program.signal(second);
        let (status, _, log) = program.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(connection.is_closed());
    }
}

#[test]
fn a_signal_counts_from_the_moment_that_the_address_is_known() {
    for _ in 0..20 {
        let program = Program::serve(&[]);
        program.signal("TERM");
        let (status, _, log) = program.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("stopped"), "{log}");
    }
}
