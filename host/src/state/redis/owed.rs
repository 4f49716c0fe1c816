//! Chats that were granted here while Redis was lost, and that it has to count yet.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tenantry_core::{limit::WINDOW, time::Timestamp};

use super::script::Counted;

/// Granted chats, oldest first. Those that have left the window are of no interest any more.
#[derive(Debug, Default)]
pub(super) struct Owed {
    chats: Mutex<VecDeque<(Timestamp, Box<str>)>>,
}

/// Chats that were taken out to be told.
#[derive(Debug)]
pub(super) struct Taken(Vec<(Timestamp, Box<str>)>);

impl Owed {
    /// Notes a chat of a tenant.
    pub(super) fn push(&self, tenant: &str, now: Timestamp) {
        let mut chats = self.chats.lock();
        chats.push_back((now, tenant.into()));
        forget_old(&mut chats, now);
    }

    /// Takes out the oldest chats, at most so many; none where there are none.
    pub(super) fn take(&self, max: usize, now: Timestamp) -> Option<Taken> {
        let mut chats = self.chats.lock();
        forget_old(&mut chats, now);
        let n = chats.len().min(max);
        let taken: Vec<_> = chats.drain(..n).collect();
        (!taken.is_empty()).then_some(Taken(taken))
    }

    /// Puts back what may not have been counted.
    pub(super) fn put_back(&self, taken: Taken) {
        let mut chats = self.chats.lock();
        for chat in taken.0.into_iter().rev() {
            chats.push_front(chat);
        }
    }
}

fn forget_old(chats: &mut VecDeque<(Timestamp, Box<str>)>, now: Timestamp) {
    while chats
        .front()
        .is_some_and(|(at, _)| now.since(*at) >= WINDOW)
    {
        chats.pop_front();
    }
}

impl Taken {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// By tenant, and as ages.
    pub(super) fn counted(&self, now: Timestamp) -> Vec<Counted> {
        let mut by_tenant: Vec<(&str, Duration)> = Vec::with_capacity(self.0.len());
        by_tenant.extend(
            self.0
                .iter()
                .map(|(at, tenant)| (&**tenant, now.since(*at))),
        );
        by_tenant.sort_unstable();
        let chats = by_tenant.chunk_by(|(one, _), (other, _)| one == other);
        let counted = chats.filter_map(|chats| {
            let (tenant, _) = chats.first()?;
            Some(Counted {
                tenant: (*tenant).into(),
                ages: chats.iter().map(|(_, age)| *age).collect(),
            })
        });
        counted.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn what_has_left_the_window_is_forgotten() {
        let owed = Owed::default();
        for (second, tenant) in [(0, "a"), (1, "b"), (9, "a"), (9, "c")] {
            owed.push(tenant, at(second));
        }
        owed.push("a", at(10));
        assert_eq!(owed.chats.lock().len(), 4);
        let taken = owed.take(3, at(11)).expect("chats");
        assert_eq!(taken.0.len(), 3);
        let ages = |seconds: &[u64]| seconds.iter().map(|n| Duration::from_secs(*n)).collect();
        let expected = [
            Counted {
                tenant: "a".into(),
                ages: ages(&[1, 2]),
            },
            Counted {
                tenant: "c".into(),
                ages: ages(&[2]),
            },
        ];
        assert_eq!(taken.counted(at(11)), expected);
        owed.put_back(taken);
        assert_eq!(owed.take(2, at(11)).expect("chats").0.len(), 2);
        assert_eq!(owed.take(2, at(11)).expect("chats").0.len(), 1);
        assert!(owed.take(2, at(11)).is_none());
    }
}
