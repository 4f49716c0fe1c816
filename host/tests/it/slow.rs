//! Clients and stores that are slow: each kind of wait has an end, and nobody else waits.

use std::{
    io::{ErrorKind, Read, Write},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use tenantry::server::Settings;
use tenantry_conformance::Exchange;

use crate::support::{
    client::{Connection, PATIENCE, ask, get},
    server::{Served, Setup, Way},
    stores::{Gate, SilentDirectory},
};

const SHORT: Duration = Duration::from_millis(300);
const NEVER: Duration = Duration::from_secs(3600);

/// A server in which only what `set` says ever times out.
fn patient(set: impl FnOnce(&mut Settings)) -> Setup {
    patient_in(Way::Tenant, set)
}

fn patient_in(way: Way, set: impl FnOnce(&mut Settings)) -> Setup {
    let mut setup = Setup::new(way);
    let settings = &mut setup.task.server;
    settings.head_timeout = NEVER;
    settings.body_timeout = NEVER;
    settings.request_timeout = NEVER;
    settings.write_timeout = NEVER;
    settings.idle_timeout = NEVER;
    set(settings);
    setup
}

fn session() -> Exchange {
    Exchange::post("/session", r#"{"tenant_id":"acme"}"#)
}

#[track_caller]
fn assert_serves(server: &Served) {
    let reply = ask(server.address, &session());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Sends `start`, and then `drops` one by one until the server has had enough. What it
/// answered.
#[track_caller]
fn drip(server: &Served, start: &str, drops: impl Iterator<Item = u8>) -> String {
    let connection = Connection::open(server.address);
    let mut stream = connection.stream();
    let pause = Duration::from_millis(10);
    stream.set_read_timeout(Some(pause)).expect("a socket");
    stream.write_all(start.as_bytes()).expect("a server");
    let begin = Instant::now();
    let mut answer = Vec::new();
    for byte in drops {
        assert!(begin.elapsed() < PATIENCE, "the server is too patient");
        let mut bytes = [0; 1000];
        match stream.read(&mut bytes) {
            Ok(0) => return String::from_utf8(answer).expect("UTF-8"),
            Ok(read) => answer.extend(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = stream.write(&[byte]);
            }
            Err(_) => return String::from_utf8(answer).expect("UTF-8"),
        }
    }
    panic!("the server took everything");
}

fn endless(text: &'static str) -> impl Iterator<Item = u8> {
    text.bytes().cycle()
}

#[test]
fn a_silent_connection_is_closed() {
    let server = patient(|settings| settings.idle_timeout = SHORT).start();
    let mut fresh = Connection::open(server.address);
    let mut used = Connection::open(server.address);
    assert_eq!(used.exchange(&get("/")).expect("an answer").status, 200);
    let mut after_a_body = Connection::open(server.address);
    let unread = Exchange::post("/nothing", vec![b'x'; 1 << 20]);
    let reply = after_a_body.exchange(&unread).expect("an answer");
    assert_eq!(reply.status, 404);
    for connection in [&mut fresh, &mut used, &mut after_a_body] {
        assert!(connection.is_closed());
    }
    assert_serves(&server);
}

#[test]
fn a_connection_in_use_is_not_silent() {
    let server = patient(|settings| settings.idle_timeout = Duration::from_secs(3)).start();
    let mut connection = Connection::open(server.address);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        assert_eq!(
            connection.exchange(&get("/")).expect("an answer").status,
            200
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_head_that_drips_is_cut_off() {
    let server = patient(|settings| settings.head_timeout = SHORT).start();
    for start in [
        "G",
        "GET /",
        "GET / HTTP/1.1\r\na: ",
        "GET / HTTP/1.1\r\na: b\r\n",
    ] {
        assert_eq!(drip(&server, start, endless("x")), "", "{start:?}");
    }
    assert_eq!(
        drip(&server, "GET / HTTP/1.1\r\n", endless("a:b\r\n")),
        "",
        "whole headers"
    );
    assert_eq!(drip(&server, "\r\n", endless("\r\n")), "", "blank lines");
    assert_serves(&server);
}

#[test]
fn a_head_that_stops_is_cut_off() {
    let server = patient(|settings| settings.head_timeout = SHORT).start();
    let mut connection = Connection::open(server.address);
    // A request before it makes no difference.
    let reply = connection.exchange(&get("/")).expect("an answer");
    assert_eq!(reply.status, 200);
    connection.send("GET / HTTP/1.1\r\nhost:");
    assert!(connection.is_closed());
}

#[test]
fn the_time_for_a_head_does_not_run_between_requests() {
    let server = patient(|settings| settings.head_timeout = SHORT).start();
    let mut fresh = Connection::open(server.address);
    let mut used = Connection::open(server.address);
    let reply = used.exchange(&get("/")).expect("an answer");
    assert_eq!(reply.status, 200);
    // The body comes after the answer and is no head either.
    let mut after_a_body = Connection::open(server.address);
    after_a_body.send("POST /nothing HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\n");
    let reply = after_a_body.reply().expect("an answer");
    assert_eq!(reply.status, 404);
    after_a_body.send("xyz");
    thread::sleep(SHORT * 3);
    for connection in [&mut fresh, &mut used, &mut after_a_body] {
        let reply = connection.exchange(&get("/")).expect("an answer");
        assert_eq!(reply.status, 200);
    }
}

#[test]
fn a_body_that_drips_is_answered_with_408() {
    let server = patient(|settings| settings.body_timeout = SHORT).start();
    for (framing, drops) in [
        ("content-length: 1000000\r\n\r\n", "x"),
        ("transfer-encoding: chunked\r\n\r\nfffff\r\n", "x"),
        ("transfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
    ] {
        let start = format!("POST /session HTTP/1.1\r\nhost: h\r\n{framing}");
        let answer = drip(&server, &start, endless(drops));
        assert!(
            answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{answer}"
        );
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(
            answer.ends_with(r#"{"detail":"Request body too slow"}"#),
            "{answer}"
        );
    }
    assert_serves(&server);
}

#[test]
fn a_body_that_never_comes_is_answered_with_408() {
    let server = patient(|settings| settings.body_timeout = SHORT).start();
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut connection = Connection::open(server.address);
        connection.send(format!(
            "POST /session HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n{expect}\r\n"
        ));
        let reply = connection.reply().expect("an answer");
        assert_eq!((reply.status, reply.continued), (408, !expect.is_empty()));
        assert!(connection.is_closed());
    }
}

#[test]
fn a_body_that_nobody_wants_is_not_waited_for() {
    let server = patient(|_| {}).start();
    let start = "POST /nothing HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\n";
    let answer = drip(&server, start, endless("x"));
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let server = patient(|settings| {
        settings.write_timeout = SHORT;
        settings.max_connections = 1;
    })
    .start();
    let mut connection = Connection::open(server.address);
    // More than the system's buffers hold.
    connection.send("GET /redoc/redoc.standalone.js HTTP/1.1\r\nhost: h\r\n\r\n".repeat(200));
    // The one connection that may be open is free again.
    assert_serves(&server);
    let answers = connection.rest().expect("the end");
    let one = ask(server.address, &get("/redoc/redoc.standalone.js"));
    assert!(answers.len() < 200 * one.body.len());
}

#[test]
fn a_client_that_takes_its_answer_in_drops_is_not_cut_off() {
    let server = patient(|settings| settings.write_timeout = Duration::from_secs(3)).start();
    let mut connection = Connection::open(server.address);
    let request = "GET /redoc/redoc.standalone.js HTTP/1.1\r\nhost: h\r\n\r\n";
    connection.send(request.repeat(12));
    // All of it takes longer than the timeout.
    let pause = Duration::from_millis(400);
    for _ in 0..12 {
        thread::sleep(pause);
        let reply = connection.reply().expect("an answer");
        assert_eq!(reply.status, 200);
    }
}

#[test]
fn a_store_that_does_not_answer_costs_a_503() {
    for way in Way::ALL {
        let setup = patient_in(way, |settings| settings.request_timeout = SHORT);
        let mut state = setup.state();
        let gate = Gate::before(&mut state);
        let server = setup.start_with(state);
        let mut connection = Connection::open(server.address);
        for _ in 0..3 {
            let reply = connection.exchange(&session()).expect("an answer");
            gate.wait();
            assert_eq!(reply.status, 503, "{way:?}");
            assert_eq!(reply.header("connection"), None);
            // What needs no store is served on the same connection.
            let reply = connection.exchange(&get("/")).expect("an answer");
            assert_eq!(reply.status, 200);
        }
        // The store is well again.
        gate.let_one_through();
        let reply = connection.exchange(&session()).expect("an answer");
        assert_eq!(reply.status, 200, "{way:?}: {}", reply.text());
    }
}

#[test]
fn a_directory_that_does_not_answer_costs_a_503() {
    for way in Way::ALL {
        let setup = patient_in(way, |settings| settings.request_timeout = SHORT);
        let mut state = setup.state();
        state.tenants = Box::new(SilentDirectory);
        let server = setup.start_with(state);
        let mut connection = Connection::open(server.address);
        for request in [session(), get("/")] {
            let reply = connection.exchange(&request).expect("an answer");
            assert_eq!(reply.status, 503, "{way:?} {}", request.target);
        }
        let head = Exchange {
            method: "HEAD".to_owned(),
            ..get("/")
        };
        assert_eq!(connection.exchange(&head).expect("an answer").status, 503);
        let reply = connection.exchange(&get("/docs")).expect("an answer");
        assert_eq!(reply.status, 200);
    }
}

#[test]
fn other_connections_of_the_thread_are_served_while_one_waits() {
    let setup = patient(|settings| settings.threads = 1);
    let mut state = setup.state();
    let gate = Gate::before(&mut state);
    let server = setup.start_with(state);
    let address = server.address;
    let (answered, answers) = channel();
    let waiting = thread::spawn(move || {
        let reply = ask(address, &session());
        let _ = answered.send(());
        reply.status
    });
    gate.wait();
    let mut half = Connection::open(address);
    half.send("POST /session HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n\r\n{");
    let mut begun = Connection::open(address);
    begun.send("GET / HT");
    let mut deaf = Connection::open(address);
    deaf.send("GET /redoc/redoc.standalone.js HTTP/1.1\r\nhost: h\r\n\r\n".repeat(50));
    for _ in 0..10 {
        assert_eq!(ask(address, &get("/")).status, 200);
    }
    assert!(answers.try_recv().is_err(), "the gate is shut");
    gate.let_one_through();
    assert_eq!(waiting.join().expect("an answer"), 200);
    begun.send("TP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(begun.reply().expect("an answer").status, 200);
    half.send(r#""tenant_id":"acme"}"#);
    gate.let_one_through();
    assert_eq!(half.reply().expect("an answer").status, 200);
}
