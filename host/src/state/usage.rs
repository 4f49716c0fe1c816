//! What tenants use: counted at each request, collected every second, kept by the minute.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tenantry_core::session::TenantKey;

use super::{Entry, Pending, StoreError};

/// What was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Chats that were answered.
    pub chats: u64,
    /// Chats and sessions that were refused for a limit (429).
    pub refused: u64,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Bytes of the bodies of requests that were answered with 2xx.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
    /// Nanoseconds that the tenant's sandbox, or the native engine, was at work.
    pub busy_ns: u64,
    /// Bytes of the bodies of all other requests. Anybody can send them: nobody is billed for
    /// them.
    pub refused_bytes_in: u64,
}

impl Usage {
    /// The members by name, in the order in which they are told.
    pub const NAMES: [&'static str; 7] = [
        "chats",
        "refused",
        "sessions",
        "bytes_in",
        "bytes_out",
        "busy_ns",
        "refused_bytes_in",
    ];

    /// The members, as [`Usage::NAMES`] has them.
    #[must_use]
    pub fn numbers(self) -> [u64; 7] {
        [
            self.chats,
            self.refused,
            self.sessions,
            self.bytes_in,
            self.bytes_out,
            self.busy_ns,
            self.refused_bytes_in,
        ]
    }

    /// The usage of these members.
    #[must_use]
    pub fn from_numbers(numbers: [u64; 7]) -> Self {
        let [
            chats,
            refused,
            sessions,
            bytes_in,
            bytes_out,
            busy_ns,
            refused_bytes_in,
        ] = numbers;
        Self {
            chats,
            refused,
            sessions,
            bytes_in,
            bytes_out,
            busy_ns,
            refused_bytes_in,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (mut sum, other) = (self.numbers(), other.numbers());
        for (number, more) in sum.iter_mut().zip(other) {
            *number = number.saturating_add(more);
        }
        Self::from_numbers(sum)
    }
}

/// What became of a tenant's requests; nobody is billed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests that were answered.
    pub requests: u64,
    /// Those of them that were answered with 500 or above.
    pub errors: u64,
    /// Nanoseconds from the beginnings of those requests to their answers.
    pub duration_ns: u64,
}

/// What was counted for a tenant since the last time.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The tenant.
    pub tenant: Arc<Entry>,
    /// What it used.
    pub usage: Usage,
    /// What became of its requests.
    pub traffic: Traffic,
}

/// What one tenant used and nobody has collected yet.
#[derive(Debug, Default)]
pub(super) struct Meter {
    usage: [AtomicU64; 7],
    traffic: [AtomicU64; 3],
    /// It is on the list of those that have something to collect.
    is_listed: AtomicBool,
}

/// What all tenants used and nobody has collected yet.
#[derive(Debug, Default)]
pub struct Meters {
    listed: Mutex<Vec<Arc<Entry>>>,
}

impl Meters {
    /// Counts what a tenant used.
    pub fn add(&self, tenant: &Arc<Entry>, usage: Usage) {
        self.add_with(tenant, usage, Traffic::default());
    }

    /// Counts what a tenant used, and what became of its requests.
    pub fn add_with(&self, tenant: &Arc<Entry>, usage: Usage, traffic: Traffic) {
        let meter = tenant.account.meter.get_or_init(Box::default);
        let add = |number: &AtomicU64, more: u64| {
            if more > 0 {
                number.fetch_add(more, Ordering::Relaxed);
            }
        };
        for (number, more) in meter.usage.iter().zip(usage.numbers()) {
            add(number, more);
        }
        let traffic = [traffic.requests, traffic.errors, traffic.duration_ns];
        for (number, more) in meter.traffic.iter().zip(traffic) {
            add(number, more);
        }
        // Behind the numbers: whoever takes it off the list sees them, or lists it again.
        if !meter.is_listed.load(Ordering::SeqCst) && !meter.is_listed.swap(true, Ordering::SeqCst)
        {
            self.listed.lock().push(Arc::clone(tenant));
        }
    }

