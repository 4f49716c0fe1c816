//! Limits that several servers hold together, with a real Redis between them: within reach,
//! cut off, stalled, restarted.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tenantry::state::{
    Answer, CountedBy, Entry, ManualClock, RateLimiter, Redis, RedisLimiter, RedisUrl, Stage,
    SystemClock,
};
use tenantry_core::{
    limit::{Admission, WINDOW, Window},
    memory::Settings,
    registry::Registry,
    time::Timestamp,
};

use crate::support::{
    client::{Connection, PATIENCE, ask, chat, open_session},
    program::{Program, run},
    proxy::Proxy,
    redis::{RedisServer, url},
    server::{Served, Setup, Way, default_task},
};

/// For Redis to answer, in tests that cut it off.
const TIMEOUT: Duration = Duration::from_millis(400);

/// Logged when Redis is lost, and when it is back.
const LOST: &str = "Redis is lost: ";
const BACK: &str = "Redis is back after ";

fn rows(tenant: &str, limit: Option<u32>) -> String {
    let limits = limit.map(|limit| format!(r#","limits":{{"chat_per_10s":{limit}}}"#));
    let limits = limits.unwrap_or_default();
    format!(r#"{{"id":"{tenant}","name":"n","welcome":"w"{limits}}}"#) + "\n"
}

fn tenant(id: &str, limit: Option<u32>) -> Entry {
    let parsed = Registry::parse(rows(id, limit).as_bytes()).expect("a good row");
    let row = parsed.registry.into_rows().remove(0);
    Entry::new(0, row, Stage::Active)
}

fn settings() -> Settings {
    default_task().rules
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn start(url: &RedisUrl, clock: &Arc<ManualClock>) -> Redis {
    let clock = Arc::clone(clock) as _;
    let redis = Redis::start(url, TIMEOUT, clock, CountedBy::ThisServer);
    redis.expect("a Redis that lets itself be used")
}

/// What is answered to chats that are asked for at the same moment.
fn admit(limiter: &RedisLimiter, tenant: &Entry, chats: usize) -> Vec<Admission> {
    let mut waiting: Vec<Pin<Box<dyn Future<Output = _> + Send>>> = Vec::new();
    for _ in 0..chats {
        waiting.push(match limiter.admit(tenant) {
            Answer::Now(answer) => Box::pin(std::future::ready(answer)),
            Answer::Later(answer) => answer,
        });
    }
    let mut answers = vec![None; chats];
    let all = poll_fn(|context| {
        for (answer, waiting) in answers.iter_mut().zip(&mut waiting) {
            if answer.is_none()
                && let Poll::Ready(admission) = waiting.as_mut().poll(context)
            {
                *answer = Some(admission.expect("there always is an answer"));
            }
        }
        match answers.iter().all(Option::is_some) {
            true => Poll::Ready(answers.iter().copied().flatten().collect()),
            false => Poll::Pending,
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(all)
}

/// What is left of the limit after one chat, which is granted.
fn remaining(limiter: &RedisLimiter, tenant: &Entry) -> u32 {
    match admit(limiter, tenant, 1)[..] {
        [Admission::Granted(quota)] => quota.remaining,
        ref other => panic!("{other:?}"),
    }
}

fn is_refused(limiter: &RedisLimiter, tenant: &Entry) -> bool {
    !admit(limiter, tenant, 1)[0].is_granted()
}

/// How often scripts were run.
fn evaluations(server: &RedisServer) -> u64 {
    let stats: String = server.run(&["INFO", "commandstats"]);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = line.and_then(|line| line.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

/// How many of a tenant's chats Redis counts.
fn counted(server: &RedisServer, tenant: &str) -> f64 {
    let key = format!("tenantry:{{limit}}:{tenant}");
    let chats: Vec<u8> = server.run(&["GET", &key]);
    let count = chats.first_chunk().expect("a number");
    f64::from_be_bytes(*count)
}

#[test]
fn chats_are_granted_as_the_window_in_memory_grants_them() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let clock = Arc::<ManualClock>::default();
    let limiter = start(&server.url(), &clock).limiter(settings());
    let steps = prop::collection::vec((0..4_000_000_u64, 0..7_u32, 1..6_usize), 1..40);
    let cases = AtomicUsize::new(0);
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in steps)| {
        let id = format!("t{}", cases.fetch_add(1, Ordering::SeqCst));
        let mut window = Window::default();
        let mut now = Timestamp::default();
        now = now.after(Duration::from_nanos(
            tenantry::state::Clock::now(&*clock).as_nanos(),
        ));
        for (pause, limit, chats) in steps {
            // Often on the edge of the window, to the microsecond.
            let pause = if pause % 5 == 0 { 10_000_000 - pause % 3 } else { pause };
            let pause = Duration::from_micros(pause);
            clock.advance(pause);
            now = now.after(pause);
            let expected: Vec<_> = (0..chats).map(|_| window.admit(limit, now)).collect();
            let tenant = tenant(&id, Some(limit));
            prop_assert_eq!(admit(&limiter, &tenant, chats), expected);
        }
    });
}

#[test]
fn a_limit_of_thousands_is_counted_and_forgotten_in_parts() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let clock = Arc::<ManualClock>::default();
    let limiter = start(&server.url(), &clock).limiter(settings());
    let tenant = tenant("large", Some(3000));
    for step in 0..4_u64 {
        let granted = admit(&limiter, &tenant, 1100);
        let expected = if step < 2 {
            1100
        } else {
            800 * usize::from(step == 2)
        };
        let granted = granted.iter().filter(|answer| answer.is_granted()).count();
        assert_eq!(granted, expected, "{step}");
        clock.advance(Duration::from_millis(1));
    }
    // All but the last part leave the window, and then that.
    clock.advance(WINDOW - Duration::from_millis(3));
    assert_eq!(remaining(&limiter, &tenant), 3000 - 800 - 1);
    // Keys go by themselves, but not before their chats.
    let key = "tenantry:{limit}:large";
    let left: i64 = server.run(&["PTTL", key]);
    assert!((10_000..=15_000).contains(&left), "{left}");
}

#[test]
fn chats_that_wait_at_the_same_moment_are_asked_about_together() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let clock = Arc::<ManualClock>::default();
    let limiter = start(&server.url(), &clock).limiter(settings());
    let limited = tenant("a", Some(1000));
    let before = evaluations(&server);
    assert_eq!(admit(&limiter, &limited, 400).len(), 400);
    let asked = evaluations(&server) - before;
    assert!((1..=50).contains(&asked), "{asked} questions");
    // Who has no limit needs no Redis.
    server.signal("STOP");
    let unlimited = tenant("b", None);
    assert!(matches!(
        limiter.admit(&unlimited),
        Answer::Now(Ok(Admission::Unlimited))
    ));
    server.signal("CONT");
}

#[test]
fn what_redis_forgets_or_holds_otherwise_fails_nobody() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let clock = Arc::<ManualClock>::default();
    let redis = start(&server.url(), &clock);
    let limiter = redis.limiter(settings());
    let [one, other] = ["one", "other"].map(|id| tenant(id, Some(5)));
    assert_eq!(remaining(&limiter, &one), 4);
    let _: String = server.run(&["SCRIPT", "FLUSH"]);
    assert_eq!(remaining(&limiter, &one), 3);
    let _: u32 = server.run(&["RPUSH", "tenantry:{limit}:other", "no string"]);
    assert_eq!(remaining(&limiter, &other), 4);
    let _: String = server.run(&["SET", "tenantry:{limit}:other", "no chats"]);
    assert_eq!(remaining(&limiter, &other), 4);
    assert_eq!(remaining(&limiter, &one), 2);
    let _: String = server.run(&["FLUSHALL"]);
    assert_eq!(remaining(&limiter, &one), 4);
    assert!(redis.is_up());
}

#[test]
fn what_is_granted_while_redis_is_lost_counts_when_it_is_back() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let clock = Arc::<ManualClock>::default();
    let proxy = Proxy::to(server.address);
    let cut_off = start(&url(proxy.address), &clock);
    let connected = start(&server.url(), &clock);
    let [here, there] = [&cut_off, &connected].map(|redis| redis.limiter(settings()));
    let [tenant_here, tenant_there] = [(), ()].map(|()| tenant("t", Some(10)));
    for left in [9, 8, 7] {
        assert_eq!(remaining(&here, &tenant_here), left);
    }
    clock.advance(Duration::from_secs(4));
    proxy.cut();
    // What Redis has granted this server counts here, too.
    for left in [6, 5, 4, 3] {
        assert_eq!(remaining(&here, &tenant_here), left);
    }
    assert!(!cut_off.is_up());
    assert_eq!(remaining(&there, &tenant_there), 6);
    assert!(connected.is_up());
    proxy.heal();
    wait_until("Redis is back", || cut_off.is_up());
    // 3 and 4 of this server, 1 of the other.
    assert_eq!(remaining(&there, &tenant_there), 1);
    assert_eq!(remaining(&here, &tenant_here), 0);
    assert!(is_refused(&here, &tenant_here));
    // They leave the window when they would have, to the moment.
    clock.advance(Duration::from_secs(6) - Duration::from_micros(1));
    assert!(is_refused(&there, &tenant_there));
    clock.advance(Duration::from_micros(1));
    assert_eq!(remaining(&there, &tenant_there), 2);
    clock.advance(Duration::from_secs(4));
    assert_eq!(remaining(&there, &tenant_there), 8);
}

#[test]
fn servers_that_are_cut_off_grant_the_limit_each_and_no_more() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let clock = Arc::<ManualClock>::default();
    let proxies = [(), ()].map(|()| Proxy::to(server.address));
    let cut_off = proxies
        .each_ref()
        .map(|proxy| start(&url(proxy.address), &clock));
    let connected = start(&server.url(), &clock);
    let limiters = [&cut_off[0], &cut_off[1], &connected].map(|redis| redis.limiter(settings()));
    // Each server has an account of its own.
    let tenants = [(), (), ()].map(|()| tenant("t", Some(5)));
    let grant = |n: usize, chats| {
        let answers = admit(&limiters[n], &tenants[n], chats);
        answers.iter().filter(|answer| answer.is_granted()).count()
    };
    assert_eq!((grant(0, 3), grant(1, 7)), (3, 2));
    assert_eq!(grant(2, 1), 0);
    for proxy in &proxies {
        proxy.cut();
    }
    // 3 and 2 of the limit before, and the rest of their own: two servers, twice the limit.
    assert_eq!((grant(0, 9), grant(1, 9)), (2, 3));
    assert_eq!(grant(2, 9), 0);
    for proxy in &proxies {
        proxy.heal();
    }
    for redis in &cut_off {
        wait_until("Redis is back", || redis.is_up());
    }
    assert_eq!(counted(&server, "t"), 10.0);
    clock.advance(WINDOW - Duration::from_micros(1));
    assert_eq!((grant(0, 9), grant(1, 9), grant(2, 9)), (0, 0, 0));
    clock.advance(Duration::from_micros(1));
    assert_eq!((grant(0, 2), grant(1, 2), grant(2, 2)), (2, 2, 1));
}

/// Servers with a Redis, for one tenant of this limit.
fn serve(way: Way, redis: &Redis, tenants: &str) -> Served {
    let mut setup = Setup::limited(way);
    setup.tenants = tenants.to_owned();
    let mut state = setup.state();
    state.limiter = Box::new(redis.limiter(setup.task.rules));
    setup.start_with(state)
}

fn start_by_its_time(url: &RedisUrl) -> Redis {
    let clock = Arc::new(SystemClock::new());
    let redis = Redis::start(url, TIMEOUT, clock, CountedBy::Redis);
    redis.expect("a Redis that lets itself be used")
}

#[test]
fn several_servers_together_grant_exactly_the_limit_in_any_window() {
    const LIMIT: usize = 40;
    let Some(server) = RedisServer::start() else {
        return;
    };
    let redis = [(), (), ()].map(|()| start_by_its_time(&server.url()));
    let tenants = rows("t", Some(LIMIT as u32));
    let servers = redis
        .each_ref()
        .map(|redis| serve(Way::Native, redis, &tenants));
    // When each granted chat was sent, and when it was answered.
    let granted = Mutex::new(Vec::new());
    let start = Instant::now();
    let end = start + 2 * WINDOW + Duration::from_secs(1);
    thread::scope(|scope| {
        for n in 0..6 {
            let address = servers[n % servers.len()].address;
            let granted = &granted;
            scope.spawn(move || {
                let session = open_session(address, "t");
                let mut connection = Connection::open(address);
                while Instant::now() < end {
                    let sent = Instant::now();
                    let reply = connection.exchange(&chat("t", &session, "hi"));
                    let status = reply.expect("an answer").status;
                    let answered = Instant::now();
                    if status == 200 {
                        let mut granted = granted.lock().expect("nobody panics with it");
                        granted.push((sent, answered));
                    } else {
                        assert_eq!(status, 429);
                        // Others have work on this machine.
                        thread::sleep(Duration::from_millis(3));
                    }
                }
            });
        }
    });
    let mut granted = granted.into_inner().expect("nobody panicked with it");
    // One limit for each window that has begun.
    assert_eq!(granted.len(), 3 * LIMIT);
    granted.sort_unstable_by_key(|(_, answered)| *answered);
    for span in granted.windows(LIMIT + 1) {
        let first = span.iter().map(|(sent, _)| *sent).min().expect("chats");
        let last = span
            .iter()
            .map(|(_, answered)| *answered)
            .max()
            .expect("chats");
        assert!(last - first >= WINDOW, "one too many in {:?}", last - first);
    }
}

/// Chats over kept connections, as long as `work` takes. None may fail, or take long.
fn under_load(address: std::net::SocketAddr, session: &str, work: impl FnOnce(&AtomicUsize)) {
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let slowest = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(address);
                    while !is_over.load(Ordering::SeqCst) {
                        let start = Instant::now();
                        let reply = connection.exchange(&chat("t", session, "hi"));
                        let reply = reply.expect("an answer");
                        assert!([200, 429].contains(&reply.status), "{}", reply.text());
                        let mut slowest = slowest.lock().expect("nobody panics with it");
                        *slowest = start.elapsed().max(*slowest);
                        answered.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(1));
                    }
                })
            })
            .collect();
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&answered)));
        is_over.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().expect("every chat was answered");
        }
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
    });
    let slowest = slowest.into_inner().expect("nobody panicked with it");
    assert!(slowest < TIMEOUT + Duration::from_secs(3), "{slowest:?}");
}

