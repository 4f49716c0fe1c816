//! How long answers take at a fixed rate.

use anyhow::Result;

use super::{Bench, Found, Kind, in_turns, write_bodies};
use crate::{
    oha::Oha,
    process::{Server, Workers, write_tenants},
    results::{Comparison, Measure, Variant},
    work,
};

pub(super) const KIND: Kind = Kind {
    name: "latency",
    title: "Latency at a fixed rate",
    about: "POST /chat by oha, which sends at a fixed rate whatever becomes of the answers, and \
            counts the time of each request from when it was due: one that had to wait for those \
            before it is not left out, as it is where a connection first waits for its answer. \
            oha's clock has steps of a millisecond, so a rate of 5,000 a second is five requests \
            at each step, and the last of them waits for four. One worker thread on one \
            processor, oha on another one, which holds no rates much above those shown.",
    run,
};

/// Requests a second, which oha holds on one processor.
const RATES: [u32; 3] = [1_000, 5_000, 10_000];

/// As many that requests do not wait for a connection.
const CONNECTIONS: usize = 64;

/// The engines, and what the ratio of their p99 to the first one's is to be, at most.
const ENGINES: [(&str, &str, Option<f64>); 2] = [
    ("native engine", "native", None),
    ("sandbox per tenant", "wasm", Some(1.1)),
];

fn run(bench: &Bench) -> Result<Found> {
    let file = bench.scratch.join("3.jsonl");
    write_tenants(&file, 3)?;
    let mut servers = Vec::new();
    for (_, engine, _) in ENGINES {
        let args = ["--engine", engine];
        let server = Server::tenantry(&bench.server, &file, Workers::One, &args)?;
        let sessions = work::open_sessions(&server.address, &[0, 1, 2])?;
        let bodies = bench.scratch.join(format!("{engine}.bodies"));
        write_bodies(&bodies, &sessions)?;
        servers.push((server, bodies));
    }
    let mut comparisons = Vec::new();
    for rate in RATES {
        let turn = |at: usize, seconds| {
            let (server, bodies) = &servers[at];
            let oha = Oha {
                program: &bench.oha,
                address: &server.address,
                bodies: bodies.clone(),
                connections: CONNECTIONS,
                requests_per_s: rate,
            };
            oha.run(seconds)
        };
        let runs = in_turns(bench, servers.len(), turn)?;
        let variants = ENGINES
            .iter()
            .zip(runs)
            .map(|((name, _, goal), runs)| Variant {
                name: (*name).to_owned(),
                runs,
                goal: *goal,
            });
        comparisons.push(Comparison {
            work: format!("POST /chat, {rate} a second"),
            measure: Measure::Latency,
            variants: variants.collect(),
        });
    }
    Ok(Found {
        comparisons,
        figures: Vec::new(),
    })
}
