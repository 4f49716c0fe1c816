//! Usage: what is counted for whom, and that it reaches the store once, whatever that does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tenantry::{
    metrics::Exporter,
    state::{
        MemoryUsage, Pending, State, Step, StoreError, Usage, UsageBatch, UsageFlush, UsageQuery,
        UsageRow, UsageStore,
    },
};
use tenantry_conformance::Exchange;
use tokio::runtime::{Builder, Runtime};

use crate::support::{
    client::{Connection, PATIENCE, ask, chat, get, open_session},
    later::{Gate, later, sessions_later},
    server::{Served, Setup, Way},
};

const TENANTS: &str = r#"{"id":"acme","name":"A","welcome":"w","limits":{"chat_per_10s":3,"sessions":2}}
{"id":"globex","name":"G","welcome":"w"}
"#;

const MINUTE: Duration = Duration::from_secs(60);

thread_local! {
    static RUNTIME: Runtime = {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime")
    };
}

/// Runs a future to its end. All those of a test are on one runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn setup(way: Way) -> Setup {
    let mut setup = Setup::limited(way);
    setup.tenants = TENANTS.to_owned();
    setup
}

/// All that a store has, by minute and tenant.
fn kept(state: &State) -> BTreeMap<(u64, String), Usage> {
    let query = UsageQuery {
        tenant: None,
        from: 0,
        to: u64::MAX,
        step: Step::Minute,
        after: None,
        max: usize::MAX,
    };
    let rows = block_on(state.usage.query(query));
    let id = |key| {
        let mut ids = ["acme", "globex"].into_iter();
        let found = ids.find(|id| key_of(state, id) == key);
        found.expect("a tenant").to_owned()
    };
    let rows = rows.expect("the store answers").into_iter();
    rows.map(|row| ((row.minute, id(row.tenant)), row.usage))
        .collect()
}

fn key_of(state: &State, id: &str) -> u32 {
    let found = block_on(state.tenants.find(id).wait());
    found.expect("in reach").expect("a tenant").key
}

/// What a store has of one tenant.
fn used(state: &State, tenant: &str) -> Usage {
    let rows = kept(state).into_iter();
    let own = rows.filter(|((_, id), _)| id == tenant);
    own.fold(Usage::default(), |sum, (_, usage)| sum.plus(usage))
}

/// Stops a server, after which its usage is in its store.
fn stop(mut server: Served) -> Arc<State> {
    server.shutdown.drain();
    server.join();
    Arc::clone(&server.state)
}

