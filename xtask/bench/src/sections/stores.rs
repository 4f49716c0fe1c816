//! What it costs to keep state in a database.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{Bench, Contestant, Found, Kind, rounds};
use crate::{
    postgres::Postgres,
    process::{Server, Workers, write_tenants},
    results::{Comparison, Measure, Variant},
    work,
    wrk::{Expect, Share, write_script},
};

pub(super) const KIND: Kind = Kind {
    name: "stores",
    title: "State in a database",
    about: "The same server with its state in memory, in a file of SQLite, and in PostgreSQL on \
            the same machine, which has its defaults but for its port. The server has one worker \
            thread on one processor, and wrk another one; the threads of the stores run where \
            the system lets them. An opened session is on the disk when it is answered: with one \
            connection each has a commit of its own, with more of them, many share one.",
    run,
};

const MEMORY: &str = "memory";
const SQLITE: &str = "SQLite";
const POSTGRES: &str = "PostgreSQL";

/// No bound that a benchmark could reach.
const UNBOUND: [&str; 2] = ["--max-sessions", "4000000000"];

/// The work, its connections, and the goals of SQLite and PostgreSQL, as parts of what memory
/// does.
const WORKS: [(&str, usize, [Option<f64>; 2]); 4] = [
    ("POST /chat, 32 connections", 32, [Some(0.9), Some(0.6)]),
    ("POST /session, 1 connection", 1, [None, None]),
    ("POST /session, 32 connections", 32, [None, None]),
    ("POST /session, 256 connections", 256, [None, None]),
];

fn run(bench: &Bench) -> Result<Found> {
    let tenants = bench.scratch.join("stores.jsonl");
    write_tenants(&tenants, 3)?;
    let mut comparisons = Vec::new();
    for (work, connections, goals) in WORKS {
        let postgres = Postgres::start(&bench.scratch)?;
        let file = bench.scratch.join("stores.db");
        for name in ["stores.db", "stores.db-wal", "stores.db-shm"] {
            // It is there if there was a round before.
            let _ = std::fs::remove_file(bench.scratch.join(name));
        }
        let places = [
            (MEMORY, "memory".to_owned(), None),
            (SQLITE, format!("sqlite:{}", file.display()), goals[0]),
            (POSTGRES, postgres.url.clone(), goals[1]),
        ];
        let mut contestants = Vec::new();
        for (name, state, _) in &places {
            contestants.push(contestant(bench, name, state, &tenants)?);
        }
        for contestant in &contestants {
            let requests = if work.starts_with("POST /chat") {
                let sessions = work::open_sessions(&contestant.address, &[0, 1, 2])?;
                let chats = sessions
                    .iter()
                    .map(|session| work::chat(session, work::SHORT));
                chats.collect()
            } else {
                vec![work::open("t0"), work::open("t1"), work::open("t2")]
            };
            write_script(&contestant.script, &requests)?;
        }
        let runs = rounds(bench, &contestants, connections, Expect::Success)?;
        let variants = places
            .iter()
            .zip(runs)
            .map(|((name, _, goal), runs)| Variant {
                name: (*name).to_owned(),
                runs,
                goal: *goal,
            });
        let variants: Vec<_> = variants.collect();
        comparisons.push(Comparison {
            work: work.to_owned(),
            measure: Measure::Throughput,
            variants: variants.clone(),
        });
        comparisons.push(Comparison {
            work: format!("{work}, latency"),
            measure: Measure::Latency,
            variants: variants
                .into_iter()
                .map(|variant| Variant {
                    goal: None,
                    ..variant
                })
                .collect(),
        });
    }
    Ok(Found {
        comparisons,
        figures: Vec::new(),
    })
}

/// A server with its state there, and the tenants of that file.
fn contestant(
    bench: &Bench,
    name: &'static str,
    state: &str,
    tenants: &Path,
) -> Result<Contestant> {
    if state != "memory" {
        let import = Command::new(&bench.server)
            .args(["import", "--state", state])
            .arg(tenants)
            .output()
            .context("the server can't be started")?;
        let error = String::from_utf8_lossy(&import.stderr);
        ensure!(import.status.success(), "{error}");
    }
    let args = [&["--state", state], &UNBOUND[..]].concat();
    let server = Server::tenantry(&bench.server, tenants, Workers::One, &args)?;
    Ok(Contestant {
        name,
        address: server.address.clone(),
        server: Some(server),
        script: bench.scratch.join(format!("stores-{name}.lua")),
        share: Share::Processor,
    })
}
