//! A circuit breaker: who finds a store out of reach again and again stops asking it for a
//! while, instead of waiting each time.
//!
//! It is closed as long as the store answers. After some failures in a row it is open: who
//! wants to ask is refused at once. When it has been open for a while, one may ask, and
//! closes it by an answer, or opens it for another while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::Clock;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it; at least one does.
    pub max_failures: u32,
    /// How long it is open before one may ask again.
    pub open: Duration,
}

/// Stands between those who ask and a store. It holds no lock.
pub struct Breaker {
    settings: BreakerSettings,
    clock: Arc<dyn Clock>,
    /// Failures in a row while it is closed.
    failures: AtomicU32,
    /// Until when nobody may ask, in nanoseconds of the clock; 0 while it is closed.
    open_until: AtomicU64,
    /// Somebody asks while it is open.
    is_probed: AtomicBool,
}

/// What a question's end has done to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "who logs outages learns of them here"]
pub enum Turn {
    /// Nothing.
    None,
    /// It was closed, and is open now: the store is lost.
    Opened,
    /// It was open, and is closed now: the store is back.
    Closed,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(settings: BreakerSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            clock,
            failures: AtomicU32::new(0),
            open_until: AtomicU64::new(0),
            is_probed: AtomicBool::new(false),
        }
    }

    /// Whether questions are let through.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open_until.load(Ordering::SeqCst) == 0
    }

    /// Leave to ask once, if the store may be asked now. Who gets it says how that ended.
    pub fn enter(&self) -> Option<Permit<'_>> {
        let permit = |is_probe| Permit {
            breaker: self,
            is_probe,
        };
        let open_until = self.open_until.load(Ordering::SeqCst);
        if open_until == 0 {
            return Some(permit(false));
        }
        let is_over = self.clock.now().as_nanos() >= open_until;
        if !is_over || self.is_probed.swap(true, Ordering::SeqCst) {
            return None;
        }
        // Somebody may have closed it since, or opened it for another while.
        match self.open_until.load(Ordering::SeqCst) {
            0 => {
                self.is_probed.store(false, Ordering::SeqCst);
                Some(permit(false))
            }
            until if until == open_until => Some(permit(true)),
            _ => {
                self.is_probed.store(false, Ordering::SeqCst);
                None
            }
        }
    }

    /// The end of a while that begins now. Never 0.
    fn end_of_while(&self) -> u64 {
        let end = self.clock.now().after(self.settings.open);
        end.as_nanos().max(1)
    }

    /// Opens it without having asked: the store is known to be out of reach.
    pub fn open(&self) -> Turn {
        let until = self.end_of_while();
        match self.open_until.swap(until, Ordering::SeqCst) {
            0 => Turn::Opened,
            _ => Turn::None,
        }
    }
}

/// Leave to ask a store once. Where it is dropped, nothing was learned of the store.
#[must_use]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    /// The breaker is open, and this one tries.
    is_probe: bool,
}

