//! A guest that misbehaves while other tenants are served: over real sockets, on the same
//! threads.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use tenantry_conformance::Exchange;

use super::{assert_internal_error, digits, misbehaving, order};
use crate::support::client::{Connection, PATIENCE, ask, chat, open_session};

const MISBEHAVIOURS: [&str; 12] = [
    "loop",
    "loop-asking",
    "allocate",
    "recurse:10000000",
    "recurse-in-memory:10000",
    "unreachable",
    "out-of-bounds",
    "reply:17000000",
    "status:99",
    "location",
    "head-only",
    "tenant-list",
];

/// Chats of a tenant, one after the other, until it is told to stop; none may fail.
fn keep_chatting(address: SocketAddr, tenant: &str, stop: &AtomicBool, answered: &AtomicUsize) {
    let mut connection = Connection::open(address);
    let sessions = [(); 5].map(|()| open_session(address, tenant));
    for id in sessions.iter().cycle() {
        let reply = connection.exchange(&chat(tenant, id, "still here?"));
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 200, "{tenant}: {}", reply.text());
        assert!(reply.text().contains(id), "{tenant}: {}", reply.text());
        answered.fetch_add(1, Ordering::SeqCst);
        if stop.load(Ordering::SeqCst) {
            break;
        }
    }
    // None of its sessions was lost.
    for id in &sessions {
        assert_eq!(ask(address, &chat(tenant, id, "")).status, 200);
    }
}

/// Tells the others to stop, whatever becomes of this thread.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_misbehaving_guest_costs_other_tenants_no_request_and_no_session() {
    for threads in [1, 2] {
        let mut setup = misbehaving();
        setup.task.server.threads = threads;
        setup.task.sandbox.deadline = Duration::from_millis(100);
        // Fewer than there are scopes: they use each other's slots.
        setup.task.sandbox.max_per_thread = 3;
        let server = setup.start();
        let (address, stop) = (server.address, AtomicBool::new(false));
        let answered = [const { AtomicUsize::new(0) }; 2];
        std::thread::scope(|scope| {
            let _stop = Stop(&stop);
            for (tenant, answered) in ["globex", "initech"].iter().zip(&answered) {
                let stop = &stop;
                scope.spawn(move || keep_chatting(address, tenant, stop, answered));
            }
            let own = open_session(address, "acme");
            for what in MISBEHAVIOURS {
                let before = answered.each_ref().map(|n| n.load(Ordering::SeqCst));
                // All on one connection: an error is an answer like any other.
                let mut connection = Connection::open(address);
                for exchange in [order(Some("acme"), what), order(Some("acme"), what)] {
                    let reply = connection.exchange(&exchange).expect("an answer");
                    assert_internal_error(&reply);
                    let next = chat("acme", &own, "and now?");
                    let next = connection.exchange(&next).expect("an answer");
                    assert_eq!(next.status, 200, "{what}: {}", next.text());
                }
                // The others went on.
                let deadline = std::time::Instant::now() + PATIENCE;
                for (n, before) in answered.iter().zip(before) {
                    while n.load(Ordering::SeqCst) == before {
                        assert!(std::time::Instant::now() < deadline, "{what}: no answers");
                        std::thread::yield_now();
                    }
                }
            }
        });
    }
}

/// One worker thread, and a guest on it that never ends.
#[test]
fn a_guest_that_never_ends_does_not_keep_its_thread_from_others() {
    let mut setup = misbehaving();
    setup.task.server.threads = 1;
    setup.task.sandbox.deadline = Duration::from_secs(3600);
    setup.task.server.request_timeout = Duration::from_secs(3600);
    let server = setup.start();
    let globexs = open_session(server.address, "globex");
    let id = "b1946ac9-2492-4d23-8c6b-6f3d1d9f7a10";
    let mut hog = Connection::open(server.address);
    let what = format!("open-and-loop:{}", digits(id));
    hog.send_exchange(&order(Some("acme"), &what));
    // It runs once its session is open, which everybody can tell.
    let is_open = |n: &usize| {
        let reply = ask(server.address, &chat("globex", id, ""));
        assert!(*n < 10_000, "the guest never started");
        reply.status == 403
    };
    (0_usize..).find(is_open).expect("it is open at some time");
    for _ in 0..20 {
        let reply = ask(server.address, &chat("globex", &globexs, "meanwhile"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let own = ask(server.address, &chat("acme", id, "meanwhile"));
        assert_eq!(own.status, 200, "{}", own.text());
    }
    assert_unanswered(&hog);
}

/// The server's own bound on a request's time holds for such a guest, too.
#[test]
fn a_request_that_takes_too_long_is_given_up_and_so_is_its_guest() {
    let mut setup = misbehaving();
    setup.task.server.threads = 1;
    setup.task.sandbox.max_per_thread = 1;
    setup.task.sandbox.deadline = Duration::from_secs(3600);
    setup.task.server.request_timeout = Duration::from_millis(50);
    let server = setup.start();
    let reply = ask(server.address, &order(Some("acme"), "loop"));
    assert_eq!(reply.status, 503, "{}", reply.text());
    // The one sandbox is free again.
    let count = ask(server.address, &order(Some("acme"), "count"));
    assert_eq!((count.status, &*count.text()), (200, "1"));
}

/// Nothing has come, and the connection is open.
fn assert_unanswered(connection: &Connection) {
    let stream = connection.stream();
    stream.set_nonblocking(true).expect("a socket");
    let peeked = stream.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(peeked, Err(ErrorKind::WouldBlock));
}

/// A client behind a proxy may share a connection with clients of other tenants. An
/// answer must not take the next one for its body.
#[test]
fn a_guest_cannot_swallow_the_next_answer_on_its_connection() {
    let server = misbehaving().start();
    let globexs = open_session(server.address, "globex");
    let mut connection = Connection::open(server.address);
    let pipelined: [Exchange; 2] = [
        order(Some("acme"), "head-only"),
        chat("globex", &globexs, "for globex alone"),
    ];
    for exchange in &pipelined {
        connection.send_exchange(exchange);
    }
    let first = connection.reply().expect("an answer");
    assert_internal_error(&first);
    let second = connection.reply().expect("an answer");
    assert!(
        second.text().contains("FOR GLOBEX ALONE"),
        "{}",
        second.text()
    );
}
