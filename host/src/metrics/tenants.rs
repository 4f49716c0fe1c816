//! What the busiest tenants do, each for itself, and all others together.
//!
//! Every counter only grows. A tenant is counted among the others until it is named; from
//! then on it has numbers of its own, which begin at nothing. When a busier one takes its
//! place, its numbers are told no more, and it is counted among the others again. So nothing
//! is counted twice, and the sum of all numbers grows with what all tenants do. A tenant that
//! is named again begins again at nothing, as after a restart of the server.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::state::{Collected, Traffic, Usage};

/// Stands for all tenants that are not named. One that is really called so is among them.
pub(super) const OTHER: &str = "other";

/// Bytes of an id, at most, that is told. Tenants with longer ones are not named.
const MAX_ID: usize = 128;

/// How often it is asked which tenants are the busiest, in collections.
const ROUND: u32 = 60;

/// How many times as busy as a named tenant another one has to be to take its place.
const LEAD: f64 = 2.0;

/// What a tenant did since it is named.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) usage: Usage,
    pub(super) traffic: Traffic,
}

impl Totals {
    fn add(&mut self, collected: &Collected) {
        self.usage = self.usage.plus(collected.usage);
        let (sum, more) = (&mut self.traffic, collected.traffic);
        sum.requests += more.requests;
        sum.errors += more.errors;
        sum.duration_ns += more.duration_ns;
    }
}

/// The busiest tenants, and all others together.
#[derive(Debug)]
pub(super) struct TopTenants {
    max: usize,
    named: BTreeMap<Box<str>, Totals>,
    others: Totals,
    /// Requests of each tenant that had some lately; half as many after each round.
    scores: HashMap<Box<str>, f64>,
    collections: u32,
}

