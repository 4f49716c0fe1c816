//! Many tenants: sandboxes come and go.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;

use super::{Bench, Contestant, Found, Kind, rounds};
use crate::{
    process::{Server, write_tenants},
    results::{Comparison, Variant},
    work::{self, Spread},
    wrk::{Expect, write_script},
};

pub(super) const KIND: Kind = Kind {
    name: "tenants",
    title: "Many tenants",
    about: "POST /chat in a sandbox for each tenant, with 32 connections and one worker thread. \
            A thread keeps 4,096 sandboxes unless it is told otherwise; with more tenants, those \
            that were used longest ago make room. Even traffic gives all tenants the same, which \
            is the worst that can happen to a cache; Zipf's gives the n-th tenant an n-th of \
            what the first one gets, as customers do.",
    run,
};

/// Requests of a sequence: a script can't have more.
const LENGTH: usize = 30_000;

/// How many tenants, how their traffic is spread, and the ratio to three tenants that is the
/// goal.
const CROWDS: [(usize, Spread, Option<f64>); 8] = [
    (3, Spread::Even, None),
    (1_000, Spread::Even, None),
    (1_000, Spread::Zipf, None),
    (10_000, Spread::Even, None),
    (10_000, Spread::Zipf, Some(0.9)),
    (100_000, Spread::Even, None),
    (100_000, Spread::Zipf, None),
    // The first three of a million: what the others cost by being there.
    (1_000_000, Spread::Even, Some(0.95)),
];

fn run(bench: &Bench) -> Result<Found> {
    let mut files = BTreeMap::<usize, PathBuf>::new();
    let mut contestants = Vec::new();
    for (tenants, spread, _) in CROWDS {
        let file = bench.scratch.join(format!("{tenants}.jsonl"));
        if files.insert(tenants, file.clone()).is_none() {
            write_tenants(&file, tenants)?;
        }
        let server = Server::tenantry(&bench.server, &file, &[])?;
        let script = bench.scratch.join(format!("{tenants}-{spread:?}.lua"));
        let reached = if tenants == 1_000_000 { 3 } else { tenants };
        let sequence = work::sequence(reached, spread, LENGTH);
        let mut distinct = sequence.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let sessions = work::open_sessions(&server.address, &distinct)?;
        let chat = |tenant: &usize| {
            let at = distinct.binary_search(tenant).unwrap_or_default();
            work::chat(&sessions[at], work::SHORT)
        };
        let requests: Vec<_> = sequence.iter().map(chat).collect();
        write_script(&script, &requests)?;
        contestants.push(Contestant {
            name: "",
            address: server.address.clone(),
            server: Some(server),
            script,
        });
    }
    let runs = rounds(bench, &contestants, 32, Expect::Success)?;
    let variants = CROWDS
        .into_iter()
        .zip(runs)
        .map(|((tenants, spread, goal), runs)| {
            let spread = match (tenants, spread) {
                (3, _) => "",
                (1_000_000, _) => ", of which three chat",
                (_, Spread::Even) => ", even traffic",
                (_, Spread::Zipf) => ", Zipf's traffic",
            };
            Variant {
                name: format!("{tenants} tenants{spread}"),
                runs,
                goal,
            }
        });
    Ok(Found {
        comparisons: vec![Comparison {
            work: "POST /chat by tenants".to_owned(),
            variants: variants.collect(),
        }],
        figures: Vec::new(),
    })
}
