//! Connections that are open and send nothing.

use anyhow::Result;

use super::{Bench, Contestant, Found, Kind, rounds};
use crate::{
    connection::{self, Connection},
    process::{Server, Workers, write_tenants},
    results::{Comparison, Figure, Measure, Variant},
    work,
    wrk::{Expect, Share, write_script},
};

pub(super) const KIND: Kind = Kind {
    name: "idle",
    title: "Idle connections",
    about: "POST /chat over 32 connections by wrk, to a server without other connections and to \
            one with 10,000 that have had an answer each and send nothing more. One worker thread \
            on one processor, wrk on another one. Memory is what the second server's process has \
            more resident than before they were opened.",
    run,
};

/// Connections that wait.
const IDLE: usize = 10_000;

/// What throughput beside them is to be, at least, as a ratio to that without them.
const GOAL: f64 = 0.95;

/// They may wait for as long as all of it takes.
const ARGS: [&str; 2] = ["--idle-timeout", "24h"];

fn run(bench: &Bench) -> Result<Found> {
    let contestants = [
        contestant(bench, "no idle connections")?,
        contestant(bench, "10,000 idle connections")?,
    ];
    let [_, crowded] = &contestants;
    let resident = || {
        crowded
            .server
            .as_ref()
            .map(Server::resident_bytes)
            .transpose()
    };
    let before = resident()?;
    connection::allow(IDLE)?;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let mut connection = Connection::open(&crowded.address)?;
        connection.ask(&work::list())?;
        idle.push(connection);
    }
    let bytes = resident()?
        .zip(before)
        .map(|(after, before)| after - before);
    let runs = rounds(bench, &contestants, 32, Expect::Success)?;
    // Those that were closed meanwhile would have cost nothing.
    for connection in &mut idle {
        connection.ask(&work::list())?;
    }
    let variants = contestants.iter().zip(runs).zip([None, Some(GOAL)]);
    let variants = variants.map(|((contestant, runs), goal)| Variant {
        name: contestant.name.to_owned(),
        runs,
        goal,
    });
    let each = bytes.map(|bytes| bytes / IDLE as f64 / 1024.0);
    let figure = each.map(|kib| Figure::new("memory for an idle connection", kib, "KiB", None));
    Ok(Found {
        comparisons: vec![Comparison {
            work: "POST /chat, 32 connections".to_owned(),
            measure: Measure::Throughput,
            variants: variants.collect(),
        }],
        figures: figure.into_iter().collect(),
    })
}

fn contestant(bench: &Bench, name: &'static str) -> Result<Contestant> {
    let file = bench.scratch.join("3.jsonl");
    write_tenants(&file, 3)?;
    let server = Server::tenantry(&bench.server, &file, Workers::One, &ARGS)?;
    let sessions = work::open_sessions(&server.address, &[0, 1, 2])?;
    let chats = sessions
        .iter()
        .map(|session| work::chat(session, work::SHORT));
    let script = bench
        .scratch
        .join(format!("{}.lua", name.replace([' ', ','], "-")));
    write_script(&script, &chats.collect::<Vec<_>>())?;
    Ok(Contestant {
        name,
        address: server.address.clone(),
        server: Some(server),
        script,
        share: Share::Processor,
    })
}
