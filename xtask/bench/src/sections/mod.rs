//! What is measured, a file for each kind.

mod calls;
mod http;
mod idle;
mod latency;
mod memory;
mod neighbour;
mod size;
mod start;
mod stores;
mod tenants;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::results::{Comparison, Figure, Run};
use crate::{
    process::Server,
    work::{SHORT, Session, chat_body},
    wrk::{Expect, Share, Wrk},
};

/// How it is measured.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    /// The server program.
    pub(crate) server: PathBuf,
    /// The program that makes calls without sockets.
    pub(crate) calls: PathBuf,
    /// The server program with a guest that misbehaves on order.
    pub(crate) misbehaving: PathBuf,
    /// The WebAssembly component that the server program embeds.
    pub(crate) component: PathBuf,
    /// The load generator of open loops.
    pub(crate) oha: PathBuf,
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
pub(crate) const KINDS: [Kind; 10] = [
    http::KIND,
    latency::KIND,
    neighbour::KIND,
    idle::KIND,
    calls::KIND,
    stores::KIND,
    tenants::KIND,
    memory::KIND,
    start::KIND,
    size::KIND,
];

/// Something that can be given the same work as others.
struct Contestant {
    name: &'static str,
    address: String,
    /// Whose time on processors is counted; not known of servers that run elsewhere.
    server: Option<Server>,
    script: PathBuf,
    /// What its load generator has of the machine.
    share: Share,
}

impl Contestant {
    fn turn(&self, seconds: u64, connections: usize, expect: Expect) -> Result<Run> {
        let cpu = |contestant: &Self| {
            contestant
                .server
                .as_ref()
                .map(Server::cpu_seconds)
                .transpose()
        };
        let before = cpu(self)?;
        let wrk = Wrk {
            script: &self.script,
            address: &self.address,
            connections,
            expect,
            share: self.share,
        };
        let load = wrk.run(seconds)?;
        let used = cpu(self)?.zip(before).map(|(after, before)| after - before);
        Ok(Run {
            requests_per_s: load.requests / load.duration_us * 1e6,
            cpu_us: used.map(|seconds| seconds * 1e6 / load.requests),
            p50_us: load.p50_us,
            p99_us: load.p99_us,
            p999_us: Some(load.p999_us),
        })
    }
}

/// Gives each its turn in every round.
fn rounds(
    bench: &Bench,
    contestants: &[Contestant],
    connections: usize,
    expect: Expect,
) -> Result<Vec<Vec<Run>>> {
    let turn = |at: usize, seconds| contestants[at].turn(seconds, connections, expect);
    in_turns(bench, contestants.len(), turn)
}

/// Gives each of so many its turn in every round, in an order that changes from round to round.
/// `turn` takes who it is and for how many seconds. A turn of a second before the first round
/// does not count.
fn in_turns(
    bench: &Bench,
    count: usize,
    turn: impl Fn(usize, u64) -> Result<Run>,
) -> Result<Vec<Vec<Run>>> {
    for at in 0..count {
        turn(at, 1)?;
    }
    let mut runs = vec![Vec::new(); count];
    for round in 0..bench.rounds {
        for next in 0..count {
            let at = (round + next) % count;
            runs[at].push(turn(at, bench.seconds)?);
        }
    }
    Ok(runs)
}

/// Writes the bodies of short chats in these sessions, one on each line.
fn write_bodies(path: &Path, sessions: &[Session]) -> Result<()> {
    let bodies = sessions.iter().map(|session| chat_body(session, SHORT));
    let text = bodies.collect::<Vec<_>>().join("\n");
    fs::write(path, text).with_context(|| path.display().to_string())
}
