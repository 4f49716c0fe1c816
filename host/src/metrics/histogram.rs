//! Durations by how long they were.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The upper bounds of the buckets but the last, which has none, in nanoseconds: from 10 µs
/// to 10 s.
pub(super) const BOUNDS_NS: [u64; 19] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// Counts durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let at = BOUNDS_NS.partition_point(|bound| *bound < ns);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

/// What histograms have counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) buckets: [u64; BUCKETS],
    pub(super) sum_ns: u64,
}

impl Observed {
    pub(super) fn of(histogram: &Histogram) -> Self {
        let mut observed = Self::default();
        observed.add(histogram);
        observed
    }

    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        self.sum_ns += histogram.sum_ns.load(Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The upper bound of each bucket in seconds, and what is in it and in no lower one.
    pub(super) fn in_seconds(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_NS.iter().map(|ns| *ns as f64 / 1e9);
        let bounds = bounds.chain([f64::INFINITY]);
        bounds.zip(self.buckets).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_it_fits_in() {
        let histogram = Histogram::default();
        for ns in [0, 10_000, 10_001, 10_000_000_000, 10_000_000_001] {
            histogram.observe(Duration::from_nanos(ns));
        }
        let observed = Observed::of(&histogram);
        let counts = |bound: f64| {
            let buckets = observed.in_seconds();
            let bucket = buckets.into_iter().find(|bucket| bucket.0 == bound);
            bucket.expect("a bucket").1
        };
        assert_eq!(counts(0.00001), 2);
        assert_eq!(counts(0.000025), 1);
        assert_eq!(counts(10.0), 1);
        assert_eq!(counts(f64::INFINITY), 1);
        assert_eq!(observed.count(), 5);
        assert_eq!(observed.sum_ns, 20_000_020_002);
    }
}
