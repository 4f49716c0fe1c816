//! What is measured, a file for each kind.

mod calls;
mod http;
mod memory;
mod start;
mod tenants;

use std::path::PathBuf;

use anyhow::Result;

use crate::results::{Comparison, Figure, Run};
use crate::{
    process::Server,
    wrk::{self, Expect},
};

/// How it is measured.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    /// The server program.
    pub(crate) server: PathBuf,
    /// The program that makes calls without sockets.
    pub(crate) calls: PathBuf,
    /// Where scripts and tenants files are written.
    pub(crate) scratch: PathBuf,
    /// Rounds in which each variant has its turn.
    pub(crate) rounds: usize,
    /// Seconds of each turn.
    pub(crate) seconds: u64,
    /// The address of the server that this one re-makes, where it runs.
    pub(crate) reference: Option<String>,
}

/// What a kind of measurement found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) figures: Vec<Figure>,
}

/// A kind of measurement.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Bench) -> Result<Found>,
}

/// All kinds, in the order of the document.
pub(crate) const KINDS: [Kind; 5] = [
    http::KIND,
    calls::KIND,
    tenants::KIND,
    memory::KIND,
    start::KIND,
];

/// Something that can be given the same work as others.
struct Contestant {
    name: &'static str,
    address: String,
    /// Whose time on processors is counted; not known of servers that run elsewhere.
    server: Option<Server>,
    script: PathBuf,
}

impl Contestant {
    fn turn(&self, bench: &Bench, connections: usize, expect: Expect) -> Result<Run> {
        let cpu = |contestant: &Self| {
            contestant
                .server
                .as_ref()
                .map(Server::cpu_seconds)
                .transpose()
        };
        let before = cpu(self)?;
        let load = wrk::run(
            &self.script,
            &self.address,
            connections,
            bench.seconds,
            expect,
        )?;
        let used = cpu(self)?.zip(before).map(|(after, before)| after - before);
        Ok(Run {
            requests_per_s: load.requests / load.duration_us * 1e6,
            cpu_us: used.map(|seconds| seconds * 1e6 / load.requests),
            p50_us: load.p50_us,
            p99_us: load.p99_us,
        })
    }
}

/// Gives each its turn in every round, in an order that changes from round to round. A turn
/// before the first round does not count.
fn rounds(
    bench: &Bench,
    contestants: &[Contestant],
    connections: usize,
    expect: Expect,
) -> Result<Vec<Vec<Run>>> {
    for contestant in contestants {
        contestant.turn(
            &Bench {
                seconds: 1,
                ..bench.clone()
            },
            connections,
            expect,
        )?;
    }
    let mut runs = vec![Vec::new(); contestants.len()];
    for round in 0..bench.rounds {
        for turn in 0..contestants.len() {
            let at = (round + turn) % contestants.len();
            if let (Some(contestant), Some(runs)) = (contestants.get(at), runs.get_mut(at)) {
                runs.push(contestant.turn(bench, connections, expect)?);
            }
        }
    }
    Ok(runs)
}
