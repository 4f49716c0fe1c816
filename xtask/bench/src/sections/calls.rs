//! Calls in one process, without sockets.

use anyhow::{Context as _, Result};

use super::{Bench, Found, Kind};
use crate::{
    place::{SERVER, on_processor},
    results::Figure,
    stats::Spread,
};

pub(super) const KIND: Kind = Kind {
    name: "calls",
    title: "Calls in one process",
    about: "`host/examples/calls.rs`: an engine is asked for chats, and parts of it for what \
            they do, without sockets. Times are medians over rounds in which each kind has its \
            turn, ratios are taken within a round. Instructions are counted by callgrind, which \
            gives the same number whatever else the machine does, with 100,000 sessions instead \
            of a million; what is there before the first call does not count.",
    run,
};

struct Call {
    kind: &'static str,
    what: &'static str,
    /// Calls of a turn.
    count: u64,
    goal_ns: Option<f64>,
}

const fn call(kind: &'static str, what: &'static str, count: u64, goal_ns: Option<f64>) -> Call {
    Call {
        kind,
        what,
        count,
        goal_ns,
    }
}

const CALLS: [Call; 10] = [
    call("native", "a chat, natively", 200_000, None),
    call(
        "tenant",
        "a chat in its tenant's sandbox",
        100_000,
        Some(800.0),
    ),
    call(
        "request",
        "a chat in a fresh sandbox",
        20_000,
        Some(4_000.0),
    ),
    call(
        "read",
        "reading a chat as far as whose it is",
        500_000,
        None,
    ),
    call(
        "bad JSON",
        "the same of bad JSON, with the refusal",
        500_000,
        None,
    ),
    call(
        "read 64 KiB",
        "reading a chat of 64 KiB as far as whose it is",
        10_000,
        None,
    ),
    call(
        "reply",
        "answering a chat that was read, without stores",
        500_000,
        None,
    ),
    call("limit", "asking a limit", 2_000_000, None),
    call(
        "owner",
        "asking whose one of a million sessions is",
        1_000_000,
        None,
    ),
    call(
        "open",
        "opening a session beside a million others",
        1_000_000,
        None,
    ),
];

/// Sessions that are there before those two.
const SESSIONS: &str = "1000000";

/// Each kind has a short process in every round. Benchmarks that measure one kind to its end
/// before the next one, as the usual libraries do, give ratios of what else a noisy machine
/// did in the meantime.
fn run(bench: &Bench) -> Result<Found> {
    let mut times = vec![Vec::new(); CALLS.len()];
    for _ in 0..bench.rounds {
        for (call, times) in CALLS.iter().zip(&mut times) {
            times.push(nanoseconds(bench, call.kind, call.count)?);
        }
    }
    let mut figures = Vec::new();
    for (call, times) in CALLS.iter().zip(&times) {
        let ns = Spread::of(times.iter().copied()).median;
        figures.push(Figure::new(call.what, ns, "ns", call.goal_ns));
    }
    let [native, tenant, ..] = times.as_slice() else {
        return Ok(Found::default());
    };
    let ratios = tenant
        .iter()
        .zip(native)
        .map(|(tenant, native)| tenant / native);
    let ratio = Spread::of(ratios).median;
    let what = "a chat in its tenant's sandbox, times as long as natively";
    figures.push(Figure::new(what, ratio, "", Some(2.0)));
    for call in &CALLS {
        let what = format!("{}, instructions", call.what);
        figures.push(Figure::new(what, instructions(bench, call)?, "", None));
    }
    Ok(Found {
        comparisons: Vec::new(),
        figures,
    })
}

/// How many nanoseconds each of so many calls takes. The program `calls` knows the kinds.
///
/// # Errors
/// It does not say.
pub(super) fn nanoseconds(bench: &Bench, kind: &str, count: u64) -> Result<f64> {
    says(bench, &[kind, &count.to_string(), SESSIONS])
}

fn instructions(bench: &Bench, call: &Call) -> Result<f64> {
    says(bench, &[call.kind, "instructions"])
}

/// The number that the program prints.
fn says(bench: &Bench, args: &[&str]) -> Result<f64> {
    let mut command = on_processor(SERVER, &bench.calls.to_string_lossy());
    let output = command.args(args).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().with_context(|| {
        let error = String::from_utf8_lossy(&output.stderr);
        format!("calls {} said {said}{error}", args.join(" "))
    })
}
