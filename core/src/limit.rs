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
        // A clock that stepped back must not put chats out of order.
        let now = self.granted.back().map_or(now, |&last| last.max(now));
        while self
            .granted
            .front()
            .is_some_and(|&oldest| now.since(oldest) >= WINDOW)
        {
            self.granted.pop_front();
        }
        // Room that a busy time took is given back when it is over.
        let room = 2 * self.granted.len().max(16);
        if self.granted.capacity() > 2 * room {
            self.granted.shrink_to(room);
        }
        let limit_len = usize::try_from(limit).unwrap_or(usize::MAX);
        let admitted = self.granted.len() < limit_len;
        if admitted {
            self.granted.push_back(now);
        }
        // The chat whose end makes room: the oldest, or, where the limit was lowered
        // and more are inside than it allows, the one that brings them below it.
        let over = self.granted.len().saturating_sub(limit_len);
        let reset = self.granted.get(over).map_or(WINDOW, |&chat| {
            Duration::from_nanos(nanos(WINDOW) - nanos(now.since(chat)))
        });
        let used = u32::try_from(self.granted.len()).unwrap_or(u32::MAX);
        let quota = Quota {
            limit,
            remaining: limit.saturating_sub(used),
            reset,
        };
        if admitted {
            Admission::Granted(quota)
        } else {
            Admission::Refused(quota)
        }
    }

    /// The granted chats that still count, oldest first.
    pub fn granted(&self) -> impl Iterator<Item = Timestamp> {
        self.granted.iter().copied()
    }
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
