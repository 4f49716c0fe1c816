//! Clients without a token: they keep no probe waiting, and nobody who has one.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tenantry::admin::Settings;

use crate::support::{
    admin::{Administered, authorized, problem, put, request, token_file, with_body},
    client::{Connection, ask, get, message},
    program::Program,
    server::Way,
};

/// What a probe may take on a busy machine. The timeout of silent clients is 30 s.
const SOON: Duration = Duration::from_secs(10);

const ROW: &str = r#"{"name":"n","welcome":"w"}"#;

fn serve() -> Program {
    let token = token_file().to_str().expect("UTF-8");
    let server = Program::serve(&[
        "--engine=native",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        token,
    ]);
    server.wait_until_ready();
    server
}

fn probes_answer(admin: SocketAddr) {
    for path in ["/healthz", "/readyz", "/metrics"] {
        let start = Instant::now();
        assert_eq!(ask(admin, &get(path)).status, 200, "{path}");
        let took = start.elapsed();
        assert!(took < SOON, "{path} took {took:?}");
    }
}

/// Clients that send a head a byte at a time, and come again when they are cut off.
struct Dripping {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dripping {
    fn start(admin: SocketAddr, clients: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let open = |_| Connection::open(admin);
                let mut connections: Vec<_> = (0..clients).map(open).collect();
                for byte in b"GET /healthz HT" {
                    for connection in &mut connections {
                        connection.send([*byte]);
                    }
                    thread::sleep(Duration::from_millis(20));
                }
            }
        });
        Self {
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Dripping {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn silent_dripping_and_deaf_clients_keep_no_probe_waiting() {
    let server = serve();
    let admin = server.admin_address();
    let mut silent: Vec<_> = (0..200).map(|_| Connection::open(admin)).collect();
    probes_answer(admin);
    // The first of them made room.
    assert!(silent[0].is_closed());

    let dripping = Dripping::start(admin, 150);
    for _ in 0..5 {
        probes_answer(admin);
        thread::sleep(Duration::from_millis(50));
    }
    drop(dripping);

    // These ask, and take no answer.
    let deaf = |_| {
        let mut connection = Connection::open(admin);
        for _ in 0..10 {
            connection.send(message(&get("/metrics")));
        }
        connection
    };
    let deaf: Vec<_> = (0..140).map(deaf).collect();
    probes_answer(admin);
    let tenants = ask(admin, &authorized(get("/tenants")));
    assert_eq!(tenants.status, 200);
    drop((silent, deaf));
}

#[test]
fn a_request_with_a_token_is_not_cut_off_for_strangers() {
    let server = Administered::start();
    let bytes = message(&authorized(put("acme", ROW)));
    let (first, last) = bytes.split_at(bytes.len() - 1);
    let mut slow = Connection::open(server.admin);
    slow.send(first);
    // It is in the server's hands once another one is answered behind it.
    assert_eq!(ask(server.admin, &get("/")).status, 401);
    let strangers: Vec<_> = (0..300).map(|_| Connection::open(server.admin)).collect();
    assert_eq!(ask(server.admin, &get("/")).status, 401);
    slow.send(last);
    assert_eq!(slow.reply().expect("an answer").status, 200);
    drop(strangers);
}

#[test]
fn requests_with_a_token_leave_room_for_others() {
    let settings = Settings {
        max_connections: 4,
        max_requests: 2,
        ..Settings::default()
    };
    let server = Administered::with(Way::Native, settings, |_| {});
    let bytes = message(&authorized(put("acme", ROW)));
    let (first, last) = bytes.split_at(bytes.len() - 1);
    let mut slow = [(); 2].map(|()| {
        let mut slow = Connection::open(server.admin);
        slow.send(first);
        assert_eq!(ask(server.admin, &get("/")).status, 401);
        slow
    });
    let refused = server.ask(&get("/tenants"));
    assert_eq!(problem(&refused), (503, "too-busy".into()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    for _ in 0..20 {
        assert_eq!(ask(server.admin, &get("/")).status, 401);
    }
    for slow in &mut slow {
        slow.send(last);
        assert_eq!(slow.reply().expect("an answer").status, 200);
    }
    assert_eq!(server.ask(&get("/tenants")).status, 200);
}

#[test]
fn a_body_without_a_token_is_not_waited_for() {
    let server = Administered::start();
    let body = "x".repeat(1000);
    let exchange = with_body(request("PUT", "/tenants/acme"), "application/json", &body);
    let bytes = message(&exchange);
    let start = Instant::now();
    let mut slow = Connection::open(server.admin);
    slow.send(&bytes[..bytes.len() - 900]);
    assert_eq!(slow.reply().expect("an answer").status, 401);
    assert!(slow.is_closed());
    let took = start.elapsed();
    assert!(took < SOON, "it took {took:?}");
}

#[test]
fn a_body_of_more_bytes_than_can_be_counted_is_too_large() {
    let server = Administered::start();
    let refused = |length: &str| {
        let mut connection = Connection::open(server.admin);
        connection.send(format!(
            "PUT /tenants/acme HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n"
        ));
        let reply = connection.reply().expect("an answer");
        assert!(connection.is_closed());
        reply
    };
    for length in [
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        let reply = refused(length);
        assert_eq!(problem(&reply), (413, "body-too-large".into()), "{length}");
    }
    // What is no length stays malformed.
    assert_eq!(refused("-1").status, 400);
    assert_eq!(refused("1e3").status, 400);
    // On a connection that has had another request, too.
    let mut connection = Connection::open(server.admin);
    let first = connection.exchange(&authorized(get("/tenants")));
    assert_eq!(first.expect("an answer").status, 200);
    connection.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551615\r\n\r\n");
    assert_eq!(connection.reply().expect("an answer").status, 413);
}
