//! Rate limits: at most N chats in any 10 seconds, exactly.
//!
//! The window slides: a chat counts from the moment that it was granted until
//! [`WINDOW`] later, and then no more. Every span of 10 seconds, wherever it starts,
//! holds at most N granted chats. Refused chats do not count.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::time::{Timestamp, nanos};

/// The span in which a tenant's chats are counted.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Whether one more chat is allowed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// This tenant has no limit; nothing was counted.
    Unlimited,
    /// Allowed, and counted.
    Granted(Quota),
    /// Not allowed, and not counted; `quota.reset` says when to try again.
    Refused(Quota),
}

impl Admission {
    /// Whether the chat is allowed.
    #[must_use]
    pub fn is_granted(self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    /// What is left of the limit; `None` where there is none.
    #[must_use]
    pub fn quota(self) -> Option<Quota> {
        match self {
            Self::Unlimited => None,
            Self::Granted(quota) | Self::Refused(quota) => Some(quota),
        }
    }
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Chats allowed in any [`WINDOW`].
    pub limit: u32,
    /// Chats that would be granted now, without waiting.
    pub remaining: u32,
    /// Time until one more chat becomes available than now.
    pub reset: Duration,
}

/// The granted chats of one tenant that are still inside the window.
///
/// Holds 8 bytes for each, and room for as many again or a few more; there are at most as
/// many as the limit allows.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Oldest first.
    granted: VecDeque<Timestamp>,
}

impl Window {
    /// Grants and counts one chat at `now`, or refuses it, where `limit` chats are
    /// allowed in any [`WINDOW`]. A limit of 0 refuses every chat.
    pub fn admit(&mut self, limit: u32, now: Timestamp) -> Admission {
        let now = self.not_before_last(now);
        self.granted.drain(..self.ended(now));
        // Room that a busy time took is given back when it is over.
        let room = 2 * self.granted.len().max(16);
        if self.granted.capacity() > 2 * room {
            self.granted.shrink_to(room);
        }
        let admitted = self.granted.len() < len(limit);
        if admitted {
            self.granted.push_back(now);
        }
        let quota = self.quota(limit, now);
        if admitted {
            Admission::Granted(quota)
        } else {
            Admission::Refused(quota)
        }
    }

    /// What is left at `now` where `limit` chats are allowed in any [`WINDOW`]. Counts
    /// nothing. Where nothing has been used, nothing has to be waited for.
    #[must_use]
    pub fn quota(&self, limit: u32, now: Timestamp) -> Quota {
        let now = self.not_before_last(now);
        let ended = self.ended(now);
        let used = self.granted.len() - ended;
        // The chat whose end makes room: the oldest, or, where the limit was lowered
        // and more are inside than it allows, the one that brings them below it.
        let over = used.saturating_sub(len(limit));
        let reset = match self.granted.get(ended + over) {
            Some(&chat) => Duration::from_nanos(nanos(WINDOW) - nanos(now.since(chat))),
            None if limit > 0 => Duration::ZERO,
            None => WINDOW,
        };
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        Quota {
            limit,
            remaining: limit.saturating_sub(used),
            reset,
        }
    }

    /// A clock that stepped back must not put chats out of order.
    fn not_before_last(&self, now: Timestamp) -> Timestamp {
        self.granted.back().map_or(now, |&last| last.max(now))
    }

    /// How many of the granted chats, counted from the oldest, have left the window.
    fn ended(&self, now: Timestamp) -> usize {
        let ended = |chat: &&Timestamp| now.since(**chat) >= WINDOW;
        self.granted.iter().take_while(ended).count()
    }

    /// The granted chats that still count, oldest first.
    pub fn granted(&self) -> impl Iterator<Item = Timestamp> {
        self.granted.iter().copied()
    }
}

impl FromIterator<Timestamp> for Window {
    /// A window in which these chats were granted, in whatever order they come.
    fn from_iter<I: IntoIterator<Item = Timestamp>>(granted: I) -> Self {
        let mut window = Self::default();
        for chat in granted {
            // Most come in order.
            let place = window.granted.partition_point(|&other| other <= chat);
            window.granted.insert(place, chat);
        }
        window
    }
}

/// A limit, as the length that a window may have.
fn len(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_a_busy_time_took_is_given_back() {
        let mut window = Window::default();
        for chat in 0..10_000 {
            window.admit(u32::MAX, Timestamp::from_nanos(chat));
        }
        assert!(window.granted.capacity() >= 10_000);
        window.admit(u32::MAX, Timestamp::from_nanos(nanos(WINDOW) + 9_990));
        assert_eq!(window.granted.len(), 10);
        assert!(window.granted.capacity() <= 64);
    }
}