fn open(tenant: &str) -> Exchange {
    Exchange::post("/session", format!(r#"{{"tenant_id":"{tenant}"}}"#))
}

fn head(target: &str) -> Exchange {
    Exchange {
        method: "HEAD".to_owned(),
        ..get(target)
    }
}

/// What a client has counted for itself.
#[derive(Default, Clone, Copy)]
struct Told(Usage);

impl Told {
    fn ask(&mut self, server: &Served, exchange: &Exchange, status: u16) -> String {
        let reply = ask(server.address, exchange);
        assert_eq!(reply.status, status, "{}", exchange.target);
        let is_chat = exchange.target == "/chat";
        let bytes_in = exchange.body.as_ref().map_or(0, Vec::len) as u64;
        let is_answered = (200..300).contains(&status);
        let more = Usage {
            chats: u64::from(status == 200 && is_chat),
            refused: u64::from(status == 429),
            sessions: u64::from(status == 200 && !is_chat),
            bytes_in: if is_answered { bytes_in } else { 0 },
            bytes_out: reply.body.len() as u64,
            busy_ns: 0,
            refused_bytes_in: if is_answered { 0 } else { bytes_in },
        };
        self.0 = self.0.plus(more);
        reply.text().to_string()
    }
}

#[track_caller]
fn assert_used(state: &State, tenant: &str, told: Told) {
    let used = used(state, tenant);
    let bytes_in = told.0.bytes_in + told.0.refused_bytes_in;
    assert_eq!(used.busy_ns > 0, bytes_in > 0, "{tenant}");
    let used = Usage { busy_ns: 0, ..used };
    assert_eq!(used, told.0, "{tenant}");
}

#[test]
fn every_kind_of_request_is_counted_for_its_tenant_and_none_for_anybody_else() {
    for way in Way::ALL {
        let server = setup(way).start();
        let (mut acme, mut globex) = (Told::default(), Told::default());
        let session = acme.ask(&server, &open("acme"), 200);
        let session = session.split('"').nth(3).expect("an id").to_owned();
        let theirs = globex.ask(&server, &open("globex"), 200);
        let theirs = theirs.split('"').nth(3).expect("an id").to_owned();
        acme.ask(&server, &open("acme"), 200);
        acme.ask(&server, &open("acme"), 429);
        for status in [200, 200, 200, 429, 429] {
            acme.ask(&server, &chat("acme", &session, "hi"), status);
        }
        acme.ask(&server, &chat("acme", &theirs, "hi"), 403);
        acme.ask(&server, &chat("acme", "no-session", "hi"), 404);
        globex.ask(&server, &chat("globex", &theirs, "grüße"), 200);
        // Large ones are answered on another thread.
        let long = "a".repeat(200 << 10);
        globex.ask(&server, &chat("globex", &theirs, &long), 200);
        // Nobody's.
        for (exchange, status) in [
            (get("/"), 200),
            (head("/"), 200),
            (get("/docs"), 200),
            (get("/nowhere"), 404),
            (get("/chat"), 405),
            (head("/chat"), 405),
            (chat("nobody", &session, "hi"), 404),
            (chat("nobody", &session, &long), 404),
            (Exchange::post("/chat", r#"{"tenant_id":"acme"}"#), 422),
            (Exchange::post("/chat", r#"{"tenant_id":"acme""#), 422),
        ] {
            assert_eq!(ask(server.address, &exchange).status, status);
        }
        let state = stop(server);
        assert_used(&state, "acme", acme);
        assert_used(&state, "globex", globex);
    }
}

#[test]
fn usage_is_in_the_store_a_second_later_and_in_the_minute_in_which_it_was() {
    let server = setup(Way::Native).start();
    let session = open_session(server.address, "globex");
    let chat = chat("globex", &session, "hi");
    server.clock.advance(2 * MINUTE);
    ask(server.address, &chat);
    wait_until(|| used(&server.state, "globex").chats == 1);
    server.clock.advance(MINUTE);
    ask(server.address, &chat);
    ask(server.address, &chat);
    let state = stop(server);
    let chats = kept(&state).into_iter();
    let chats = chats.map(|((minute, _), usage)| (minute, usage.chats));
    // The session was collected before or after the clock was moved.
    let chats: Vec<_> = chats.filter(|(_, chats)| *chats > 0).collect();
    assert_eq!(chats, [(2, 1), (3, 2)]);
}

#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it never came to be");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A store that sometimes takes nothing, and sometimes says nothing for a while.
#[derive(Default)]
struct Moody {
    store: MemoryUsage,
    /// It takes nothing.
    is_away: AtomicBool,
    /// It says nothing.
    is_silent: AtomicBool,
    asked: AtomicUsize,
    refused: AtomicUsize,
    most_rows: AtomicUsize,
    minutes: Mutex<Vec<u64>>,
}

impl UsageStore for Moody {
    fn add(&self, batch: UsageBatch) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.most_rows.fetch_max(batch.rows.len(), Ordering::SeqCst);
            while self.is_silent.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if self.is_away.load(Ordering::SeqCst) {
                self.refused.fetch_add(1, Ordering::SeqCst);
                return Err(StoreError::Unavailable("it is away".to_owned()));
            }
            let minutes = batch.rows.iter().map(|row| row.minute);
            self.minutes.lock().extend(minutes);
            self.store.add(batch).await
        })
    }

    fn query(&self, query: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        self.store.query(query)
    }
}

fn moody(setup: &Setup) -> (State, Arc<Moody>) {
    let store = Arc::new(Moody::default());
    let state = State {
        usage: Arc::clone(&store) as _,
        ..setup.state()
    };
    (state, store)
}

#[test]
fn a_store_that_fails_for_a_while_gets_all_of_it_once() {
    const THREADS: usize = 8;
    const EACH: usize = 300;
    for way in [Way::Tenant, Way::Native] {
        let mut setup = setup(way);
        setup.task.server.threads = 3;
        setup.task.rules.limits = false;
        let (state, store) = moody(&setup);
        store.is_away.store(true, Ordering::SeqCst);
        let server = setup.start_with(state);
        let told = thread::scope(|scope| {
            let clients: Vec<_> = (0..THREADS)
                .map(|n| {
                    let server = &server;
                    scope.spawn(move || {
                        let tenant = if n % 2 == 0 { "acme" } else { "globex" };
                        let mut told = Usage::default();
                        let session = open_session(server.address, tenant);
                        told.sessions += 1;
                        let mut connection = Connection::open(server.address);
                        for n in 0..EACH {
                            let chat = chat(tenant, &session, &"x".repeat(n % 50));
                            let reply = connection.exchange(&chat).expect("an answer");
                            assert_eq!(reply.status, 200);
                            told.chats += 1;
                        }
                        (tenant, told)
                    })
                })
                .collect();
            // While they chat, the store fails, falls silent, and fails again.
            wait_until(|| store.refused.load(Ordering::SeqCst) >= 2);
            store.is_silent.store(true, Ordering::SeqCst);
            server.clock.advance(MINUTE);
            let told: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
            told
        });
        assert!(used(&server.state, "acme") == Usage::default());
        store.is_silent.store(false, Ordering::SeqCst);
        wait_until(|| store.refused.load(Ordering::SeqCst) >= 3);
        store.is_away.store(false, Ordering::SeqCst);
        let state = stop(server);
        for tenant in ["acme", "globex"] {
            let told = told.iter().map(|told| *told.as_ref().expect("no panic"));
            let own = told.filter(|(id, _)| *id == tenant);
            let sum = own.fold(Usage::default(), |sum, (_, told)| sum.plus(told));
            let used = used(&state, tenant);
            assert_eq!((used.chats, used.sessions), (sum.chats, sum.sessions));
            assert_eq!(used.refused, 0);
        }
        let text = block_on(Exporter::new(state).render());
        let text = text.expect("metrics");
        assert!(
            text.contains("\ntenantry_usage_rows_lost_total 0\n"),
            "{text}"
        );
        assert!(text.contains("\ntenantry_usage_rows_waiting 0\n"), "{text}");
    }
}

/// Counts for a tenant in each of so many minutes, without a server.
fn count_for_minutes(setup: &Setup, state: &State, flush: &mut UsageFlush<'_>, minutes: u64) {
    block_on(async {
        let tenant = state.tenants.find("globex").wait().await;
        let tenant = tenant.expect("in reach").expect("a tenant");
        for _ in 0..minutes {
            let usage = Usage {
                chats: 1,
                ..Usage::default()
            };
            state.meters.add(&tenant, usage);
            // The first tick of a run comes at once.
            let one = tokio::time::timeout(Duration::from_millis(10), flush.run());
            one.await.expect_err("it runs for ever");
            setup.clock.advance(MINUTE);
        }
    });
}

#[test]
fn what_waits_for_a_store_is_bounded_and_hours_and_days_stay_right() {
    let setup = setup(Way::Native);
    let (state, store) = moody(&setup);
    store.is_away.store(true, Ordering::SeqCst);
    let mut flush = UsageFlush::new(&state).with_max_waiting(10);
    count_for_minutes(&setup, &state, &mut flush, 130);
    assert!(store.most_rows.load(Ordering::SeqCst) <= 11);
    store.is_away.store(false, Ordering::SeqCst);
    block_on(flush.finish(PATIENCE));
    let rows = kept(&state);
    let by_hour = |hour| {
        let rows = rows.iter().filter(|((minute, _), _)| minute / 60 == hour);
        rows.map(|(_, usage)| usage.chats).sum::<u64>()
    };
    assert_eq!([0, 1, 2].map(by_hour), [60, 60, 10]);
    assert!(rows.len() < 20, "{rows:?}");
}

#[test]
fn what_no_store_takes_is_given_up_in_the_end_and_that_is_said() {
    for is_silent in [false, true] {
        let setup = setup(Way::Native);
        let (state, store) = moody(&setup);
        store.is_away.store(true, Ordering::SeqCst);
        store.is_silent.store(is_silent, Ordering::SeqCst);
        let mut flush = UsageFlush::new(&state);
        count_for_minutes(&setup, &state, &mut flush, 3);
        block_on(flush.finish(Duration::from_millis(300)));
        let text = block_on(Exporter::new(Arc::new(state)).render());
        let text = text.expect("metrics");
        assert!(
            text.contains("\ntenantry_usage_rows_lost_total 3\n"),
            "{text}"
        );
    }
}

#[test]
fn where_even_days_do_not_fit_the_oldest_are_given_up() {
    let setup = setup(Way::Native);
    let (state, store) = moody(&setup);
    store.is_away.store(true, Ordering::SeqCst);
    let mut flush = UsageFlush::new(&state).with_max_waiting(0);
    count_for_minutes(&setup, &state, &mut flush, 2);
    store.is_away.store(false, Ordering::SeqCst);
    block_on(flush.finish(PATIENCE));
    assert!(kept(&state).is_empty());
    let text = block_on(Exporter::new(Arc::new(state)).render());
    let text = text.expect("metrics");
    assert!(
        text.contains("\ntenantry_usage_rows_lost_total 2\n"),
        "{text}"
    );
}

#[test]
fn a_request_that_is_given_up_is_counted_as_far_as_it_came() {
    thread::scope(|scope| {
        for way in Way::ALL {
            // A large one is read by a thread that gives way to others: it may take a while
            // until anybody knows whose it is.
            for (size, timeout_ms) in [(10, 50), (100 << 10, 3000)] {
                scope.spawn(move || give_up(way, size, Duration::from_millis(timeout_ms)));
            }
        }
    });
}

fn give_up(way: Way, size: usize, timeout: Duration) {
    let mut setup = setup(way);
    setup.task.server.request_timeout = timeout;
    // The tenant is found, and its session never is.
    let gate = Gate::shut();
    let state = sessions_later(setup.state(), &gate.pause());
    let server = setup.start_with(state);
    let session = "0cb5a3a8-58d1-4c0b-9a38-0d1c3b3a5c7e";
    let exchange = chat("globex", session, &"x".repeat(size));
    let reply = ask(server.address, &exchange);
    assert_eq!(reply.status, 503, "{way:?} {size}");
    let state = stop(server);
    let used = used(&state, "globex");
    let body = exchange.body.expect("a body");
    assert_eq!(used.refused_bytes_in, body.len() as u64, "{way:?} {size}");
    assert_eq!(used.bytes_in, 0);
    assert_eq!(used.bytes_out, reply.body.len() as u64);
    assert_eq!((used.chats, used.refused, used.sessions), (0, 0, 0));
    assert!(used.busy_ns > 0);
}

/// A bill is for what was answered, however much anybody sends in a tenant's name.
#[test]
fn large_requests_with_a_made_up_session_are_on_no_bill() {
    for way in Way::ALL {
        let server = setup(way).start();
        let session = "0cb5a3a8-58d1-4c0b-9a38-0d1c3b3a5c7e";
        let exchange = chat("acme", session, &"x".repeat(900_000));
        for _ in 0..3 {
            assert_eq!(ask(server.address, &exchange).status, 404, "{way:?}");
        }
        let used = used(&stop(server), "acme");
        let body = exchange.body.expect("a body").len() as u64;
        assert_eq!((used.bytes_in, used.refused_bytes_in), (0, 3 * body));
        assert_eq!((used.chats, used.refused, used.sessions), (0, 0, 0));
    }
}

#[test]
fn time_in_which_a_request_waits_is_nobodys_work() {
    let setup = setup(Way::Tenant);
    let gate = Gate::shut();
    let state = later(setup.state(), &gate.pause());
    let server = setup.start_with(state);
    let address = server.address;
    let asker = thread::spawn(move || ask(address, &open("globex")));
    wait_until(|| gate.arrived() == 1);
    thread::sleep(Duration::from_millis(300));
    gate.open();
    assert_eq!(asker.join().expect("no panic").status, 200);
    let state = stop(server);
    let used = used(&state, "globex");
    assert!(used.busy_ns > 0);
    assert!(used.busy_ns < 300_000_000, "{} ns", used.busy_ns);
}
