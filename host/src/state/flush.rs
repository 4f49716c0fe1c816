//! From the meters to the store: once a second, and once more at the end.
//!
//! What is handed over is a numbered batch, which is kept and handed over again until the store
//! has it; at the very end it is lost, and counted as such. What comes meanwhile is added up by
//! minute and tenant. A crash loses what was used since the last second.

use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};

use tenantry_core::session::TenantKey;
use tokio::time::MissedTickBehavior;

use super::{Pending, State, Step, StoreError, Usage, UsageBatch, UsageRow};
use crate::random::random_u64;

/// How often usage is handed over.
const PAUSE: Duration = Duration::from_secs(1);

/// Rows of a batch: a store writes them well within its time.
const MAX_ROWS: usize = 2_000;

/// Rows that are kept where no store takes them, of some 60 bytes each.
const MAX_WAITING: usize = 200_000;

/// After a failure at the end, when there is little time.
const LAST_PAUSE: Duration = Duration::from_millis(100);

const NANOS_PER_MINUTE: u64 = 60 * 1_000_000_000;

/// Hands what tenants used over to the store.
pub struct UsageFlush<'a> {
    state: &'a State,
    max_waiting: usize,
    waiting: BTreeMap<(u64, TenantKey), Usage>,
    /// Who this is among all that write to the same store.
    writer: Arc<str>,
    /// The number of the last batch.
    seq: u64,
    /// The batch that the store is to have next.
    batch: Option<UsageBatch>,
    /// What the store says of it, once it was asked.
    answer: Option<Pending<'a, Result<(), StoreError>>>,
    has_failed: bool,
}

impl<'a> UsageFlush<'a> {
    /// Hands over what the meters of this state count.
    #[must_use]
    pub fn new(state: &'a State) -> Self {
        // Without randomness, the time makes the name unique.
        let random = random_u64().unwrap_or_default();
        let writer = format!("{random:016x}-{:x}", state.clock.wall().as_nanos());
        Self {
            state,
            max_waiting: MAX_WAITING,
            waiting: BTreeMap::new(),
            writer: writer.into(),
            seq: 0,
            batch: None,
            answer: None,
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
                result = answer(&mut self.answer) => {
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
                if self.answer.is_none() {
                    return;
                }
                let result = answer(&mut self.answer).await;
                if !self.has_sent(result) {
                    tokio::time::sleep(LAST_PAUSE).await;
                }
            }
        };
        if tokio::time::timeout(time, all).await.is_err() {
            self.lose(self.rows());
        }
    }

    /// Takes what the meters have counted, for the minute that it is now.
    fn collect(&mut self) {
        let collected = self.state.meters.collect();
        self.state.metrics.add_tenants(&collected);
        let minute = self.state.clock.wall().as_nanos() / NANOS_PER_MINUTE;
        for collected in collected {
            if collected.usage != Usage::default() {
                let place = (minute, collected.tenant.key);
                add(&mut self.waiting, place, collected.usage);
            }
        }
        self.fit();
        self.tell();
    }

    /// Hands a batch over, unless one is on its way.
    fn send(&mut self) {
        if self.answer.is_some() {
            return;
        }
        if self.batch.is_none() && !self.waiting.is_empty() {
            self.seq += 1;
            self.batch = Some(UsageBatch {
                writer: Arc::clone(&self.writer),
                seq: self.seq,
                rows: self.take_rows(),
            });
        }
        let batch = self.batch.clone();
        self.answer = batch.map(|batch| self.state.usage.add(batch));
    }

    /// Takes the oldest rows.
    fn take_rows(&mut self) -> Arc<[UsageRow]> {
        let rows = std::iter::from_fn(|| self.waiting.pop_first()).take(MAX_ROWS);
        let rows = rows.map(|((minute, tenant), usage)| UsageRow {
            tenant,
            minute,
            usage,
        });
        rows.collect()
    }

    /// The store has answered. Returns whether it has the batch; it is kept where it has not.
    fn has_sent(&mut self, result: Result<(), StoreError>) -> bool {
        self.answer = None;
        let is_ok = result.is_ok();
        match result {
            Ok(()) => {
                self.batch = None;
                if std::mem::take(&mut self.has_failed) {
                    tracing::info!("usage is written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::error!(%error, "usage can't be written; it is kept, and tried again");
                }
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
        self.state.metrics.usage_waiting.set(self.rows() as u64);
    }

    /// Rows that the store does not have, as far as is known.
    fn rows(&self) -> usize {
        let batch = self.batch.as_ref().map_or(0, |batch| batch.rows.len());
        self.waiting.len() + batch
    }
}

/// What the store says about the batch that it was handed. It says nothing, ever, where it was
/// handed none.
async fn answer(
    answer: &mut Option<Pending<'_, Result<(), StoreError>>>,
) -> Result<(), StoreError> {
    match answer {
        Some(answer) => answer.as_mut().await,
        None => pending().await,
    }
}

fn add(rows: &mut BTreeMap<(u64, TenantKey), Usage>, place: (u64, TenantKey), usage: Usage) {
    let sum = rows.entry(place).or_default();
    *sum = sum.plus(usage);
}
