//! What the server counts about itself, for Prometheus.
//!
//! Whatever is counted at each request is counted by each thread in a place of its own;
//! whoever asks adds up. [`Metrics`] has the numbers, [`Exporter`] writes them down.

mod export;
mod health;
mod histogram;
mod process;
mod requests;
mod routes;
mod sandboxes;
mod stores;
mod tenants;
mod trouble;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use self::tenants::TopTenants;
pub use self::{
    export::{CONTENT_TYPE, Exporter},
    health::{Obstacle, Probe, obstacles},
    routes::routes,
    stores::Operation,
};
pub(crate) use self::{
    health::Phase,
    requests::{Requests, Route},
    sandboxes::{End, PoolCounts, fault_name},
    trouble::{Trouble, last_noted, noted},
};
use crate::state::Collected;

/// Tenants that have numbers of their own, where nothing is said about it.
pub const DEFAULT_TENANTS: usize = 20;

/// What this process counts about itself.
#[derive(Debug)]
pub struct Metrics {
    /// Those of each worker thread that there was.
    requests: Mutex<Vec<Arc<Requests>>>,
    /// Those of each pool of sandboxes that there was.
    pools: Mutex<Vec<Arc<PoolCounts>>>,
    /// By store and operation.
    operations: Mutex<BTreeMap<(&'static str, &'static str), Arc<Operation>>>,
    tenants: Mutex<TopTenants>,
    phase: Mutex<Phase>,
    pub(crate) connections: Gauge,
    pub(crate) max_connections: Gauge,
    /// Bytes that bodies, answers and buffers of connections hold.
    pub(crate) buffered: Gauge,
    pub(crate) max_buffered: Gauge,
    /// Connections that had to end because others needed their room.
    evicted: AtomicU64,
    /// Requests that the threads beside the workers have not begun with.
    pub(crate) large_waiting: Gauge,
    /// Rows of usage that no store has taken yet.
    pub(crate) usage_waiting: Gauge,
    /// Rows of usage that were given up.
    usage_lost: AtomicU64,
    reloads: [AtomicU64; 2],
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(DEFAULT_TENANTS)
    }
}

impl Metrics {
    /// Nothing counted yet; so many tenants at a time have numbers of their own.
    #[must_use]
    pub fn new(tenants: usize) -> Self {
        Self {
            requests: Mutex::default(),
            pools: Mutex::default(),
            operations: Mutex::default(),
            tenants: Mutex::new(TopTenants::new(tenants)),
            phase: Mutex::default(),
            connections: Gauge::default(),
            max_connections: Gauge::default(),
            buffered: Gauge::default(),
            max_buffered: Gauge::default(),
            evicted: AtomicU64::new(0),
            large_waiting: Gauge::default(),
            usage_waiting: Gauge::default(),
            usage_lost: AtomicU64::new(0),
            reloads: Default::default(),
        }
    }

    /// A place in which a thread counts the requests that it answers.
    pub(crate) fn add_worker(&self) -> Arc<Requests> {
        let requests = Arc::default();
        self.requests.lock().push(Arc::clone(&requests));
        requests
    }

    /// A place in which a pool counts its sandboxes.
    pub(crate) fn add_pool(&self) -> Arc<PoolCounts> {
        let counts = Arc::default();
        self.pools.lock().push(Arc::clone(&counts));
        counts
    }

    /// An operation of a store, whose times are to be counted. Asked for once for each, and
    /// not each time.
    pub fn operation(&self, store: &'static str, operation: &'static str) -> Arc<Operation> {
        let mut operations = self.operations.lock();
        Arc::clone(operations.entry((store, operation)).or_default())
    }

    /// Counts what tenants did since the last time. Called once a second.
    pub(crate) fn add_tenants(&self, collected: &[Collected]) {
        self.tenants.lock().add(collected);
    }

    /// Counts that the configuration was read anew; it was taken over, or refused.
    pub fn has_reloaded(&self, was_taken: bool) {
        if let Some(count) = self.reloads.get(usize::from(was_taken)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts connections that had to end because others needed their room.
    pub(crate) fn evict_connections(&self, connections: u64) {
        self.evicted.fetch_add(connections, Ordering::Relaxed);
    }

    /// Counts rows of usage that were given up.
    pub(crate) fn lose_usage(&self, rows: u64) {
        self.usage_lost.fetch_add(rows, Ordering::Relaxed);
    }

    /// The server begins, serves, or stops.
    pub(crate) fn enter(&self, phase: Phase) {
        *self.phase.lock() = phase;
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    /// Adds where the value before is at most `max`; whether it was.
    pub(crate) fn add_up_to(&self, value: u64, max: u64) -> bool {
        let add = |before| (before <= max).then(|| before + value);
        let added = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.is_ok()
    }

    pub(crate) fn sub(&self, value: u64) {
        self.0.fetch_sub(value, Ordering::Relaxed);
    }

    /// Counts one more, as long as the answer lives. `of` says where in the metrics it is.
    pub(crate) fn hold(metrics: &Arc<Metrics>, of: fn(&Metrics) -> &Self) -> Held {
        of(metrics).0.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(metrics), of)
    }
}

/// Something that is counted while it is there.
pub(crate) struct Held(Arc<Metrics>, fn(&Metrics) -> &Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        (self.1)(&self.0).0.fetch_sub(1, Ordering::Relaxed);
    }
}
