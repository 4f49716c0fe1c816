//! Memory for bodies, heads and answers of all connections together: what a crowd of strangers
//! holds is bounded, and others are served meanwhile.

use std::{
    io::{ErrorKind, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tenantry::{metrics::Exporter, state::State};
use tenantry_conformance::Exchange;

use crate::support::{
    client::{Connection, PATIENCE, ask, chat, get, message, open_session, session_id},
    later::{Gate, sessions_later},
    program::Program,
    server::{Served, Setup, Way},
};

const MIB: usize = 1 << 20;

/// A metric of a server.
fn metric(state: &Arc<State>, name: &str) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let text = runtime.block_on(Exporter::new(Arc::clone(state)).render());
    let text = text.expect("numbers");
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.expect(name).parse().expect("a number")
}

fn held(server: &Served) -> u64 {
    metric(&server.state, "tenantry_buffered_bytes")
}

fn evicted(server: &Served) -> u64 {
    metric(&server.state, "tenantry_connections_evicted_total")
}

/// Waits until that is so.
#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn serve(max_buffered: usize) -> Served {
    let mut setup = Setup::new(Way::Native);
    setup.task.server.max_buffered = max_buffered;
    setup.start()
}

/// A valid POST /session of a mebibyte.
fn large() -> Vec<u8> {
    let start = r#"{"tenant_id":"acme","filler":""#;
    let body = format!("{start}{}\"}}", "x".repeat(MIB - start.len() - 2));
    message(&Exchange::post("/session", body))
}

/// The most that was held while `act` ran, and what that returned.
fn peak<T>(server: &Served, act: impl FnOnce() -> T) -> (u64, T) {
    let (is_over, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                peak.fetch_max(held(server), Ordering::SeqCst);
                thread::sleep(Duration::from_millis(2));
            }
        });
        let done = act();
        is_over.store(true, Ordering::SeqCst);
        done
    });
    (peak.into_inner(), done)
}

