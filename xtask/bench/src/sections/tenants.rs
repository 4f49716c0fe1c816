//! Many tenants: sandboxes come and go.

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use anyhow::Result;

use super::{Bench, Contestant, Found, Kind, calls::nanoseconds, rounds};
use crate::{
    connection::Connection,
    process::{Server, Workers, write_tenants},
    results::{Comparison, Figure, Measure, Variant},
    stats,
    work::{self, Spread},
    wrk::{Expect, Share, write_script},
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
        let server = Server::tenantry(&bench.server, &file, Workers::One, &[])?;
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
            share: Share::Processor,
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
            measure: Measure::Throughput,
            variants: variants.collect(),
        }],
        figures: vec![first_request(bench)?, made_room(bench)?],
    })
}

/// What a tenant's first request is to take beyond a later one, at most.
const COLD_GOAL_US: f64 = 20.0;

/// Tenants, for all of which a thread has room from the start.
const COLD: usize = 500;

/// By how much a tenant's first request takes longer than its second one.
fn first_request(bench: &Bench) -> Result<Figure> {
    let file = bench.scratch.join(format!("{COLD}.jsonl"));
    write_tenants(&file, COLD)?;
    let server = Server::tenantry(&bench.server, &file, Workers::One, &[])?;
    let mut connection = Connection::open(&server.address)?;
    let mut more = Vec::new();
    for n in 0..COLD {
        let open = work::open(&format!("t{n}"));
        let mut timed = || -> Result<f64> {
            let start = Instant::now();
            connection.ask(&open)?;
            Ok(start.elapsed().as_secs_f64() * 1e6)
        };
        let first = timed()?;
        more.push(first - timed()?);
    }
    let what = "a tenant's first POST /session, beyond its second one";
    let more = stats::Spread::of(more).median;
    Ok(Figure::new(what, more, "µs", Some(COLD_GOAL_US)))
}

/// By how much a chat takes longer for which another tenant's sandbox has to make room.
fn made_room(bench: &Bench) -> Result<Figure> {
    const CALLS: u64 = 20_000;
    let mut more = Vec::new();
    for _ in 0..bench.rounds {
        let warm = nanoseconds(bench, "tenant", CALLS)?;
        more.push((nanoseconds(bench, "cold", CALLS)? - warm) / 1e3);
    }
    let what = "a chat for which another sandbox makes room, beyond others, in one process";
    let more = stats::Spread::of(more).median;
    Ok(Figure::new(what, more, "µs", Some(COLD_GOAL_US)))
}
