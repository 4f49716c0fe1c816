//! Milliseconds of JavaScript, and nanoseconds of the core.

use std::time::Duration;

use tenantry_core::time::Timestamp;

const NANOS_PER_MS: u64 = 1_000_000;

/// Nanoseconds of a time in milliseconds; exact for whole ones. What is no time is zero, and
/// what is too late is as late as can be told (the year 2554).
fn nanos(ms: f64) -> u64 {
    let part = (ms.fract() * NANOS_PER_MS as f64).round() as u64;
    (ms as u64)
        .saturating_mul(NANOS_PER_MS)
        .saturating_add(part)
}

fn ms(nanos: u64) -> f64 {
    (nanos / NANOS_PER_MS) as f64 + (nanos % NANOS_PER_MS) as f64 / NANOS_PER_MS as f64
}

/// A moment.
pub(crate) fn timestamp(ms: f64) -> Timestamp {
    Timestamp::from_nanos(nanos(ms))
}

/// A moment in milliseconds.
pub(crate) fn timestamp_ms(timestamp: Timestamp) -> f64 {
    ms(timestamp.as_nanos())
}

/// A time.
pub(crate) fn duration(ms: f64) -> Duration {
    Duration::from_nanos(nanos(ms))
}

/// A time in milliseconds.
pub(crate) fn duration_ms(duration: Duration) -> f64 {
    ms(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}
