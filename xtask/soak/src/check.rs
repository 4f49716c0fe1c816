//! What must hold, as functions of what was seen. Times are since the soak began.

use std::{ops::RangeInclusive, time::Duration};

/// In which a tenant may have as many chats as its limit says.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);

/// What a kill may cost of usage: the second in which it is collected, and what a busy machine
/// needs to write it.
const UNWRITTEN: Duration = Duration::from_millis(2500);

/// Something that a server has acknowledged: it was done at some time between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) sent: Duration,
    pub(crate) answered: Duration,
    /// Which server did it, where that is known.
    pub(crate) server: Option<usize>,
}

/// The end of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Death {
    server: usize,
    at: Duration,
    /// What it has done since then it may not have written.
    unwritten_since: Duration,
}

impl Death {
    /// At `at`, with a database that was out of reach since `outage`, if it was.
    pub(crate) fn new(
        server: usize,
        at: Duration,
        outage: Option<Duration>,
        is_gentle: bool,
    ) -> Self {
        let from = match (outage, is_gentle) {
            (Some(outage), _) => outage.saturating_sub(UNWRITTEN),
            (None, true) => at,
            (None, false) => at.saturating_sub(UNWRITTEN),
        };
        Self {
            server,
            at,
            unwritten_since: from,
        }
    }

    fn may_have_cost(&self, act: &Act) -> bool {
        let is_its = act.server.is_none_or(|server| server == self.server);
        // A gentle end takes a moment, in which requests are answered, and written.
        is_its && act.answered >= self.unwritten_since && act.sent <= self.at
    }
}

/// What a database may say that a tenant used: `unknown` requests may have been done or not.
pub(crate) fn usage(acts: &[Act], unknown: u64, deaths: &[Death]) -> RangeInclusive<u64> {
    let may_be_lost = |act: &&Act| {
        let mut deaths = deaths
            .iter()
            .filter(|death| death.at > death.unwritten_since);
        deaths.any(|death| death.may_have_cost(act))
    };
    let acknowledged = acts.len() as u64;
    let may_be_lost = acts.iter().filter(may_be_lost).count() as u64;
    acknowledged - may_be_lost..=acknowledged + unknown
}

/// A time in which it is not sure that a server shared the limits with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// Whether limits were surely shared for all of that time.
pub(crate) fn is_shared(gaps: &[Gap], from: Duration, to: Duration) -> bool {
    !gaps.iter().any(|gap| gap.from < to && from < gap.to)
}

/// More chats within a window than there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) at: Duration,
    pub(crate) chats: usize,
    pub(crate) bound: usize,
}

/// Windows that surely hold more chats than `bound` says for a window from then on. A chat is
/// in a window where it was sent and answered within it.
pub(crate) fn excesses(granted: &[Act], bound: impl Fn(Duration) -> usize) -> Vec<Excess> {
    let mut granted = granted.to_vec();
    granted.sort_unstable_by_key(|act| act.sent);
    let mut found = Vec::new();
    for (n, first) in granted.iter().enumerate() {
        let end = first.sent + WINDOW;
        let in_it = granted[n..].iter().take_while(|act| act.sent < end);
        let chats = in_it.filter(|act| act.answered < end).count();
        let bound = bound(first.sent);
        if chats > bound {
            found.push(Excess {
                at: first.sent,
                chats,
                bound,
            });
        }
    }
    found
}

/// The versions that a tenant was given, each a higher number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    tried: u64,
    acknowledged: Vec<u64>,
}

impl Versions {
    /// The number of the next one.
    pub(crate) fn next(&mut self) -> u64 {
        self.tried += 1;
        self.tried
    }

    pub(crate) fn acknowledge(&mut self, version: u64) {
        self.acknowledged.push(version);
    }

    /// Those that were acknowledged.
    pub(crate) fn acknowledged(&self) -> &[u64] {
        &self.acknowledged
    }

    /// What there may be: the last one that was acknowledged, or one that was tried since.
    pub(crate) fn possible(&self) -> RangeInclusive<u64> {
        self.acknowledged.last().copied().unwrap_or(0)..=self.tried
    }

    /// Acknowledged ones of which there is no change, or more than one.
    pub(crate) fn not_there_once(&self, found: &[u64]) -> Vec<u64> {
        let is_once = |version: &&u64| found.iter().filter(|one| one == version).count() != 1;
        self.acknowledged.iter().filter(is_once).copied().collect()
    }
}

/// For how long a server says that it is ready before it has to be.
const READY_FOR: Duration = Duration::from_secs(2);

/// For how long it may be wrong: until it has asked its stores, which takes it a second, and
/// for as long as another server that stands still may have rows locked, which is two seconds.
const MAY_BE_WRONG_FOR: Duration = Duration::from_secs(3);

/// Between two requests to a server that is ready, and does its work.
const BETWEEN: Duration = Duration::from_secs(1);

/// What a server says of itself, and whether that is so.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    ready_since: Option<Duration>,
    failing_since: Option<Duration>,
    asked_at: Option<Duration>,
    is_told: bool,
}

impl Readiness {
    /// It says whether it is ready.
    pub(crate) fn says(&mut self, now: Duration, is_ready: bool) {
        if is_ready {
            self.ready_since.get_or_insert(now);
        } else {
            *self = Self::default();
        }
    }

    /// Whether a request has to be answered now.
    pub(crate) fn has_to_work(&self, now: Duration) -> bool {
        let is_ready = self
            .ready_since
            .is_some_and(|since| now >= since + READY_FOR);
        let is_time = self.asked_at.is_none_or(|at| now >= at + BETWEEN);
        is_ready && (is_time || self.failing_since.is_some())
    }

