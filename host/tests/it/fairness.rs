//! Tenants share worker threads: one that floods the server keeps itself waiting.

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender, channel},
};

use tenantry::state::{Answer, Entry, SessionStore};
use tenantry_core::{
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
};

use crate::support::{
    client::{Connection, PATIENCE, chat},
    server::{Served, Setup, Way},
};

/// An id that nobody was given.
const NO_SESSION: &str = "00000000-0000-4000-8000-000000000000";

/// Whose thread stands still until the test lets it go on.
const STOPPED: &str = "initech";

/// Sessions that were never opened, by which the requests of [`STOPPED`] stop their thread:
/// not their task, as a store that waits would.
struct StoppingSessions {
    arrivals: Sender<()>,
    go_on: Mutex<Receiver<()>>,
    /// The tenants of the others, in the order in which they were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl SessionStore for StoppingSessions {
    fn open<'a>(&'a self, _: &'a Entry, _: SessionId) -> Answer<'a, Result<(), OpenError>> {
        Answer::Now(Err(OpenError::Full))
    }

    fn owner<'a>(
        &'a self,
        tenant: &'a Entry,
        _: SessionId,
    ) -> Answer<'a, Result<Owner, Unavailable>> {
        let id = tenant.packed.tenant().id;
        if id == STOPPED {
            let _ = self.arrivals.send(());
            let go_on = self.go_on.lock().expect("no panic");
            let _ = go_on.recv_timeout(PATIENCE);
        } else {
            self.asked.lock().expect("no panic").push(id.to_owned());
        }
        Answer::Now(Ok(Owner::Unknown))
    }
}

/// A server of one worker thread, which can be stopped.
struct Stoppable {
    server: Served,
    arrived: Receiver<()>,
    go_on: Sender<()>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stoppable {
    fn start(way: Way) -> Self {
        let mut setup = Setup::new(way);
        setup.task.server.threads = 1;
        let mut state = setup.state();
        let (arrivals, arrived) = channel();
        let (go_on, may_go_on) = channel();
        let asked = Arc::default();
        state.sessions = Box::new(StoppingSessions {
            arrivals,
            go_on: Mutex::new(may_go_on),
            asked: Arc::clone(&asked),
        });
        Self {
            server: setup.start_with(state),
            arrived,
            go_on,
            asked,
        }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.server.address)
    }

    /// Stops the thread that answers [`STOPPED`] a message of so many letters.
    fn stop(&self, letters: usize) -> Connection {
        let mut connection = self.connect();
        connection.send_exchange(&chat(STOPPED, NO_SESSION, &"x".repeat(letters)));
        self.arrived.recv_timeout(PATIENCE).expect("it arrives");
        connection
    }

    fn go_on(&self) {
        self.go_on.send(()).expect("it stands still");
    }
}

fn assert_answered(connection: &mut Connection) {
    let reply = connection.reply().expect("an answer");
    assert_eq!(reply.text(), r#"{"detail":"Unknown session_id"}"#);
}

#[test]
fn a_request_waits_for_a_share_of_another_tenants_and_not_for_all() {
    const FLOOD: usize = 200;
    for way in [Way::Tenant, Way::Native] {
        let server = Stoppable::start(way);
        let ask = |tenant: &str, connection: &mut Connection| {
            connection.send_exchange(&chat(tenant, NO_SESSION, "hello"));
        };
        let mut flood: Vec<_> = (0..FLOOD).map(|_| server.connect()).collect();
        let mut other = server.connect();
        // A connection is known by its last request.
        for connection in &mut flood {
            ask("acme", connection);
            assert_answered(connection);
        }
        ask("globex", &mut other);
        assert_answered(&mut other);
        server.asked.lock().expect("no panic").clear();

        // What comes while the thread stands still is all there when it goes on.
        let mut stopped = server.stop(1);
        flood
            .iter_mut()
            .for_each(|connection| ask("acme", connection));
        ask("globex", &mut other);
        server.go_on();

        for connection in flood.iter_mut().chain([&mut other, &mut stopped]) {
            assert_answered(connection);
        }
        let asked = server.asked.lock().expect("no panic");
        assert_eq!(asked.len(), FLOOD + 1);
        let before = asked.iter().position(|tenant| tenant == "globex");
        let before = before.expect("it was answered");
        // The last to come. A share is of some short requests, on any machine.
        assert!(before < FLOOD / 2, "{before} of {FLOOD} came first");
    }
}

#[test]
fn what_keeps_a_large_request_busy_keeps_no_other_waiting() {
    for way in [Way::Tenant, Way::Native] {
        let server = Stoppable::start(way);
        let mut stopped = server.stop(100_000);
        let mut other = server.connect();
        other.send_exchange(&chat("globex", NO_SESSION, "hello"));
        assert_answered(&mut other);
        server.go_on();
        assert_answered(&mut stopped);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_thread_beside_a_worker_runs_when_no_other_wants_to() {
    const SCHED_IDLE: &str = "5";
    // Its answer says that the thread has begun.
    let server = Stoppable::start(Way::Native);
    let mut connection = server.stop(100_000);
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let policies = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        // What follows the name, which may hold anything: the state is the third field.
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let policy = fields.split(' ').nth(38)?.to_owned();
        name.starts_with("tenantry-aside").then_some(policy)
    });
    // Those of other tests may be about to begin.
    assert!(policies.into_iter().any(|policy| policy == SCHED_IDLE));
    server.go_on();
    assert_answered(&mut connection);
}
