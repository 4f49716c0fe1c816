//! Turns: how the tenants of a worker thread share it.
//!
//! The time that a connection's task takes is charged to its *party*: the tenant that it had
//! its last request for. In each round a party may take [`SHARE`]. The connections of one that
//! has taken it wait for the next round, unread; those of others do not. A round ends once the
//! thread has looked at its sockets again, so a request that comes while a tenant floods the
//! server waits for a share, and not for all that the tenant has sent.
//!
//! Nobody waits where nobody takes that much: a round is over after [`MAX_ROUND`], too.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use tenantry_core::session::TenantKey;
use tokio::sync::Notify;

use super::activity::Activity;

/// What a party may take of a round: some short requests. With less, the thread would look
/// at its sockets nearly as often as it answers.
const SHARE: Duration = Duration::from_micros(300);

/// A round in which nobody waits for the next one, and how long it matters that somebody has
/// taken a share of it.
const MAX_ROUND: Duration = Duration::from_millis(3);

/// Who shares: a tenant, or all connections that have had no request for one.
pub(super) type Party = Option<TenantKey>;

/// Where a connection is in all that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Turn {
    /// It has not asked.
    #[default]
    None,
    /// It waits for its party's turn.
    Waits,
    /// It may go on.
    Granted,
}

/// The turns of one worker thread.
#[derive(Debug)]
pub(super) struct Turns {
    round: RefCell<Round>,
    /// Told when a connection begins to wait.
    waits: Notify,
}

#[derive(Debug)]
struct Round {
    /// When it began, or somebody was limited in it.
    since: Instant,
    parties: HashMap<Party, Taken>,
    /// Parties that are limited.
    limited: usize,
    /// Connections that wait.
    waiting: usize,
}

/// What a party has taken of a round.
#[derive(Debug, Default)]
struct Taken {
    time: Duration,
    /// How often one of its connections went on.
    times: u128,
    waiting: VecDeque<Weak<Activity>>,
}

impl Taken {
    /// Whether further connections have to wait.
    fn is_limited(&self) -> bool {
        self.time >= SHARE || !self.waiting.is_empty()
    }

    /// Connections that take about a share, if they go on like those before; at least one.
    fn fitting(&self) -> u128 {
        let fitting = SHARE.as_nanos() * self.times / self.time.as_nanos().max(1);
        fitting.max(1)
    }
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            round: RefCell::new(Round {
                since: Instant::now(),
                parties: HashMap::new(),
                limited: 0,
                waiting: 0,
            }),
            waits: Notify::new(),
        }
    }

    /// Whether a connection may go on now. Where not, it is woken when it may.
    pub(super) fn may_go(&self, connection: &Rc<Activity>, now: Instant) -> bool {
        match connection.turn.take() {
            Turn::Granted => return true,
            Turn::None => {}
            Turn::Waits => {
                connection.turn.set(Turn::Waits);
                return false;
            }
        }
        let mut round = self.round.borrow_mut();
        round.end_after_max(now);
        if round.limited == 0 {
            return true;
        }
        match round.parties.get_mut(&connection.party.get()) {
            Some(taken) if taken.is_limited() => {
                taken.waiting.push_back(Rc::downgrade(connection));
                round.waiting += 1;
                connection.turn.set(Turn::Waits);
                self.waits.notify_one();
                false
            }
            _ => true,
        }
    }

    /// Charges a party for the time that one of its connections has taken until `now`.
    pub(super) fn charge(&self, party: Party, time: Duration, now: Instant) {
        let mut round = self.round.borrow_mut();
        let taken = round.parties.entry(party).or_default();
        let was_limited = taken.is_limited();
        taken.time += time;
        taken.times += 1;
        if taken.is_limited() && !was_limited {
            round.limited += 1;
            round.since = now;
        }
    }

    /// Begins round after round, for ever.
    pub(super) async fn run(&self) {
        loop {
            self.waits.notified().await;
            let mut somebody_waits = true;
            while somebody_waits {
                // Until the thread has looked at its sockets.
                tokio::task::yield_now().await;
                somebody_waits = self.round.borrow_mut().next(Instant::now());
            }
        }
    }
}

impl Round {
    /// Where nobody waits for the next round, it begins by itself.
    fn end_after_max(&mut self, now: Instant) {
        if self.waiting == 0 && now.duration_since(self.since) > MAX_ROUND {
            self.since = now;
            self.parties.clear();
            self.limited = 0;
        }
    }