    /// It was asked. Returns how long it has been saying that it is ready while it could do
    /// nothing, the first time that this is too long.
    pub(crate) fn was_asked(&mut self, now: Duration, is_done: bool) -> Option<Duration> {
        self.asked_at = Some(now);
        if is_done {
            self.failing_since = None;
            self.is_told = false;
            return None;
        }
        let failing = now - *self.failing_since.get_or_insert(now);
        let is_too_long = failing > MAY_BE_WRONG_FOR && !self.is_told;
        self.is_told |= is_too_long;
        is_too_long.then_some(failing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn act(sent: u64, answered: u64) -> Act {
        Act {
            sent: ms(sent),
            answered: ms(answered),
            server: Some(0),
        }
    }

    #[test]
    fn only_what_surely_was_in_one_window_is_too_much() {
        let two = |_| 2;
        let chats = [act(0, 10), act(100, 110), act(9_000, 9_010)];
        let excess = Excess {
            at: ms(0),
            chats: 3,
            bound: 2,
        };
        assert_eq!(excesses(&chats, two), [excess]);
        assert_eq!(excesses(&chats, |_| 3), []);
        // In whatever order they were noted.
        let [one, other, third] = chats;
        assert_eq!(excesses(&[third, one, other], two), [excess]);
        // Answered behind the window: it may have been granted there.
        assert_eq!(excesses(&[one, other, act(9_000, 10_000)], two), []);
        assert_eq!(excesses(&[one, other, act(10_000, 10_001)], two), []);
        // A looser bound holds for the windows that begin there, and no others.
        let bound = |from: Duration| if from < ms(50) { 9 } else { 0 };
        assert_eq!(excesses(&chats, bound).len(), 2);
    }

    #[test]
    fn limits_are_shared_where_no_gap_is() {
        let gaps = [Gap {
            from: ms(100),
            to: ms(200),
        }];
        assert!(is_shared(&gaps, ms(0), ms(100)));
        assert!(is_shared(&gaps, ms(200), ms(300)));
        for (from, to) in [(0, 101), (199, 300), (120, 130), (0, 300)] {
            assert!(!is_shared(&gaps, ms(from), ms(to)), "{from} {to}");
        }
    }

    #[test]
    fn a_kill_may_cost_the_last_moment_of_its_server() {
        let acts = [act(0, 10), act(5_000, 5_010), act(9_000, 9_010)];
        assert_eq!(usage(&acts, 0, &[]), 3..=3);
        assert_eq!(usage(&acts, 2, &[]), 3..=5);
        let kill = Death::new(0, ms(10_000), None, false);
        assert_eq!(usage(&acts, 0, &[kill]), 2..=3);
        // Not what was done after it, nor by another server, nor where it ended gently.
        assert_eq!(
            usage(&acts, 0, &[Death::new(0, ms(4_900), None, false)]),
            3..=3
        );
        assert_eq!(
            usage(&acts, 0, &[Death::new(1, ms(10_000), None, false)]),
            3..=3
        );
        assert_eq!(
            usage(&acts, 0, &[Death::new(0, ms(9_000), None, true)]),
            3..=3
        );
        // With a database out of reach, all since then, however it ends.
        for is_gentle in [false, true] {
            let death = Death::new(0, ms(10_000), Some(ms(6_000)), is_gentle);
            assert_eq!(usage(&acts, 0, &[death]), 1..=3);
        }
    }

    #[test]
    fn the_last_acknowledged_version_or_a_later_one_has_to_be_there() {
        let mut versions = Versions::default();
        assert_eq!(versions.possible(), 0..=0);
        for acknowledged in [true, false, true, false] {
            let version = versions.next();
            if acknowledged {
                versions.acknowledge(version);
            }
        }
        assert_eq!(versions.possible(), 3..=4);
        assert_eq!(versions.acknowledged(), [1, 3]);
        assert_eq!(versions.not_there_once(&[1, 2, 3]), [0_u64; 0]);
        assert_eq!(versions.not_there_once(&[3, 2, 3]), [1, 3]);
    }

    #[test]
    fn a_server_that_is_ready_for_long_has_to_work() {
        let mut readiness = Readiness::default();
        readiness.says(ms(0), true);
        assert!(!readiness.has_to_work(ms(1_999)));
        readiness.says(ms(2_000), true);
        assert!(readiness.has_to_work(ms(2_000)));
        assert_eq!(readiness.was_asked(ms(2_010), true), None);
        assert!(!readiness.has_to_work(ms(3_000)));
        assert!(readiness.has_to_work(ms(3_010)));
        // A fault begins, and the server notices in time.
        assert_eq!(readiness.was_asked(ms(3_020), false), None);
        assert!(readiness.has_to_work(ms(3_100)));
        assert_eq!(readiness.was_asked(ms(5_900), false), None);
        readiness.says(ms(6_000), false);
        assert!(!readiness.has_to_work(ms(9_000)));
        // This time it does not.
        readiness.says(ms(10_000), true);
        assert_eq!(readiness.was_asked(ms(12_000), false), None);
        readiness.says(ms(13_000), true);
        assert_eq!(readiness.was_asked(ms(15_001), false), Some(ms(3_001)));
        // Said once.
        assert_eq!(readiness.was_asked(ms(15_100), false), None);
        assert_eq!(readiness.was_asked(ms(15_200), true), None);
        assert_eq!(readiness.was_asked(ms(20_000), false), None);
        assert!(readiness.was_asked(ms(24_000), false).is_some());
    }
}
