//! Sessions: their ids, whose they are, when they end, and how many a tenant may have.
//!
//! A session belongs to the tenant that it was opened for, and never changes hands. It
//! ends when it has not been used for its lifetime; from then on it is as if it had never
//! been. Time is counted in ticks of 1/256 of that lifetime, so a session lives for its
//! lifetime and at most one tick more, and a table need not write at every use.
//!
//! A [`Table`] knows whose each session is; a tenant's [`Ledger`] knows how many it has.
//! They are apart so that a runner can split the table into parts with a lock each. The
//! two are changed together, the table first.

use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};
use core::{fmt, time::Duration};

use uuid::Uuid;

use crate::{
    tenancy::{OpenError, Owner},
    time::{Timestamp, nanos},
};

/// The id of a session: a version 4 UUID, whose 122 random bits are the only secret that
/// a client needs. Its one text form is lower case with hyphens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64, u64);

impl SessionId {
    /// An id made of random bytes; six bits of them are replaced.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let (high, low) = id.as_u64_pair();
        Self(high, low)
    }

    /// The id as two numbers, its first 8 bytes first.
    #[must_use]
    pub const fn as_u64_pair(self) -> (u64, u64) {
        (self.0, self.1)
    }

    /// The id of these two numbers; see [`SessionId::as_u64_pair`].
    #[must_use]
    pub const fn from_u64_pair(high: u64, low: u64) -> Self {
        Self(high, low)
    }

    /// Reads the text form. Anything else, such as capitals, blanks around it or missing
    /// hyphens, is no id that was ever given out: `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
        if [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
            return None;
        }
        let mut digits = [0; 32];
        for (start, end, from) in [
            (0, 8, 0),
            (8, 12, 9),
            (12, 16, 14),
            (16, 20, 19),
            (20, 32, 24),
        ] {
            digits[start..end].copy_from_slice(&text[from..from + end - start]);
        }
        let mut words = [0; 4];
        for (word, eight) in words.iter_mut().zip(digits.as_chunks().0) {
            *word = u64::from(hex_value(*eight)?);
        }
        let [a, b, c, d] = words;
        Some(Self(a << 32 | b, c << 32 | d))
    }
}

/// The value of eight hexadecimal digits in lower case, worked out for all at once.
fn hex_value(digits: [u8; 8]) -> Option<u32> {
    const ONES: u64 = u64::MAX / 0xff;
    const TOPS: u64 = ONES << 7;
    let text = u64::from_be_bytes(digits);
    // Per byte, with the top bit to spare: whether it is at least `from`.
    let at_least = |word: u64, from: u8| (word | TOPS).wrapping_sub(ONES * u64::from(from)) & TOPS;
    let is_digit = at_least(text, b'0') & !at_least(text, b'9' + 1);
    let is_letter = at_least(text, b'a') & !at_least(text, b'f' + 1);
    if text & TOPS != 0 || is_digit | is_letter != TOPS {
        return None;
    }
    // `a` is 0x61: its low half, and nine.
    let halves = (text & (ONES * 0xf)) + (is_letter >> 7) * 9;
    let bytes = (halves | halves >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    Some((pairs | pairs >> 16) as u32)
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u64_pair(self.0, self.1).hyphenated().fmt(f)
    }
}

impl fmt::Debug for SessionId {
    /// Does not show the id: it is a secret, and debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// How long a session lives without being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Nanoseconds a tick; 0 where sessions never end.
    tick: u64,
}

/// Ticks in a lifetime.
const LIFETIME_TICKS: u64 = 256;

impl Lifetime {
    /// Sessions that never end.
    pub const FOREVER: Self = Self { tick: 0 };

    /// Sessions that end after `ttl` of no use. Zero is [`Lifetime::FOREVER`].
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self {
            tick: nanos(ttl).div_ceil(LIFETIME_TICKS),
        }
    }

    /// The tick of a moment.
    #[must_use]
    pub fn tick(self, now: Timestamp) -> Tick {
        Tick(now.as_nanos().checked_div(self.tick).unwrap_or(0))
    }

    /// The first moment of a tick. Where sessions never end there is one tick only, and
    /// this is `None`.
    #[must_use]
    pub fn start(self, tick: Tick) -> Option<Timestamp> {
        let start = tick.0.saturating_mul(self.tick);
        (self.tick > 0).then(|| Timestamp::from_nanos(start))
    }

    /// The first moment of the oldest tick in which a session can have been used that lives
    /// at `now`. `None` where sessions never end.
    #[must_use]
    pub fn first_live(self, now: Tick) -> Option<Timestamp> {
        self.start(Tick(now.0.saturating_sub(LIFETIME_TICKS)))
    }

    /// How often a [`Table`] is worth sweeping: sixteen times in a lifetime. `None` where
    /// sessions never end.
    #[must_use]
    pub fn sweep_interval(self) -> Option<Duration> {
        let interval = self.tick.saturating_mul(LIFETIME_TICKS / 16);
        (interval > 0).then(|| Duration::from_nanos(interval))
    }
}

/// A moment, in ticks of a [`Lifetime`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

impl Tick {
    /// Whether what was last used in this tick has ended at `now`.
    pub(crate) fn is_over(self, now: Self) -> bool {
        now.0.saturating_sub(self.0) > LIFETIME_TICKS
    }
}

/// A tenant, as a number that its runner gave it.
pub type TenantKey = u32;

/// Whose each session is. About 40 bytes a session.
#[derive(Debug, Clone, Default)]
pub struct Table {
    sessions: BTreeMap<SessionId, Session>,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    tenant: TenantKey,
    /// The low half of the tick in which it was last used, to save room. Tables are swept
    /// so often that the high half is always known.
    used: u32,
}

