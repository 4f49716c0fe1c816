//! What the server says about itself: numbers, alive, ready; and what is made of it.

mod dashboards;
mod documented;
mod health;
mod numbers;
mod stores;

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use tenantry::{
    admin::{self, Admin, Tokens},
    metrics, server,
    state::{CountedBy, Redis},
};
use tenantry_conformance::Exchange;
use tenantry_misbehaving_component::MISBEHAVING;

use crate::support::{
    client::{ask, chat, get, open_session},
    ports::free_port,
    redis,
    server::{Served, Setup, Way},
};

/// A server, and what its admin listener answers without a token.
struct Watched {
    served: Served,
    admin: SocketAddr,
    running: Option<admin::Running>,
}

impl Watched {
    fn new(served: Served) -> Self {
        let listener = server::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let admin = listener.local_addr().expect("an address");
        let settings = admin::Settings::default();
        let state = &served.state;
        let running = Admin::new(listener, settings, token(), state.clone())
            .with_open_routes(metrics::routes(state.clone()))
            .start(served.shutdown.clone())
            .expect("a thread");
        Self {
            served,
            admin,
            running: Some(running),
        }
    }

    /// What is measured now.
    fn scrape(&self) -> Scrape {
        let reply = ask(self.admin, &get("/metrics"));
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        Scrape(reply.text().to_string())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

/// A folder of a test's own; gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let n = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("tenantry-metrics-{}-{n}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn token() -> Tokens {
    let folder = Folder::new();
    let file = folder.0.join("token");
    fs::write(&file, "0123456789abcdef0123456789abcdef").expect("a file");
    let changed = Command::new("chmod").arg("600").arg(&file).status();
    assert!(changed.expect("chmod runs").success());
    Tokens::read(&file).expect("a token")
}

/// What was measured at one time.
struct Scrape(String);

impl Scrape {
    /// The value of a series, written as Prometheus's text format does, without `tenantry_`.
    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        let found = self.find(series);
        found.unwrap_or_else(|| panic!("no {series} in {}", self.0))
    }

    fn find(&self, series: &str) -> Option<f64> {
        let series = format!("tenantry_{series} ");
        let mut lines = self.0.lines();
        let value = lines.find_map(|line| line.strip_prefix(&series))?;
        value.parse().ok()
    }

    /// The sum of all series of that name.
    fn sum(&self, name: &str) -> f64 {
        let is_of = |line: &&str| {
            let rest = line.strip_prefix("tenantry_");
            let rest = rest.and_then(|rest| rest.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let lines = self.0.lines().filter(is_of);
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// The names of a metric's labels, over all of its series, but for a bucket's bound.
    fn labels(&self, name: &str) -> BTreeSet<&str> {
        let mut labels = BTreeSet::new();
        for line in self.0.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, rest)) = line.split_once('{') else {
                continue;
            };
            if series != name {
                continue;
            }
            // None of these tests' values has a comma, a quote or a brace.
            let pairs = rest.split('}').next().unwrap_or_default();
            let names = pairs.split(',').filter_map(|pair| pair.split('=').next());
            labels.extend(names.filter(|name| *name != "le"));
        }
        labels
    }
}

/// A server that has done so much that every series is there: every kind of request, a
/// sandbox that failed, a store that was asked.
fn busy() -> Watched {
    let mut setup = Setup::limited(Way::Tenant);
    setup.guest = &MISBEHAVING;
    setup.task.sandbox.max_per_thread = 2;
    let mut state = setup.state();
    state.limiter = Box::new(no_redis(&setup).limiter(setup.task.rules));
    let state = state.watched();
    let watched = Watched::new(setup.start_with(state));
    traffic(&watched);
    watched
}

/// A Redis that is out of reach: limits are those of the server, and its metrics are there.
fn no_redis(setup: &Setup) -> Redis {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let clock = Arc::clone(&setup.clock);
    let timeout = Duration::from_millis(200);
    let redis = Redis::start(&redis::url(address), timeout, clock, CountedBy::Redis);
    redis.expect("what is out of reach may be there later")
}

/// Some requests of each kind. Returns when they are in the numbers of the tenants.
fn traffic(watched: &Watched) {
    let address = watched.served.address;
    let before = watched.scrape().sum("tenant_requests_total");
    for tenant in ["acme", "globex", "initech"] {
        let session = open_session(address, tenant);
        for _ in 0..6 {
            ask(address, &chat(tenant, &session, "hi"));
        }
    }
    let trap = ask(address, &chat("acme", "none", "misbehave=panic"));
    assert_eq!(trap.status, 500);
    for target in ["/", "/docs", "/nowhere"] {
        ask(address, &get(target));
    }
    ask(address, &Exchange::post("/chat", "{"));
    let mut is_counted = false;
    for _ in 0..1000 {
        is_counted = watched.scrape().sum("tenant_requests_total") >= before + 22.0;
        if is_counted {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(is_counted, "{}", watched.scrape().0);
}
