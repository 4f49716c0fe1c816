//! A tenant that floods the server, and what another one notices of it.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::Result;

use super::{Bench, Found, Kind, in_turns, write_bodies};
use crate::{
    oha::Oha,
    process::{Server, Workers, write_tenants},
    results::{Comparison, Figure, Measure, Run, Variant},
    stats::Spread,
    work::{self, Session},
    wrk::{Expect, Share, Wrk, write_script},
};

pub(super) const KIND: Kind = Kind {
    name: "neighbour",
    title: "A noisy neighbour",
    about: "One worker thread, which all tenants share. A tenant gets a steady 200 chats a second \
            from oha, which counts the time of each from when it was due, first in quiet, then \
            while another tenant sends as much as the server takes, from wrk; the two take turns, \
            and a ratio is taken within a round. Both generators run on one processor, where wrk \
            is `nice`: it has what oha leaves. Guests that run to their deadline are those of the \
            tests, which misbehave on order: each gives its thread to others at every tick, \
            which is 5 ms. A quiet turn begins when the server has nothing left to do.",
    run,
};

/// What the steady tenant gets.
const REQUESTS_PER_S: u32 = 200;

/// Of the steady tenant: more than it needs in quiet.
const CONNECTIONS: usize = 16;

/// How much longer a turn takes than the others of this program: 200 requests a second are
/// few for a p99.
const LONGER: u64 = 2;

/// What the ratio of p99 to that in quiet is to be, at most.
const GOAL: f64 = 2.0;

/// Milliseconds that guests which run to their deadline may add to p99: two ticks.
const LOOP_GOAL_MS: f64 = 10.0;

/// What the other tenant does.
struct Flood {
    name: &'static str,
    connections: usize,
    sends: Sends,
}

enum Sends {
    /// Chats with a message of so many bytes.
    Chats(usize),
    /// Requests at which its guest runs to this deadline.
    Loops(&'static str),
}

const FLOODS: [Flood; 4] = [
    Flood {
        name: "short chats, 64 connections",
        connections: 64,
        sends: Sends::Chats(15),
    },
    Flood {
        name: "chats of 1 MiB, 16 connections",
        connections: 16,
        // With the other members, just below the server's bound.
        sends: Sends::Chats((1 << 20) - 256),
    },
    Flood {
        name: "a guest that runs to its deadline of 1 s",
        connections: 1,
        sends: Sends::Loops("1s"),
    },
    Flood {
        name: "16 guests that run to their deadlines of 100 ms",
        connections: 16,
        sends: Sends::Loops("100ms"),
    },
];

fn run(bench: &Bench) -> Result<Found> {
    let mut found = Found::default();
    for flood in FLOODS {
        let [quiet, flooded] = rounds(bench, &flood)?;
        if let Sends::Loops(_) = flood.sends {
            let pairs = flooded.iter().zip(&quiet);
            let more = pairs.map(|(flooded, quiet)| (flooded.p99_us - quiet.p99_us) / 1e3);
            let what = format!("{}: added to p99", flood.name);
            let more = Spread::of(more).median;
            found
                .figures
                .push(Figure::new(what, more, "ms", Some(LOOP_GOAL_MS)));
        }
        found.comparisons.push(Comparison {
            work: format!("200 chats a second, beside {}", flood.name),
            measure: Measure::Latency,
            variants: vec![
                Variant {
                    name: "quiet".to_owned(),
                    runs: quiet,
                    goal: None,
                },
                Variant {
                    name: "flooded".to_owned(),
                    runs: flooded,
                    goal: matches!(flood.sends, Sends::Chats(_)).then_some(GOAL),
                },
            ],
        });
    }
    Ok(found)
}

/// Runs of the steady tenant: in quiet, and beside the flood.
fn rounds(bench: &Bench, flood: &Flood) -> Result<[Vec<Run>; 2]> {
    let file = bench.scratch.join("3.jsonl");
    write_tenants(&file, 3)?;
    let (program, args): (&Path, &[&str]) = match flood.sends {
        Sends::Chats(_) => (&bench.server, &[]),
        // Each of them is an error in the log.
        Sends::Loops(deadline) => (
            &bench.misbehaving,
            &["--log-filter", "off", "--sandbox-deadline", deadline],
        ),
    };
    let server = Server::tenantry(program, &file, Workers::One, args)?;
    let script = bench.scratch.join("flood.lua");
    let sessions = work::open_sessions(&server.address, &[0, 1])?;
    write_script(&script, &[flood_request(&flood.sends, &sessions[0])])?;
    let oha = steady(bench, &server, &sessions[1..])?;
    let wrk = Wrk {
        script: &script,
        address: &server.address,
        connections: flood.connections,
        expect: match flood.sends {
            Sends::Chats(_) => Expect::Success,
            Sends::Loops(_) => Expect::Refusal,
        },
        share: Share::Rest,
    };
    let turn = |at: usize, seconds: u64| {
        let seconds = seconds * LONGER;
        if at == 0 {
            return oha.run(seconds);
        }
        // It is there before and after.
        let running = wrk.start(seconds + 2)?;
        thread::sleep(Duration::from_secs(1));
        let run = oha.run(seconds)?;
        wrk.finish(running)?;
        server.wait_until_idle()?;
        Ok(run)
    };
    let mut runs = in_turns(bench, 2, turn)?.into_iter();
    Ok([(); 2].map(|()| runs.next().unwrap_or_default()))
}

fn flood_request(sends: &Sends, session: &Session) -> Vec<u8> {
    match sends {
        Sends::Chats(bytes) => work::chat(session, &"x".repeat(*bytes)),
        Sends::Loops(_) => work::chat(session, "misbehave=loop"),
    }
}

fn steady<'a>(bench: &'a Bench, server: &'a Server, sessions: &[Session]) -> Result<Oha<'a>> {
    let bodies: PathBuf = bench.scratch.join("steady.bodies");
    write_bodies(&bodies, sessions)?;
    Ok(Oha {
        program: &bench.oha,
        address: &server.address,
        bodies,
        connections: CONNECTIONS,
        requests_per_s: REQUESTS_PER_S,
    })
}
