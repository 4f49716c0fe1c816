//! From the start of the process to its first answer.

use std::time::Instant;

use anyhow::Result;

use super::{Bench, Found, Kind};
use crate::{
    process::{Server, Workers, write_tenants},
    results::Figure,
    stats::Spread,
    work,
};

pub(super) const KIND: Kind = Kind {
    name: "start",
    title: "Start",
    about: "From the start of the process to the answer of a first POST /session: median of \
            several starts.",
    run,
};

/// Tenants, starts, and the milliseconds that are the goal.
const STARTS: [(usize, usize, Option<f64>); 3] = [
    (3, 31, Some(5.0)),
    (10_000, 15, None),
    (1_000_000, 3, Some(3_000.0)),
];

fn run(bench: &Bench) -> Result<Found> {
    let mut figures = Vec::new();
    for (tenants, starts, goal) in STARTS {
        let file = bench.scratch.join(format!("{tenants}.jsonl"));
        write_tenants(&file, tenants)?;
        for (engine, goal) in [("wasm", goal), ("native", None)] {
            let mut times = Vec::new();
            for _ in 0..starts {
                let start = Instant::now();
                let server =
                    Server::tenantry(&bench.server, &file, Workers::One, &["--engine", engine])?;
                work::open_session_of(&server.address, "t0")?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            let name = if engine == "wasm" {
                "with sandboxes"
            } else {
                "natively"
            };
            let what = format!("first answer with {tenants} tenants, {name}");
            figures.push(Figure::new(what, Spread::of(times).median, "ms", goal));
        }
    }
    Ok(Found {
        comparisons: Vec::new(),
        figures,
    })
}