impl TopTenants {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            named: BTreeMap::new(),
            others: Totals::default(),
            scores: HashMap::new(),
            collections: 0,
        }
    }

    /// Counts what tenants did since the last time.
    pub(super) fn add(&mut self, collected: &[Collected]) {
        for collected in collected {
            let id = collected.tenant.id();
            if id == OTHER || id.len() > MAX_ID {
                self.others.add(collected);
                continue;
            }
            let requests = collected.traffic.requests as f64;
            match self.scores.get_mut(id) {
                Some(score) => *score += requests,
                None => {
                    self.scores.insert(id.into(), requests);
                }
            }
            if !self.named.contains_key(id) && self.named.len() < self.max {
                self.named.insert(id.into(), Totals::default());
            }
            match self.named.get_mut(id) {
                Some(totals) => totals.add(collected),
                None => self.others.add(collected),
            }
        }
        self.collections += 1;
        if self.collections == ROUND {
            self.collections = 0;
            self.choose();
        }
    }

    /// Has the busiest tenants take the places of those that are far less busy.
    fn choose(&mut self) {
        let score = |id: &str| self.scores.get(id).copied().unwrap_or_default();
        let mut named: Vec<_> = self
            .named
            .keys()
            .map(|id| (score(id), id.clone()))
            .collect();
        named.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        let others = self.scores.iter();
        let others = others.filter(|(id, _)| !self.named.contains_key(*id));
        let mut others: Vec<_> = others.map(|(id, score)| (*score, id.clone())).collect();
        others.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        for ((weak, old), (strong, new)) in named.into_iter().zip(others) {
            if strong <= LEAD * weak {
                break;
            }
            self.named.remove(&old);
            self.named.insert(new, Totals::default());
        }
        self.scores.retain(|_, score| {
            *score /= 2.0;
            *score >= 1.0
        });
    }

    /// Every series: a tenant's, or that of all others.
    pub(super) fn series(&self) -> impl Iterator<Item = (&str, &Totals)> {
        let named = self.named.iter().map(|(id, totals)| (&**id, totals));
        named.chain([(OTHER, &self.others)])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tenantry_core::registry::Registry;

    use super::*;
    use crate::state::{Entry, Stage};

    fn tenant(id: &str) -> Arc<Entry> {
        let line = format!(r#"{{"id":"{id}","name":"n","welcome":"w"}}"#);
        let parsed = Registry::parse(line.as_bytes()).expect("a row");
        let row = parsed.registry.into_rows().into_iter().next();
        Arc::new(Entry::new(0, row.expect("a row"), Stage::Active))
    }

    fn did(id: &str, requests: u64) -> Collected {
        Collected {
            tenant: tenant(id),
            usage: Usage {
                chats: requests,
                ..Usage::default()
            },
            traffic: Traffic {
                requests,
                ..Traffic::default()
            },
        }
    }

    fn requests(top: &TopTenants) -> Vec<(String, u64)> {
        let series = top.series();
        let told = series.map(|(id, totals)| (id.to_owned(), totals.traffic.requests));
        told.collect()
    }

    fn told(series: &[(&str, u64)]) -> Vec<(String, u64)> {
        let series = series.iter();
        series.map(|(id, n)| ((*id).to_owned(), *n)).collect()
    }

    #[test]
    fn the_first_tenants_are_named_and_all_others_are_counted_together() {
        let mut top = TopTenants::new(2);
        top.add(&[did("a", 1), did("b", 2), did("c", 3), did("d", 4)]);
        assert_eq!(requests(&top), told(&[("a", 1), ("b", 2), ("other", 7)]));
        let mut none = TopTenants::new(0);
        none.add(&[did("a", 1), did("b", 2)]);
        assert_eq!(requests(&none), told(&[("other", 3)]));
    }

    #[test]
    fn a_far_busier_tenant_takes_a_place_and_no_number_ever_shrinks() {
        let mut top = TopTenants::new(2);
        let mut sum = 0;
        let mut before: Vec<(String, u64)> = Vec::new();
        for second in 0..10 * u64::from(ROUND) {
            let busy = if second < 120 { 1 } else { 50 };
            let did = [did("a", 10), did("b", 10), did("c", busy), did("d", 11)];
            sum += did.iter().map(|did| did.traffic.requests).sum::<u64>();
            top.add(&did);
            let now = requests(&top);
            assert!(now.len() <= 3);
            for (id, count) in &now {
                let was = before.iter().find(|(known, _)| known == id);
                // The sum of what is told misses what was counted for those who lost their
                // place, and nothing else.
                assert!(was.is_none_or(|(_, was)| was <= count), "{id}");
            }
            assert!(now.iter().map(|(_, count)| count).sum::<u64>() <= sum);
            before = now;
        }
        // d is only a little busier than b.
        let named: Vec<_> = before.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(named, ["b", "c", "other"]);
    }

    #[test]
    fn a_tenant_that_came_back_begins_at_nothing() {
        let mut top = TopTenants::new(1);
        let mut seconds = |id: &str, seconds: u32| {
            for _ in 0..seconds {
                top.add(&[did(id, 10)]);
            }
            requests(&top)
        };
        let first = seconds("a", ROUND);
        assert_eq!(first, told(&[("a", 600), ("other", 0)]));
        let second = seconds("b", 2 * ROUND);
        assert_eq!(second.last(), Some(&("other".to_owned(), 1200)));
        assert_eq!(second.first(), Some(&("b".to_owned(), 0)));
        let third = seconds("a", 5 * ROUND);
        assert_eq!(third.first().map(|(id, _)| id.as_str()), Some("a"));
        assert!(third.first().is_some_and(|(_, count)| *count < 3000));
    }

    #[test]
    fn what_nobody_does_any_more_is_forgotten() {
        let mut top = TopTenants::new(1);
        for n in 0..1000 {
            top.add(&[did(&format!("t{n}"), 1)]);
        }
        for _ in 0..20 * ROUND {
            top.add(&[]);
        }
        assert!(top.scores.is_empty());
    }

    #[test]
    fn a_tenant_called_other_and_a_very_long_id_are_not_named() {
        let mut top = TopTenants::new(9);
        let long = "x".repeat(MAX_ID + 1);
        top.add(&[did(OTHER, 1), did(&long, 2), did(&long[1..], 4)]);
        let told = requests(&top);
        assert_eq!(told.len(), 2);
        assert_eq!(told.last(), Some(&("other".to_owned(), 3)));
    }
}