impl Session {
    fn used(self, now: Tick) -> Tick {
        let age = (now.0 as u32).wrapping_sub(self.used);
        // A thread that read the clock earlier sees a use that is ahead of it.
        let age = if age > u32::MAX / 2 { 0 } else { age };
        Tick(now.0.saturating_sub(age.into()))
    }

    fn is_over(self, now: Tick) -> bool {
        self.used(now).is_over(now)
    }
}

impl Table {
    /// Opens a session with that id for `tenant`, whose sessions `ledger` counts.
    ///
    /// # Errors
    /// The id is in use, whoever uses it, or the tenant has `max` sessions. Nothing has
    /// changed then.
    pub fn open(
        &mut self,
        id: SessionId,
        tenant: TenantKey,
        ledger: &mut Ledger,
        max: u32,
        now: Tick,
    ) -> Result<(), OpenError> {
        let entry = self.sessions.entry(id);
        if matches!(&entry, Entry::Occupied(session) if !session.get().is_over(now)) {
            return Err(OpenError::Exists);
        }
        ledger.open(max, now)?;
        let used = now.0 as u32;
        entry.insert_entry(Session { tenant, used });
        Ok(())
    }

    /// Whose the session is, as `tenant` may know it. Its owner's look at it is a use of
    /// it: where that gives it a new tick, `used` is called with the old one, to ask the
    /// owner's [`Ledger::used`] whether the session still counts. Where it does not, it
    /// has ended.
    pub fn owner(
        &mut self,
        id: SessionId,
        tenant: TenantKey,
        now: Tick,
        used: impl FnOnce(Tick) -> bool,
    ) -> Owner {
        match self.sessions.get_mut(&id) {
            Some(session) if session.is_over(now) => {
                self.sessions.remove(&id);
                Owner::Unknown
            }
            Some(session) if session.tenant != tenant => Owner::Another,
            Some(session) => {
                let before = session.used(now);
                if before < now {
                    if !used(before) {
                        self.sessions.remove(&id);
                        return Owner::Unknown;
                    }
                    session.used = now.0 as u32;
                }
                Owner::Mine
            }
            None => Owner::Unknown,
        }
    }

    /// Whose the session is, without using it.
    #[must_use]
    pub fn peek(&self, id: SessionId, now: Tick) -> Option<TenantKey> {
        let session = self.sessions.get(&id)?;
        (!session.is_over(now)).then_some(session.tenant)
    }

    /// Ends a session before its time; returns whose it was and when it was last used, for
    /// its owner's [`Ledger::closed`]. `None` where there was no such session.
    pub fn close(&mut self, id: SessionId, now: Tick) -> Option<(TenantKey, Tick)> {
        let session = self.sessions.remove(&id)?;
        (!session.is_over(now)).then(|| (session.tenant, session.used(now)))
    }

    /// Every live session: its id, whose it is, and when it was last used. In the order of
    /// ids, which is no order.
    pub fn live(&self, now: Tick) -> impl Iterator<Item = (SessionId, TenantKey, Tick)> {
        let live = move |session: &Session| !session.is_over(now);
        self.sessions
            .iter()
            .filter(move |(_, session)| live(session))
            .map(move |(id, session)| (*id, session.tenant, session.used(now)))
    }

    /// Forgets the sessions that have ended; they do not count even before that.
    pub fn sweep(&mut self, now: Tick) {
        self.sessions.retain(|_, session| !session.is_over(now));
    }

    /// Sessions held, those included that have ended and were not swept yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

/// How many sessions one tenant has: exact at every moment, though ended ones are swept
/// from the [`Table`] later.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    live: u32,
    /// Ticks in which live sessions were last used, oldest first, and how many in each.
    by_tick: VecDeque<(Tick, u32)>,
}

impl Ledger {
    /// Sessions that live at `now`.
    pub fn live(&mut self, now: Tick) -> u32 {
        while let Some(&(tick, count)) = self.by_tick.front()
            && tick.is_over(now)
        {
            self.live -= count;
            self.by_tick.pop_front();
        }
        self.live
    }

    /// Counts one session more.
    fn open(&mut self, max: u32, now: Tick) -> Result<(), OpenError> {
        if self.live(now) >= max {
            return Err(OpenError::Full);
        }
        self.add(now);
        Ok(())
    }

    /// Moves a session that was last used at `before` to `now`. Returns false, and does
    /// nothing, where it does not count any more: it was seen to have ended by someone
    /// whose clock is ahead of `now`, and its place may be taken.
    #[must_use]
    pub fn used(&mut self, before: Tick, now: Tick) -> bool {
        let counts = self.closed(before);
        if counts {
            self.add(now);
        }
        counts
    }

    /// Counts one session less, which was last used at `before`. Returns false, and does
    /// nothing, where it does not count any more.
    pub fn closed(&mut self, before: Tick) -> bool {
        let Some(at) = self.by_tick.iter().position(|(tick, _)| *tick == before) else {
            return false;
        };
        if let Some((_, count)) = self.by_tick.get_mut(at) {
            *count -= 1;
            self.live -= 1;
            if *count == 0 {
                self.by_tick.remove(at);
            }
        }
        true
    }

    fn add(&mut self, now: Tick) {
        self.live += 1;
        // Threads read the clock before they come here: the newest tick may be ahead.
        for (tick, count) in self.by_tick.iter_mut().rev().take(2) {
            if *tick == now {
                *count += 1;
                return;
            }
        }
        let newer = self.by_tick.iter().rev();
        let newer = newer.take_while(|(tick, _)| *tick > now).count();
        let place = self.by_tick.len() - newer;
        self.by_tick.insert(place, (now, 1));
    }
}