#[test]
fn bodies_that_stall_hold_no_more_than_they_may_and_keep_nobody_waiting() {
    let server = serve(8 * MIB);
    let session = open_session(server.address, "acme");
    let large = large();
    let (all_but_one, last) = large.split_at(large.len() - 1);
    let (peak, mut stalled) = peak(&server, || {
        let mut stalled = Vec::new();
        for _ in 0..64 {
            let mut connection = Connection::open(server.address);
            connection.send(all_but_one);
            stalled.push(connection);
            // One that sends all of it is answered, and so is a short one.
            let chat = chat("acme", &session, "hi");
            assert_eq!(ask(server.address, &chat).status, 200);
        }
        let mut whole = Connection::open(server.address);
        whole.send(&large);
        session_id(&whole.reply().expect("an answer"));
        stalled
    });
    assert!(peak > MIB as u64, "bodies are counted: {peak}");
    assert!(peak <= 9 * MIB as u64, "{peak} bytes were held");
    assert!(evicted(&server) >= 50, "{}", evicted(&server));
    // Those that have stalled for longest had to go, and hear of it.
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    for (n, connection) in stalled.iter_mut().enumerate() {
        let stream = connection.stream();
        let moment = Duration::from_millis(200);
        stream.set_read_timeout(Some(moment)).expect("a socket");
        let Ok(reply) = connection.reply() else {
            left.push(n);
            continue;
        };
        assert_eq!(reply.status, 408);
        assert_eq!(reply.text(), r#"{"detail":"Request body too slow"}"#);
        assert_eq!(reply.header("connection"), Some("close"));
        gone.push(n);
    }
    let mean = |of: &[usize]| of.iter().sum::<usize>() / of.len();
    assert!(gone.len() >= 40 && left.len() >= 2, "{gone:?} {left:?}");
    assert!(mean(&gone) + 10 < mean(&left), "{gone:?} {left:?}");
    // The others may go on.
    let mut last_one = stalled.remove(left.pop().expect("two are left"));
    let stream = last_one.stream();
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    last_one.send(last);
    session_id(&last_one.reply().expect("an answer"));
    drop((stalled, last_one));
    wait_until("all of it is free again", || held(&server) == 0);
}

#[test]
fn bodies_in_chunks_without_a_length_are_bounded_as_well() {
    let server = serve(4 * MIB);
    let start = "POST /session HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000)).repeat(120);
    let (peak, stalled) = peak(&server, || {
        let open = || {
            let mut connection = Connection::open(server.address);
            connection.send(format!("{start}{chunk}"));
            connection
        };
        let stalled = (0..32).map(|_| open()).collect::<Vec<_>>();
        wait_until("some had to go", || evicted(&server) >= 20);
        stalled
    });
    assert!(peak > MIB as u64 && peak <= 5 * MIB as u64, "{peak}");
    drop(stalled);
    wait_until("all of it is free again", || held(&server) == 0);
}

#[test]
fn a_length_that_is_announced_holds_nothing() {
    let server = serve(4 * MIB);
    let mut connections = Vec::new();
    for _ in 0..50 {
        let mut connection = Connection::open(server.address);
        connection.send("POST /session HTTP/1.1\r\nhost: h\r\ncontent-length: 1048576\r\n\r\n{");
        connection.send("\"");
        connections.push(connection);
    }
    let session = open_session(server.address, "acme");
    let chat = chat("acme", &session, "hi");
    assert_eq!(ask(server.address, &chat).status, 200);
    assert_eq!(evicted(&server), 0);
    assert!(held(&server) <= 2 * MIB as u64);
}

#[test]
fn heads_that_stall_are_bounded_as_well() {
    let server = serve(2 * MIB);
    let head = format!("GET / HTTP/1.1\r\nhost: h\r\na: {}", "x".repeat(60 << 10));
    let (peak, mut stalled) = peak(&server, || {
        let open = || {
            let mut connection = Connection::open(server.address);
            connection.send(&head);
            connection
        };
        let stalled = (0..200).map(|_| open()).collect::<Vec<_>>();
        wait_until("some had to go", || evicted(&server) >= 100);
        stalled
    });
    // Nobody waits for room for a head.
    assert!(peak > MIB as u64 && peak <= 6 * MIB as u64, "{peak}");
    assert!(stalled.remove(0).is_closed());
    assert_eq!(ask(server.address, &get("/")).status, 200);
    for connection in &stalled {
        connection.stream().set_nonblocking(true).expect("a socket");
    }
    // Those that have room wait on.
    let left = stalled.iter().filter(|connection| {
        connection.stream().peek(&mut [0]).is_err_and(|error| {
            // Nothing came, and not its end.
            error.kind() == ErrorKind::WouldBlock
        })
    });
    let left = left.count();
    assert!((4..=100).contains(&left), "{left} are left");
}

#[test]
fn answers_that_nobody_takes_are_bounded_and_so_are_the_buffers_that_they_leave() {
    let server = serve(16 * MIB);
    let session = open_session(server.address, "globex");
    // In capitals, two bytes become six.
    let request = message(&chat("globex", &session, &"\u{390}".repeat(500_000)));
    let (peak, connections) = peak(&server, || {
        let ask = || {
            let mut connection = Connection::open(server.address);
            connection.send(&request);
            connection
        };
        let connections: Vec<_> = (0..24).map(|_| ask()).collect();
        wait_until("most had to go", || evicted(&server) >= 16);
        connections
    });
    // Answers can't wait: each that is under way may come on top.
    assert!(peak <= 28 * MIB as u64, "{peak}");
    assert_eq!(ask(server.address, &get("/")).status, 200);
    drop(connections);
    wait_until("all of it is free again", || held(&server) == 0);

    // What was taken leaves a buffer, for as long as its connection waits for more.
    let server = serve(16 * MIB);
    let session = open_session(server.address, "globex");
    let request = chat("globex", &session, &"\u{390}".repeat(500_000));
    let mut idle = Vec::new();
    for _ in 0..12 {
        let mut connection = Connection::open(server.address);
        let reply = connection.exchange(&request).expect("an answer");
        assert_eq!(reply.status, 200);
        idle.push(connection);
    }
    wait_until("what is kept fits", || held(&server) <= 16 * MIB as u64);
    assert!(evicted(&server) >= 6, "{}", evicted(&server));
    assert!(idle.remove(0).is_closed());
    let reply = idle.pop().expect("some").exchange(&get("/"));
    assert_eq!(reply.expect("an answer").status, 200);
}

#[test]
fn without_room_in_time_a_body_is_refused_and_what_is_being_answered_is_left_alone() {
    let mut setup = Setup::new(Way::Native);
    setup.task.server.max_buffered = 2 * MIB + MIB / 2;
    let gate = Gate::shut();
    let state = sessions_later(setup.state(), &gate.pause());
    let server = setup.start_with(state);
    let large = large();
    let busy: Vec<_> = (0..2)
        .map(|n| {
            let mut connection = Connection::open(server.address);
            connection.send(&large);
            wait_until("its session is asked for", || gate.arrived() > n);
            connection
        })
        .collect();
    let mut third = Connection::open(server.address);
    third.send(&large);
    let reply = third.reply().expect("an answer");
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(evicted(&server), 0);
    // It waits where there is room soon.
    let mut fourth = Connection::open(server.address);
    fourth.send(&large);
    gate.open();
    session_id(&fourth.reply().expect("an answer"));
    for mut connection in busy {
        session_id(&connection.reply().expect("an answer"));
    }
    drop((third, fourth));
    wait_until("all of it is free again", || held(&server) == 0);
}

#[test]
fn the_largest_body_fits_into_the_least_budget() {
    let server = serve(MIB);
    let mut connection = Connection::open(server.address);
    for _ in 0..3 {
        connection.send(large());
        session_id(&connection.reply().expect("an answer"));
    }
    assert_eq!(evicted(&server), 0);
}

#[test]
fn a_body_whose_client_has_gone_counts_for_as_long_as_it_is_kept() {
    let mut setup = Setup::new(Way::Native);
    setup.task.server.threads = 1;
    setup.task.server.max_buffered = 4 * MIB;
    let gate = Gate::shut();
    let state = sessions_later(setup.state(), &gate.pause());
    let server = setup.start_with(state);
    let mut connection = Connection::open(server.address);
    connection.send(large());
    wait_until("its session is asked for", || gate.arrived() == 1);
    assert!(held(&server) >= MIB as u64);
    drop(connection);
    // Others are served meanwhile, and the body is still there.
    assert_eq!(ask(server.address, &get("/")).status, 200);
    assert!(held(&server) >= MIB as u64);
    gate.open();
    wait_until("all of it is free again", || held(&server) == 0);
}

/// Memory of a process that is in RAM.
fn resident(program: &Program) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id()));
    let status = status.expect("a Linux system");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("a size") << 10
}

#[test]
fn the_memory_of_a_server_that_many_stall_is_bounded() {
    let args = ["--max-buffered=8MiB", "--threads=2", "--log-filter=warn"];
    let program = Program::serve(&args);
    let session = open_session(program.address, "acme");
    let before = resident(&program);
    let large = large();
    let mut stalled = Vec::new();
    for _ in 0..200 {
        let connection = Connection::open(program.address);
        let mut stream = connection.stream();
        let timeout = stream.set_write_timeout(Some(PATIENCE));
        timeout.expect("a socket");
        let _ = stream.write_all(&large[..large.len() - 1]);
        stalled.push(connection);
    }
    let reply = ask(program.address, &chat("acme", &session, "hi"));
    assert_eq!(reply.status, 200);
    let more = resident(&program).saturating_sub(before);
    assert!(more < 64 * MIB, "{more} bytes more");
    program.wait_for_log("(--max-buffered)", 1);
}
