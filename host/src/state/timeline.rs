//! How a process's own line of time and the time of day belong together, steps included.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tenantry_core::time::Timestamp;

/// A difference that is a step of the clock. Smaller ones are corrections that time services
/// make all the time.
const STEP: Duration = Duration::from_secs(1);

/// Steps that are remembered. A clock that makes more within the life of a session is beyond
/// help: sessions may end early then.
const MAX_STEPS: usize = 64;

/// Which time of day it was at which moment, from each step of the clock to the next.
#[derive(Debug, Default)]
pub struct Timeline(Mutex<VecDeque<Segment>>);

/// The clock has run without a step since this moment.
#[derive(Debug, Clone, Copy)]
struct Segment {
    now: i128,
    wall: i128,
}

impl Segment {
    /// The moment at which this time of day is, or was, or would have been.
    fn moment(self, wall: i128) -> i128 {
        self.now + (wall - self.wall)
    }

    fn wall(self, moment: i128) -> i128 {
        self.wall + (moment - self.now)
    }
}

fn signed(time: Timestamp) -> i128 {
    time.as_nanos().into()
}

/// The nearest time that can be told.
fn timestamp(nanos: i128) -> Timestamp {
    Timestamp::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

impl Timeline {
    /// Learns of two readings of the same moment. Where the clock was set since the last ones,
    /// the log says so.
    pub fn observe(&self, now: Timestamp, wall: Timestamp) {
        let (now, wall) = (signed(now), signed(wall));
        let mut segments = self.0.lock();
        let step = match segments.back() {
            // Another thread has read the clock later, and was here before.
            Some(last) if now < last.now => return,
            Some(last) => wall - last.wall(now),
            None => 0,
        };
        if step.unsigned_abs() < STEP.as_nanos() && !segments.is_empty() {
            return;
        }
        if segments.len() == MAX_STEPS {
            segments.pop_front();
        }
        segments.push_back(Segment { now, wall });
        drop(segments);
        if step != 0 {
            let by = u64::try_from(step.unsigned_abs() / 1_000_000).unwrap_or(u64::MAX);
            let by = humantime::format_duration(Duration::from_millis(by));
            let direction = if step > 0 { "forward" } else { "back" };
            tracing::warn!(
                "the clock was set {direction} by {by}: what is written has the new time; \
                 sessions and limits do not notice"
            );
        }
    }

    /// A moment as it is written down, where both readings are now these. By the newest line:
    /// an older one may have been wrong by years.
    #[must_use]
    pub fn written(&self, moment: Timestamp, now: Timestamp, wall: Timestamp) -> Timestamp {
        timestamp(signed(wall) - (signed(now) - signed(moment)))
    }

    /// The latest moment, and none after `now`, that this time of day can mean.
    #[must_use]
    pub fn read(&self, written: Timestamp, now: Timestamp) -> Timestamp {
        let (written, now) = (signed(written), signed(now));
        let mut end = now;
        let mut latest = 0;
        for segment in self.0.lock().iter().rev() {
            latest = latest.max(segment.moment(written).min(end));
            end = segment.now.min(now);
        }
        timestamp(latest.min(now))
    }

    /// The time of day such that exactly the earlier ones are read as earlier than `moment`.
    #[must_use]
    pub fn cut(&self, moment: Timestamp, now: Timestamp) -> Timestamp {
        let (moment, now) = (signed(moment), signed(now));
        let mut end = now;
        let mut cut: Option<i128> = None;
        for segment in self.0.lock().iter().rev() {
            if end >= moment {
                let wall = segment.wall(moment);
                cut = Some(cut.map_or(wall, |cut| cut.min(wall)));
            }
            end = segment.now.min(now);
        }
        timestamp(cut.unwrap_or(i128::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::{Clock, ManualClock};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const MINUTE: Duration = Duration::from_secs(60);

    /// A clock with some years behind it.
    fn clock() -> ManualClock {
        let clock = ManualClock::default();
        clock.advance(10_000 * DAY);
        clock
    }

    #[test]
    fn what_is_written_has_the_time_of_day_and_means_the_same_moment_after_a_step() {
        for back in [false, true] {
            let clock = clock();
            let before = clock.now();
            let written_before = clock.written(before);
            clock.advance(MINUTE);
            if back {
                clock.step_back(DAY);
            } else {
                clock.step_forward(DAY);
            }
            let after = clock.now();
            assert_eq!(clock.written(after), clock.wall());
            assert_ne!(clock.wall(), after);
            clock.advance(MINUTE);
            assert_eq!(clock.read(clock.written(after)), after);
            if !back {
                assert_eq!(clock.read(written_before), before);
            }
        }
    }

    #[test]
    fn a_time_in_the_future_counts_as_now() {
        let clock = clock();
        let ahead = clock.wall().after(400 * DAY);
        assert_eq!(clock.read(ahead), clock.now());
        // Written by a clock that was a day ahead, and has been set right.
        clock.step_forward(DAY);
        let written = clock.written(clock.now());
        clock.step_back(DAY);
        clock.advance(MINUTE);
        assert_eq!(clock.read(written), clock.now());
    }

    #[test]
    fn small_corrections_are_no_steps() {
        let clock = clock();
        for _ in 0..1000 {
            clock.step_forward(Duration::from_micros(500));
            clock.advance(MINUTE);
            clock.step_back(Duration::from_micros(500));
        }
        assert_eq!(clock.timeline().0.lock().len(), 1);
        clock.step_forward(Duration::from_secs(1));
        assert_eq!(clock.timeline().0.lock().len(), 2);
    }

    /// How a clock goes on.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Advance(u64),
        Forward(u64),
        Back(u64),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            (0..100_000_u64).prop_map(Event::Advance),
            (0..100_000_u64).prop_map(Event::Forward),
            (0..100_000_u64).prop_map(Event::Back),
        ];
        prop::collection::vec(event, 0..20)
    }

    proptest! {
        /// A use of a session is never read as older than it is, whatever the clock does while
        /// the process runs; and what a database is asked to delete is what is read as ended.
        #[test]
        #[test]
        fn no_step_makes_a_moment_older(events in events(), lifetime in 1..50_000_u64) {
            let clock = clock();
            let mut uses = Vec::new();
            for event in events {
                let seconds = Duration::from_secs;
                match event {
                    Event::Advance(time) => clock.advance(seconds(time)),
                    Event::Forward(time) => clock.step_forward(seconds(time)),
                    Event::Back(time) => clock.step_back(seconds(time)),
                }
                uses.push((clock.now(), clock.written(clock.now())));
            }
            let ended = clock.now().before(Duration::from_secs(lifetime));
            for (moment, written) in uses {
                let read = clock.read(written);
                prop_assert!(read >= moment, "{read:?} {moment:?}");
                prop_assert!(read <= clock.now());
                prop_assert_eq!(written < clock.cut(ended), read < ended);
            }
        }
    }
}