impl Permit<'_> {
    /// The store has answered, if only that it can't do what was asked.
    pub fn succeeded(self) -> Turn {
        let breaker = self.breaker;
        if self.is_probe {
            breaker.failures.store(0, Ordering::SeqCst);
            breaker.open_until.store(0, Ordering::SeqCst);
            return Turn::Closed;
        }
        // Most often there is nothing to write, and so nothing to wait for.
        if breaker.failures.load(Ordering::Relaxed) != 0 {
            breaker.failures.store(0, Ordering::SeqCst);
        }
        Turn::None
    }

    /// The store has not answered, or too late.
    pub fn failed(self) -> Turn {
        let breaker = self.breaker;
        if self.is_probe {
            let until = breaker.end_of_while();
            breaker.open_until.store(until, Ordering::SeqCst);
            return Turn::None;
        }
        let failures = breaker.failures.fetch_add(1, Ordering::SeqCst) + 1;
        if failures < breaker.settings.max_failures {
            return Turn::None;
        }
        let until = breaker.end_of_while();
        let opened =
            breaker
                .open_until
                .compare_exchange(0, until, Ordering::SeqCst, Ordering::SeqCst);
        match opened {
            Ok(_) => Turn::Opened,
            // Asked before it was opened by another one's failure.
            Err(_) => Turn::None,
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.is_probed.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::state::ManualClock;

    const OPEN: Duration = Duration::from_millis(500);

    fn breaker(max_failures: u32) -> (Breaker, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        let settings = BreakerSettings {
            max_failures,
            open: OPEN,
        };
        (Breaker::new(settings, Arc::clone(&clock) as _), clock)
    }

    fn enter(breaker: &Breaker) -> Permit<'_> {
        breaker.enter().expect("it may be asked")
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let (breaker, _) = breaker(3);
        for _ in 0..5 {
            assert_eq!(enter(&breaker).failed(), Turn::None);
            assert_eq!(enter(&breaker).failed(), Turn::None);
            // An answer between them, and they are not in a row.
            assert_eq!(enter(&breaker).succeeded(), Turn::None);
        }
        for turn in [Turn::None, Turn::None, Turn::Opened] {
            assert!(breaker.is_closed());
            assert_eq!(enter(&breaker).failed(), turn);
        }
        assert!(!breaker.is_closed());
        assert!(breaker.enter().is_none());
    }

    #[test]
    fn it_is_open_for_a_while_and_then_lets_one_try() {
        let (breaker, clock) = breaker(1);
        assert_eq!(enter(&breaker).failed(), Turn::Opened);
        clock.advance(OPEN - Duration::from_nanos(1));
        assert!(breaker.enter().is_none());
        clock.advance(Duration::from_nanos(1));
        let probe = enter(&breaker);
        assert!(breaker.enter().is_none(), "two try at once");
        assert_eq!(probe.failed(), Turn::None);
        assert!(breaker.enter().is_none());
        clock.advance(OPEN);
        assert_eq!(enter(&breaker).succeeded(), Turn::Closed);
        assert!(breaker.is_closed());
        let both = [enter(&breaker), enter(&breaker)];
        drop(both);
    }

    #[test]
    fn what_was_asked_before_it_opened_changes_nothing() {
        let (breaker, clock) = breaker(1);
        let before = [enter(&breaker), enter(&breaker), enter(&breaker)];
        let [first, second, third] = before;
        assert_eq!(first.failed(), Turn::Opened);
        clock.advance(OPEN / 2);
        assert_eq!(second.failed(), Turn::None);
        assert_eq!(third.succeeded(), Turn::None);
        assert!(!breaker.is_closed());
        clock.advance(OPEN / 2);
        assert_eq!(enter(&breaker).succeeded(), Turn::Closed);
    }

    #[test]
    fn who_gives_up_leaves_the_try_to_others() {
        let (breaker, clock) = breaker(1);
        assert_eq!(breaker.open(), Turn::Opened);
        assert_eq!(breaker.open(), Turn::None);
        clock.advance(OPEN);
        drop(enter(&breaker));
        let probe = enter(&breaker);
        assert_eq!(probe.succeeded(), Turn::Closed);
    }

    #[test]
    fn of_many_that_fail_at_once_one_opens_it() {
        let (breaker, clock) = breaker(4);
        let turns = || {
            let opened = AtomicU32::new(0);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            let turn = breaker.enter().map(Permit::failed);
                            if turn == Some(Turn::Opened) {
                                opened.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                    });
                }
            });
            opened.into_inner()
        };
        assert_eq!(turns(), 1);
        clock.advance(OPEN);
        // All that try at once: one may.
        let closed = AtomicU32::new(0);
        let tries = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if let Some(permit) = breaker.enter().filter(|permit| permit.is_probe) {
                        tries.fetch_add(1, Ordering::SeqCst);
                        if permit.succeeded() == Turn::Closed {
                            closed.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!((tries.into_inner(), closed.into_inner()), (1, 1));
        assert_eq!(turns(), 1);
    }
}
