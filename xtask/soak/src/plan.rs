//! Which faults are made, and in which order: drawn from a seed.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus, seq::SliceRandom as _};

use crate::record::CLUSTER;

/// What a fault is done to. Two faults at a time are done to different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Server,
    Postgres,
    Redis,
    Sqlite,
}

macro_rules! kinds {
    ($($kind:ident $target:ident $name:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $($kind,)*
        }

        impl Kind {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            pub(crate) fn target(self) -> Target {
                match self { $(Self::$kind => Target::$target,)* }
            }
        }
    };
}

kinds! {
    ServerStop Server "server stopped",
    ServerKill Server "server killed",
    ServerStall Server "server stalled",
    ServerClock Server "server's clock stepped",
    ServerCut Server "server cut off from clients",
    ServerWithoutPostgres Server "server cut off from PostgreSQL",
    ServerWithoutRedis Server "server cut off from Redis",
    PostgresStop Postgres "PostgreSQL stopped",
    PostgresCrash Postgres "PostgreSQL crashed",
    PostgresKill Postgres "PostgreSQL killed",
    PostgresStall Postgres "PostgreSQL stalled",
    PostgresFull Postgres "PostgreSQL's disk full",
    PostgresReadOnly Postgres "PostgreSQL read-only",
    RedisKill Redis "Redis killed",
    RedisStall Redis "Redis stalled",
    SqliteStop Sqlite "SQLite server stopped",
    SqliteKill Sqlite "SQLite server killed",
    SqliteStall Sqlite "SQLite server stalled",
    SqliteClock Sqlite "SQLite server's clock stepped",
    SqliteFull Sqlite "SQLite disk full",
    SqliteFullKill Sqlite "SQLite disk full, and killed",
    SqliteReadOnly Sqlite "SQLite disk read-only at a start",
    SqliteBroken Sqlite "SQLite disk broken and read-only",
}

impl Kind {
    /// Whether a database can't do its work meanwhile.
    pub(crate) fn is_outage(self) -> bool {
        match self.target() {
            Target::Postgres => true,
            Target::Sqlite => matches!(
                self,
                Self::SqliteFull | Self::SqliteFullKill | Self::SqliteReadOnly | Self::SqliteBroken
            ),
            Target::Server => self == Self::ServerWithoutPostgres,
            Target::Redis => false,
        }
    }

    /// Whether it needs a disk of its own, which only root can make.
    pub(crate) fn needs_disk(self) -> bool {
        use Kind::{PostgresFull, SqliteFull, SqliteFullKill, SqliteReadOnly};
        matches!(
            self,
            PostgresFull | SqliteFull | SqliteFullKill | SqliteReadOnly
        )
    }

    /// Whether it needs a disk that can break.
    pub(crate) fn needs_image(self) -> bool {
        self == Self::SqliteBroken
    }

    /// Whether it needs clocks that can be stepped.
    pub(crate) fn needs_clock(self) -> bool {
        matches!(self, Self::ServerClock | Self::SqliteClock)
    }
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Of which server, where it is one of several.
    pub(crate) server: usize,
    /// By how much a clock is stepped.
    pub(crate) step_s: i64,
}

/// What is done at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// One fault, or two.
    pub(crate) faults: Vec<Fault>,
    pub(crate) lasts: Duration,
    /// Without a fault, after all servers have recovered.
    pub(crate) pause: Duration,
}

/// Steps without an end, the same ones for a seed and kinds.
pub(crate) struct Plan {
    random: Xoshiro256PlusPlus,
    kinds: Vec<Kind>,
    /// What is left of all kinds: each comes as often as the others.
    deck: Vec<Kind>,
}

impl Plan {
    pub(crate) fn new(seed: u64, kinds: &[Kind]) -> Self {
        Self {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            kinds: kinds.to_vec(),
            deck: Vec::new(),
        }
    }

    fn draw(&mut self) -> Option<Fault> {
        if self.deck.is_empty() {
            self.deck = self.kinds.clone();
            self.deck.shuffle(&mut self.random);
        }
        let kind = self.deck.pop()?;
        let minutes = self.random.random_range(10..=120);
        let sign = if self.random.random_bool(0.5) { 1 } else { -1 };
        Some(Fault {
            kind,
            server: self.random.random_range(0..CLUSTER),
            step_s: sign * 60 * minutes,
        })
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let first = self.draw()?;
        let mut faults = vec![first];
        if self.random.random_bool(0.25)
            && let Some(second) = self.draw()
        {
            if second.kind.target() == first.kind.target() {
                self.deck.push(second.kind);
            } else {
                faults.push(second);
            }
        }
        Some(Step {
            faults,
            lasts: Duration::from_millis(self.random.random_range(2_000..8_000)),
            pause: Duration::from_millis(self.random.random_range(0..8_000)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults_again() {
        let steps = |seed| Plan::new(seed, Kind::ALL).take(50).collect::<Vec<_>>();
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
        assert_eq!(Plan::new(7, &[]).next(), None);
    }

    #[test]
    fn every_kind_comes_and_two_at_a_time_have_different_targets() {
        let mut counts = BTreeMap::new();
        let mut pairs = 0;
        for step in Plan::new(1, Kind::ALL).take(200) {
            for fault in &step.faults {
                *counts.entry(fault.kind).or_insert(0) += 1;
                assert!(fault.server < CLUSTER);
                assert!((600..=7_200).contains(&fault.step_s.abs()));
            }
            if let [one, other] = step.faults[..] {
                assert_ne!(one.kind.target(), other.kind.target());
                pairs += 1;
            }
        }
        assert_eq!(counts.len(), Kind::ALL.len());
        assert!(counts.values().all(|count| *count >= 8), "{counts:?}");
        assert!((20..80).contains(&pairs), "{pairs}");
    }
}
