//! Sandboxes of one pool, from their making to their end.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sandbox::Fault;

/// Why there is a sandbox less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Another one needed its room.
    Evicted,
    /// It had grown too large to be used again.
    Grown,
    /// Its tenant has changed.
    Changed,
    /// It was for one request.
    Used,
    /// Its request was given up.
    Abandoned,
    /// It failed.
    Failed,
}

/// The labels of those ends that are called a retirement.
pub(super) const RETIRED: [(&str, End); 4] = [
    ("grown", End::Grown),
    ("changed", End::Changed),
    ("used", End::Used),
    ("abandoned", End::Abandoned),
];

/// The labels of faults.
pub(super) const FAULTS: [&str; 7] = [
    "deadline", "memory", "stack", "reply", "answer", "trap", "make",
];

/// The label of a fault.
pub(crate) fn fault_name(fault: &Fault) -> &'static str {
    FAULTS.get(place(fault)).copied().unwrap_or_default()
}

fn place(fault: &Fault) -> usize {
    match fault {
        Fault::Deadline => 0,
        Fault::Memory => 1,
        Fault::Stack => 2,
        Fault::Reply(_) => 3,
        Fault::TenantList | Fault::Status(_) | Fault::Location | Fault::HeadOnly => 4,
        Fault::Trap(_) => 5,
        Fault::Make(_) => 6,
    }
}

/// What one pool has counted.
#[derive(Debug, Default)]
pub(crate) struct PoolCounts {
    made: AtomicU64,
    ended: [AtomicU64; 6],
    faults: [AtomicU64; FAULTS.len()],
    idle: AtomicU64,
}

impl PoolCounts {
    pub(crate) fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, end: End) {
        if let Some(count) = self.ended.get(end as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn failed(&self, fault: &Fault) {
        if let Some(count) = self.faults.get(place(fault)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_idle(&self, idle: usize) {
        self.idle.store(idle as u64, Ordering::Relaxed);
    }
}

/// What several pools have counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) made: u64,
    ended: [u64; 6],
    pub(super) faults: [u64; FAULTS.len()],
    pub(super) idle: u64,
}

impl Sum {
    pub(super) fn add(&mut self, pool: &PoolCounts) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // Ends first: none is seen of a sandbox whose beginning is not.
        for (sum, count) in self.ended.iter_mut().zip(&pool.ended) {
            *sum += load(count);
        }
        for (sum, count) in self.faults.iter_mut().zip(&pool.faults) {
            *sum += load(count);
        }
        self.made += load(&pool.made);
        self.idle += load(&pool.idle);
    }

    pub(super) fn ended(&self, end: End) -> u64 {
        self.ended.get(end as usize).copied().unwrap_or_default()
    }

    pub(super) fn live(&self) -> u64 {
        self.made.saturating_sub(self.ended.iter().sum())
    }
}
