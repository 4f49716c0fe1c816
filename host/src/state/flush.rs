//! From the meters to the store: once a second, and once more at the end.
//!
//! What a store does not take is kept, added up by minute and tenant, and handed over again
//! later. A crash loses what was used since the last second.

use std::{collections::BTreeMap, future::pending, time::Duration};

use tenantry_core::session::TenantKey;
use tokio::time::MissedTickBehavior;

use super::{Pending, State, Step, StoreError, Usage, UsageRow};

/// How often usage is handed over.
const PAUSE: Duration = Duration::from_secs(1);

/// Rows that are handed over at a time.
const MAX_ROWS: usize = 10_000;

/// Rows that are kept where no store takes them, of some 60 bytes each.
const MAX_WAITING: usize = 200_000;

/// After a failure at the end, when there is little time.
const LAST_PAUSE: Duration = Duration::from_millis(100);

const NANOS_PER_MINUTE: u64 = 60 * 1_000_000_000;

/// Rows that are on their way to the store, and what it will say.
struct Sending<'a> {
    rows: Vec<UsageRow>,
    result: Pending<'a, Result<(), StoreError>>,
}

/// Hands what tenants used over to the store.
pub struct UsageFlush<'a> {
    state: &'a State,
    max_waiting: usize,
    waiting: BTreeMap<(u64, TenantKey), Usage>,
    sending: Option<Sending<'a>>,
    has_failed: bool,
}

impl<'a> UsageFlush<'a> {
    /// Hands over what the meters of this state count.
    #[must_use]
    pub fn new(state: &'a State) -> Self {
        Self {
            state,
            max_waiting: MAX_WAITING,
            waiting: BTreeMap::new(),
            sending: None,
            has_failed: false,
        }
    }

    /// The same, keeping at most so many rows that the store does not take. Default is
    /// 200,000.
    #[must_use]
    pub fn with_max_waiting(mut self, rows: usize) -> Self {
        self.max_waiting = rows;
        self
    }

    /// Hands usage over once a second, for ever. May be given up at any time.
    pub async fn run(&mut self) {
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.collect();
                    self.send();
                }
                result = sent(&mut self.sending) => {
                    if self.has_sent(result) {
                        self.send();
                    }
                }
            }
        }
    }

    /// Hands over all that is left, within this time.
    pub async fn finish(mut self, time: Duration) {
        self.collect();
        let all = async {
            loop {
                self.send();
                if self.sending.is_none() {
                    return;
                }
                let result = sent(&mut self.sending).await;
                if !self.has_sent(result) {
                    tokio::time::sleep(LAST_PAUSE).await;
                }
            }
        };
        if tokio::time::timeout(time, all).await.is_err() {
            let sending = self
                .sending
                .as_ref()
                .map_or(0, |sending| sending.rows.len());
            let rows = self.waiting.len() + sending;
            self.lose(rows);
        }
    }

    /// Takes what the meters have counted, for the minute that it is now.
    fn collect(&mut self) {
        let collected = self.state.meters.collect();
        self.state.metrics.add_tenants(&collected);
        let minute = self.state.clock.now().as_nanos() / NANOS_PER_MINUTE;
        for collected in collected {
            if collected.usage != Usage::default() {
                let place = (minute, collected.tenant.key);
                add(&mut self.waiting, place, collected.usage);
            }
        }
        self.fit();
        self.tell();
    }

    /// Hands some rows over, unless some are on their way.
    fn send(&mut self) {
        if self.sending.is_some() || self.waiting.is_empty() {
            return;
        }
        let mut rows = Vec::with_capacity(self.waiting.len().min(MAX_ROWS));
        while rows.len() < MAX_ROWS
            && let Some(((minute, tenant), usage)) = self.waiting.pop_first()
        {
            rows.push(UsageRow {
                tenant,
                minute,
                usage,
            });
        }
        let result = self.state.usage.add(rows.clone());
        self.sending = Some(Sending { rows, result });
    }

    /// The store has said something about what was handed over. Returns whether it has it.
    fn has_sent(&mut self, result: Result<(), StoreError>) -> bool {
        let sending = self.sending.take();
        let is_ok = result.is_ok();
        match result {
            Ok(()) if self.has_failed => {
                tracing::info!("usage is written again");
                self.has_failed = false;
            }
            Ok(()) => {}
            Err(error) => {
                if !self.has_failed {
                    tracing::error!(%error, "usage can't be written; it is kept, and tried again");
                    self.has_failed = true;
                }
                for row in sending.into_iter().flat_map(|sending| sending.rows) {
                    add(&mut self.waiting, (row.minute, row.tenant), row.usage);
                }
                self.fit();
            }
        }
        self.tell();
        is_ok
    }

    /// Keeps no more rows than may be. Rather than to lose any, it forgets in which minute of
    /// an hour something was used, and then in which hour of a day: what was used in the hour,
    /// or the day, stays right.
    fn fit(&mut self) {
        for step in [Step::Hour, Step::Day] {
            if self.waiting.len() <= self.max_waiting {
                return;
            }
            tracing::warn!(
                ?step,
                rows = self.waiting.len(),
                "usage that waits is summed up"
            );
            let minutes = step.minutes();
            let mut coarser = BTreeMap::new();
            for ((minute, tenant), usage) in std::mem::take(&mut self.waiting) {
                add(&mut coarser, (minute - minute % minutes, tenant), usage);
            }
            self.waiting = coarser;
        }
        let mut lost = 0;
        while self.waiting.len() > self.max_waiting {
            self.waiting.pop_first();
            lost += 1;
        }
        if lost > 0 {
            self.lose(lost);
        }
    }

    fn lose(&self, rows: usize) {
        tracing::error!(rows, "usage was lost: no store has taken it");
        self.state.metrics.lose_usage(rows as u64);
    }

    fn tell(&self) {
        let sending = self
            .sending
            .as_ref()
            .map_or(0, |sending| sending.rows.len());
        let rows = self.waiting.len() + sending;
        self.state.metrics.usage_waiting.set(rows as u64);
    }
}

/// What the store says about the rows that are on their way to it. Where there are none, for
/// ever nothing.
async fn sent(sending: &mut Option<Sending<'_>>) -> Result<(), StoreError> {
    match sending {
        Some(sending) => sending.result.as_mut().await,
        None => pending().await,
    }
}

fn add(rows: &mut BTreeMap<(u64, TenantKey), Usage>, place: (u64, TenantKey), usage: Usage) {
    let sum = rows.entry(place).or_default();
    *sum = sum.plus(usage);
}
