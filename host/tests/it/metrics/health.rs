//! Alive and ready, and that nobody needs a token to ask.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tenantry::{
    metrics::Probe,
    state::{Pending, State, StoreError},
};
use tenantry_conformance::Exchange;

use super::Watched;
use crate::support::{
    client::{Connection, PATIENCE, ask, get},
    later::{Gate, sessions_later},
    server::{Setup, Way},
};

/// A store that is there, is not, or says nothing.
#[derive(Default)]
struct Switch {
    is_away: AtomicBool,
    is_silent: AtomicBool,
}

impl Probe for Switch {
    fn name(&self) -> &'static str {
        "switch"
    }

    fn check(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if self.is_silent.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if self.is_away.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable("it is switched off".to_owned()));
            }
            Ok(())
        })
    }
}

/// A status, and what the body says.
fn asked(watched: &Watched, target: &str) -> (u16, Value) {
    let reply = ask(watched.admin, &get(target));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let body = serde_json::from_slice(&reply.body);
    (reply.status, body.expect("JSON"))
}

fn ready() -> (u16, Value) {
    (200, json!({ "ready": true }))
}

fn not_ready(what: &str, why: &str) -> (u16, Value) {
    let obstacles = json!([{ "what": what, "why": why }]);
    (503, json!({ "ready": false, "obstacles": obstacles }))
}

#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it never came to be");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_is_ready_while_its_stores_answer_and_says_which_does_not() {
    let switch = Arc::new(Switch::default());
    let setup = Setup::new(Way::Native);
    let state = State {
        probes: vec![Arc::clone(&switch) as _],
        ..setup.state()
    };
    let watched = Watched::new(setup.start_with(state));
    wait_until(|| asked(&watched, "/readyz") == ready());
    assert_eq!(watched.scrape().value("ready"), 1.0);

    switch.is_away.store(true, Ordering::SeqCst);
    let why = "the store is out of reach: it is switched off";
    assert_eq!(asked(&watched, "/readyz"), not_ready("switch", why));
    assert_eq!(asked(&watched, "/healthz"), (200, json!({ "alive": true })));
    assert_eq!(watched.scrape().value("ready"), 0.0);
    switch.is_away.store(false, Ordering::SeqCst);
    assert_eq!(asked(&watched, "/readyz"), ready());

    switch.is_silent.store(true, Ordering::SeqCst);
    let why = "no answer within 1s";
    assert_eq!(asked(&watched, "/readyz"), not_ready("switch", why));
    assert_eq!(watched.scrape().value("ready"), 0.0);
    switch.is_silent.store(false, Ordering::SeqCst);
    assert_eq!(asked(&watched, "/readyz"), ready());
}

#[test]
fn a_server_that_drains_is_alive_and_not_ready() {
    let mut setup = Setup::new(Way::Native);
    setup.task.server.drain = Duration::from_secs(3600);
    let gate = Gate::shut();
    let state = sessions_later(setup.state(), &gate.pause());
    let watched = Watched::new(setup.start_with(state));
    wait_until(|| asked(&watched, "/readyz") == ready());
    let mut waiting = Connection::open(watched.served.address);
    waiting.send_exchange(&Exchange::post("/session", r#"{"tenant_id":"acme"}"#));
    wait_until(|| gate.arrived() == 1);
    watched.served.shutdown.drain();
    let draining = not_ready("server", "draining");
    wait_until(|| asked(&watched, "/readyz") == draining);
    assert_eq!(asked(&watched, "/healthz").0, 200);
    gate.open();
    assert_eq!(waiting.reply().expect("an answer").status, 200);
}

#[test]
fn a_server_that_was_not_started_is_not_ready() {
    let state = Setup::new(Way::Native).state();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let obstacles = tenantry::metrics::obstacles(&state);
    let obstacles = runtime.expect("a runtime").block_on(obstacles);
    let obstacles: Vec<_> = obstacles
        .iter()
        .map(|found| (found.what, &*found.why))
        .collect();
    assert_eq!(obstacles, [("server", "starting")]);
}

#[test]
fn what_changes_something_is_not_open_because_these_are() {
    let watched = Watched::new(Setup::new(Way::Native).start());
    for target in ["/tenants", "/usage", "/metrics/", "/nowhere"] {
        assert_eq!(ask(watched.admin, &get(target)).status, 401, "{target}");
    }
    let post = Exchange::post("/metrics", "{}");
    assert_eq!(ask(watched.admin, &post).status, 405);
    for target in ["/metrics", "/healthz", "/readyz"] {
        let served = ask(watched.served.address, &get(target));
        assert_eq!(served.status, 404, "{target}");
    }
}