    /// Takes what was counted since the last time.
    #[must_use]
    pub fn collect(&self) -> Vec<Collected> {
        let listed = std::mem::take(&mut *self.listed.lock());
        let mut collected = Vec::with_capacity(listed.len());
        for tenant in listed {
            let Some(meter) = tenant.account.meter.get() else {
                continue;
            };
            meter.is_listed.store(false, Ordering::SeqCst);
            let take = |number: &AtomicU64| number.swap(0, Ordering::SeqCst);
            let usage = Usage::from_numbers(meter.usage.each_ref().map(take));
            let [requests, errors, duration_ns] = meter.traffic.each_ref().map(take);
            let traffic = Traffic {
                requests,
                errors,
                duration_ns,
            };
            if usage != Usage::default() || traffic != Traffic::default() {
                collected.push(Collected {
                    tenant,
                    usage,
                    traffic,
                });
            }
        }
        collected
    }
}

/// What a tenant used in one span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageRow {
    /// The tenant.
    pub tenant: TenantKey,
    /// When the span began, in minutes of Unix time.
    pub minute: u64,
    /// What it used.
    pub usage: Usage,
}

/// How long the spans are that usage is told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day, of UTC.
    Day,
}

impl Step {
    /// Every step and its name.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("minute", Self::Minute),
        ("hour", Self::Hour),
        ("day", Self::Day),
    ];

    /// Minutes of it.
    #[must_use]
    pub fn minutes(self) -> u64 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }
}

/// Which usage is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageQuery {
    /// Whose; none is everybody's.
    pub tenant: Option<TenantKey>,
    /// A minute of Unix time, in the first span that is told.
    pub from: u64,
    /// A minute; spans that begin then or later are not told.
    pub to: u64,
    /// How long the spans are. They begin at whole multiples of it.
    pub step: Step,
    /// Rows behind this one, by span and tenant.
    pub after: Option<(u64, TenantKey)>,
    /// Rows, at most.
    pub max: usize,
}

/// What was used, on its way to a store.
#[derive(Debug, Clone)]
pub struct UsageBatch {
    /// Who writes it: no two writers have the same name, in no process.
    pub writer: Arc<str>,
    /// Its number, greater than those of the batches of this writer that came before it.
    pub seq: u64,
    /// What was used.
    pub rows: Arc<[UsageRow]>,
}

/// Keeps what tenants used.
pub trait UsageStore: Send + Sync {
    /// Adds what was used. Where it fails, the batch may have been added or not: it is to be
    /// added again, and counts once.
    fn add(&self, batch: UsageBatch) -> Pending<'_, Result<(), StoreError>>;

    /// What was used, by span and tenant.
    fn query(&self, query: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>>;
}

/// Minutes that are kept in memory: a day. What is to last longer belongs into a database.
const MEMORY_MINUTES: u64 = 24 * 60;

/// Usage in this process's memory: that of the last 24 hours.
#[derive(Debug, Default)]
pub struct MemoryUsage {
    by_minute: Mutex<BTreeMap<(u64, TenantKey), Usage>>,
}

impl UsageStore for MemoryUsage {
    fn add(&self, batch: UsageBatch) -> Pending<'_, Result<(), StoreError>> {
        // It never fails, so no batch comes twice.
        let mut by_minute = self.by_minute.lock();
        for row in &*batch.rows {
            let sum = by_minute.entry((row.minute, row.tenant)).or_default();
            *sum = sum.plus(row.usage);
        }
        if let Some((&(newest, _), _)) = by_minute.last_key_value() {
            let oldest = newest.saturating_sub(MEMORY_MINUTES - 1);
            *by_minute = by_minute.split_off(&(oldest, 0));
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn query(&self, query: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        let by_minute = self.by_minute.lock();
        let minutes = query.step.minutes();
        let mut spans: BTreeMap<(u64, TenantKey), Usage> = BTreeMap::new();
        if query.from < query.to {
            let from = query.from - query.from % minutes;
            let to = query.to.div_ceil(minutes).saturating_mul(minutes);
            for (&(minute, tenant), usage) in by_minute.range((from, 0)..(to, 0)) {
                if query.tenant.is_none_or(|wanted| wanted == tenant) {
                    let sum = spans
                        .entry((minute - minute % minutes, tenant))
                        .or_default();
                    *sum = sum.plus(*usage);
                }
            }
        }
        let rows = spans
            .into_iter()
            .filter(|(place, _)| query.after.is_none_or(|after| *place > after))
            .map(|((minute, tenant), usage)| UsageRow {
                tenant,
                minute,
                usage,
            });
        let rows = rows.take(query.max).collect();
        Box::pin(std::future::ready(Ok(rows)))
    }
}
