//! Two readings of time: one that ages and waits by, and one that is written down.
//!
//! What is measured (sessions, limits, breakers) is measured on a line of this process's own,
//! [`Clock::now`], which no step of the system's clock moves. What is written, for people or
//! for the next process, has the time that the system's clock shows at that moment,
//! [`Clock::wall`]. A [`Timeline`] leads from one to the other and knows each step.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tenantry_core::time::Timestamp;

use super::timeline::Timeline;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, on a line that begins anywhere, never goes back and has no steps. It means nothing
    /// in another process.
    fn now(&self) -> Timestamp;

    /// What shows the time of day at this moment; to be asked by [`Clock::wall`] alone.
    fn time_of_day(&self) -> Timestamp;

    /// What leads from one reading to the other.
    fn timeline(&self) -> &Timeline;

    /// Whether this is the system's clock, which a database that several servers share may
    /// correct.
    fn is_systems(&self) -> bool {
        false
    }

    /// The time of day, since the beginning of Unix time. It can jump in either direction.
    fn wall(&self) -> Timestamp {
        self.observed().1
    }

    /// A moment of [`Clock::now`] as it is written down.
    fn written(&self, moment: Timestamp) -> Timestamp {
        let (now, wall) = self.observed();
        self.timeline().written(moment, now, wall)
    }

    /// The moment that was written down as this: the latest that it can mean, and never later
    /// than now.
    fn read(&self, written: Timestamp) -> Timestamp {
        let (now, _) = self.observed();
        self.timeline().read(written, now)
    }

    /// What was written earlier than this was [read](Clock::read) earlier than `moment`, and
    /// nothing else was.
    fn cut(&self, moment: Timestamp) -> Timestamp {
        let (now, _) = self.observed();
        self.timeline().cut(moment, now)
    }

    /// Both readings of this moment, which the timeline learns of.
    fn observed(&self) -> (Timestamp, Timestamp) {
        let (now, wall) = (self.now(), self.time_of_day());
        self.timeline().observe(now, wall);
        (now, wall)
    }
}

/// Where the line of [`SystemClock::now`] begins: behind any age that is subtracted from it.
const ORIGIN: u64 = 100 * 365 * 24 * 60 * 60 * 1_000_000_000;

/// The system's clocks: the monotonic one, and the one that shows the time of day.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    timeline: Timeline,
}

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        let clock = Self {
            start: Instant::now(),
            timeline: Timeline::default(),
        };
        clock.observed();
        clock
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(ORIGIN.saturating_add(nanos(self.start.elapsed())))
    }

    fn time_of_day(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Timestamp::from_nanos(since.map_or(0, nanos))
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn is_systems(&self) -> bool {
        true
    }
}

/// A time in nanoseconds, at most 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A clock that stands still until it is moved by hand. Both readings begin at zero.
#[derive(Debug, Default)]
pub struct ManualClock {
    nanos: AtomicU64,
    /// How far the time of day is ahead, in nanoseconds.
    ahead: AtomicI64,
    timeline: Timeline,
}

impl ManualClock {
    /// Goes on by `time`.
    pub fn advance(&self, time: Duration) {
        self.observed();
        self.nanos.fetch_add(nanos(time), Ordering::SeqCst);
    }

    /// Sets the time of day forward by `time`, which takes no time.
    pub fn step_forward(&self, time: Duration) {
        self.step(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    }

    /// Sets the time of day back by `time`.
    pub fn step_back(&self, time: Duration) {
        self.step(i64::try_from(time.as_nanos()).map_or(i64::MIN, |nanos| -nanos));
    }

    fn step(&self, nanos: i64) {
        self.observed();
        self.ahead.fetch_add(nanos, Ordering::SeqCst);
        self.observed();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.nanos.load(Ordering::SeqCst))
    }

    fn time_of_day(&self) -> Timestamp {
        let now = self.nanos.load(Ordering::SeqCst);
        let ahead = self.ahead.load(Ordering::SeqCst);
        Timestamp::from_nanos(now.saturating_add_signed(ahead))
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }
}