#[test]
fn no_chat_fails_or_hangs_whatever_happens_to_redis() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    let proxy = Proxy::to(server.address);
    let redis = start_by_its_time(&url(proxy.address));
    let served = serve(Way::Tenant, &redis, &rows("t", Some(100_000)));
    let session = open_session(served.address, "t");
    under_load(served.address, &session, |answered| {
        let goes_on = || {
            let before = answered.load(Ordering::SeqCst);
            wait_until("chats are answered", || {
                answered.load(Ordering::SeqCst) > before + 50
            });
        };
        let is_lost = || {
            wait_until("Redis is lost", || !redis.is_up());
            goes_on();
        };
        let is_back = || {
            wait_until("Redis is back", || redis.is_up());
            goes_on();
        };
        for _ in 0..2 {
            proxy.cut();
            is_lost();
            proxy.heal();
            is_back();

            proxy.stall();
            is_lost();
            proxy.heal();
            is_back();

            server.signal("STOP");
            is_lost();
            server.signal("CONT");
            is_back();

            server.kill();
            is_lost();
            server.start_again();
            is_back();
        }
        let _: String = server.run(&["FLUSHALL"]);
        goes_on();
        assert!(redis.is_up());
    });
    // No session was lost with any of it.
    let reply = ask(served.address, &chat("t", &session, "hi"));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn a_program_starts_without_redis_and_uses_it_once_it_is_there() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    server.kill();
    let cache = format!("--cache=redis://{}", server.address);
    let program = Program::serve(&[&cache, "--engine=native", "--store-timeout=250ms"]);
    program.wait_for_log("Redis is out of reach: ", 1);
    let session = open_session(program.address, "globex");
    let say = || ask(program.address, &chat("globex", &session, "hi"));
    // globex may chat four times.
    assert_eq!(say().header("ratelimit"), Some(r#""chat";r=3;t=10"#));
    server.start_again();
    program.wait_for_log(BACK, 1);
    assert_eq!(say().status, 200);
    assert_eq!(counted(&server, "globex"), 2.0);
    server.kill();
    assert_eq!(say().status, 200);
    program.wait_for_log(LOST, 1);
    assert_eq!(say().status, 200);
    assert_eq!(say().status, 429);
    server.start_again();
    program.wait_for_log(BACK, 2);
    // A Redis that keeps nothing has forgotten the first two, and is told the others.
    assert_eq!(say().status, 200);
    assert_eq!(counted(&server, "globex"), 3.0);
    program.signal("TERM");
    let (status, _, log) = program.wait();
    assert!(status.success(), "{log}");
    // Once at each change, however often it was tried.
    assert_eq!(log.matches(LOST).count(), 1, "{log}");
    assert_eq!(log.matches(BACK).count(), 2, "{log}");
}

#[test]
fn a_redis_that_refuses_stops_the_start() {
    let Some(server) = RedisServer::start_with(&["--requirepass", "sesame"]) else {
        return;
    };
    let address = server.address;
    let no_redis = Setup::new(Way::Native).start();
    for (url, said) in [
        (format!("redis://{address}/0"), "NOAUTH"),
        (format!("redis://:hush@{address}/0"), "uthentication"),
        (format!("redis://:sesame@{address}/99"), "DB index"),
        (format!("redis://:hush@{}/0", no_redis.address), ""),
    ] {
        let output = run(&[
            "serve",
            "--listen=127.0.0.1:0",
            "--engine=native",
            "--cache",
            &url,
        ]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{url}: {message}");
        assert!(output.stdout.is_empty(), "{url}");
        let shown = url.replace(":hush@", "").replace(":sesame@", "");
        let wanted = format!("error: {shown} refuses to be used; --cache names it");
        assert!(message.contains(&wanted), "{url}: {message}");
        assert!(message.contains(said), "{url}: {message}");
        assert!(
            !message.contains("hush") && !message.contains("sesame"),
            "{message}"
        );
    }
    let url = format!("--cache=redis://:sesame@{address}/3");
    let program = Program::serve(&["--engine=native", &url]);
    let session = open_session(program.address, "acme");
    assert_eq!(
        ask(program.address, &chat("acme", &session, "hi")).status,
        200
    );
    program.signal("TERM");
    let (_, _, log) = program.wait();
    assert!(!log.contains(LOST) && !log.contains("sesame"), "{log}");
}