    /// Begins the next round; returns whether somebody waits for the one after it.
    fn next(&mut self, now: Instant) -> bool {
        self.since = now;
        let mut granted = Vec::new();
        self.parties.retain(|_, taken| {
            let mut grants = taken.fitting();
            while grants > 0
                && let Some(connection) = taken.waiting.pop_front()
            {
                self.waiting -= 1;
                if let Some(connection) = connection.upgrade() {
                    granted.push((taken.time, connection));
                    grants -= 1;
                }
            }
            taken.time = Duration::ZERO;
            taken.times = 0;
            taken.is_limited()
        });
        self.limited = self.parties.len();
        // Who took a little more than a share does not wait for who takes far more.
        granted.sort_by_key(|(time, _)| *time);
        for (_, connection) in granted {
            connection.turn.set(Turn::Granted);
            connection.wake();
        }
        self.waiting > 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::runtime::{Builder, LocalOptions};

    use super::{
        super::{activity::Activities, budget::Budget},
        *,
    };

    /// Connections of these parties.
    fn connections<const N: usize>(parties: [u32; N]) -> [Rc<Activity>; N] {
        let activities = Activities::default();
        let budget = Budget::of(1 << 20, Arc::default());
        parties.map(|party| {
            let connection = activities.add(&budget);
            connection.party.set(Some(party));
            connection
        })
    }

    /// Which of them may go on.
    fn going(turns: &Turns, connections: &[Rc<Activity>]) -> Vec<bool> {
        let now = turns.round.borrow().since;
        let may_go = |connection| turns.may_go(connection, now);
        connections.iter().map(may_go).collect()
    }

    /// Charges the first party, which has begun with that when the round began.
    fn charge(turns: &Turns, time: Duration) {
        let now = turns.round.borrow().since + time;
        turns.charge(Some(1), time, now);
    }

    fn run(rounds: usize, turns: &Rc<Turns>) {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let turns = Rc::clone(turns);
            tokio::task::spawn_local(async move { turns.run().await });
            for _ in 0..=rounds {
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn who_has_taken_a_share_waits_with_all_connections_and_nobody_else_does() {
        let turns = Turns::new();
        let all = connections([1, 1, 2]);
        assert_eq!(going(&turns, &all), [true, true, true]);
        charge(&turns, SHARE / 2);
        assert_eq!(going(&turns, &all), [true, true, true]);
        charge(&turns, SHARE / 2);
        assert_eq!(going(&turns, &all), [false, false, true]);
        // Woken by something else, they wait on.
        assert_eq!(going(&turns, &all), [false, false, true]);
    }

    #[test]
    fn what_took_longer_than_a_round_is_not_forgotten_with_it() {
        let turns = Turns::new();
        charge(&turns, MAX_ROUND * 5);
        assert_eq!(going(&turns, &connections([1, 2])), [false, true]);
    }

    #[test]
    fn those_that_wait_go_on_in_their_order_a_share_at_a_time() {
        let turns = Rc::new(Turns::new());
        let all = connections([1, 1, 1, 1]);
        // Two took the whole share.
        charge(&turns, SHARE / 2);
        charge(&turns, SHARE / 2);
        assert_eq!(going(&turns, &all), [false; 4]);
        run(1, &turns);
        assert_eq!(going(&turns, &all), [true, true, false, false]);
        // Those that come later do not overtake them.
        let [late] = connections([1]);
        assert_eq!(going(&turns, &[late]), [false]);
    }

    #[test]
    fn of_those_that_take_long_one_goes_on_in_a_round() {
        let turns = Rc::new(Turns::new());
        let all = connections([1, 1, 1, 1]);
        for _ in 0..3 {
            charge(&turns, SHARE * 10);
        }
        assert_eq!(going(&turns, &all), [false; 4]);
        run(1, &turns);
        assert_eq!(going(&turns, &all), [true, false, false, false]);
    }

    #[test]
    fn a_connection_that_has_ended_takes_nobodys_turn() {
        let turns = Rc::new(Turns::new());
        let [first, second] = connections([1, 1]);
        charge(&turns, SHARE);
        assert!(!going(&turns, &[first])[0]);
        assert_eq!(going(&turns, &[Rc::clone(&second)]), [false]);
        run(1, &turns);
        assert_eq!(going(&turns, &[second]), [true]);
    }

    #[test]
    fn a_round_that_nobody_waits_for_ends_by_itself() {
        let turns = Turns::new();
        let [connection] = connections([1]);
        charge(&turns, SHARE);
        let later = turns.round.borrow().since + MAX_ROUND + Duration::from_nanos(1);
        assert!(turns.may_go(&connection, later));
        assert_eq!(turns.round.borrow().limited, 0);
    }
}
