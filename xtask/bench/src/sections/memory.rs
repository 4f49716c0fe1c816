//! Resident memory.

use std::path::Path;

use anyhow::Result;

use super::{Bench, Found, Kind};
use crate::{
    process::{Server, Workers, write_tenants},
    results::Figure,
    work::{self, SHORT},
    wrk::{Expect, Share, Wrk, write_script},
};

pub(super) const KIND: Kind = Kind {
    name: "memory",
    title: "Memory",
    about: "Resident memory of the server's process, with one worker thread; pages that sandboxes \
            share count once (Linux's proportional set size), and page tables count. Sessions are opened over HTTP until \
            there are so many. A live sandbox is what 500 tenants with one chat each take beyond \
            what they take natively, with room for 512 sandboxes.",
    run,
};

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Sandboxes that are kept.
const ROOM: &str = "512";

/// Requests of a busy hour: 500 a second.
const HOUR: f64 = 1_800_000.0;

/// Tenants, a few less.
const LIVE: usize = 500;

/// Tenants, four times as many.
const CROWD: usize = 2_048;

/// Sessions, and the bytes for each that are the goal.
const SESSIONS: [(f64, Option<f64>); 2] = [(1e6, None), (1e7, Some(48.0))];

fn run(bench: &Bench) -> Result<Found> {
    let mut figures = at_start(bench)?;
    figures.extend(sessions(bench)?);
    figures.extend(sandboxes(bench)?);
    figures.push(growth(bench)?);
    Ok(Found {
        comparisons: Vec::new(),
        figures,
    })
}

fn server(bench: &Bench, tenants: usize, args: &[&str]) -> Result<Server> {
    let file = bench.scratch.join(format!("{tenants}.jsonl"));
    write_tenants(&file, tenants)?;
    let unbound = ["--max-sessions", "4000000000"];
    Server::tenantry(
        &bench.server,
        &file,
        Workers::One,
        &[args, &unbound].concat(),
    )
}

/// 32 connections that keep the server busy.
fn busy<'a>(server: &'a Server, script: &'a Path) -> Wrk<'a> {
    Wrk {
        script,
        address: &server.address,
        connections: 32,
        expect: Expect::Success,
        share: Share::Processor,
    }
}

fn at_start(bench: &Bench) -> Result<Vec<Figure>> {
    let engines = [("wasm", "with sandboxes"), ("native", "natively")];
    let figure = |(engine, name): (&str, &str)| {
        let server = server(bench, 3, &["--engine", engine])?;
        work::open_session_of(&server.address, "t0")?;
        let what = format!("after the first answer, {name}");
        Ok(Figure::new(
            what,
            server.resident_bytes()? / MIB,
            "MiB",
            None,
        ))
    };
    engines.into_iter().map(figure).collect()
}

fn sessions(bench: &Bench) -> Result<Vec<Figure>> {
    let server = server(bench, 3, &[])?;
    let script = bench.scratch.join("sessions.lua");
    write_script(&script, &[work::open("t0")])?;
    // Buffers, and whatever else a busy server has.
    let wrk = busy(&server, &script);
    let mut opened = wrk.run(1)?.requests;
    let start = server.resident_bytes()?;
    let before = opened;
    let mut figures = Vec::new();
    for (count, goal) in SESSIONS {
        while opened < count {
            opened += wrk.run(2)?.requests;
        }
        let bytes = (server.resident_bytes()? - start) / (opened - before);
        let what = format!("for each of {:.1} million sessions", opened / 1e6);
        figures.push(Figure::new(what, bytes, "bytes", goal));
    }
    Ok(figures)
}

/// Resident bytes after one chat of each tenant.
fn after_chats(bench: &Bench, tenants: usize, engine: &str) -> Result<f64> {
    let server = server(bench, tenants, &["--engine", engine, "--sandboxes", ROOM])?;
    let all: Vec<_> = (0..tenants).collect();
    let sessions = work::open_sessions(&server.address, &all)?;
    for session in &sessions {
        work::answer(&server.address, session)?;
    }
    server.resident_bytes()
}

fn sandboxes(bench: &Bench) -> Result<Vec<Figure>> {
    let few = after_chats(bench, 3, "wasm")? - after_chats(bench, 3, "native")?;
    let many = after_chats(bench, LIVE, "wasm")? - after_chats(bench, LIVE, "native")?;
    let more = (LIVE - 3) as f64;
    let evicted = after_chats(bench, CROWD, "wasm")? - after_chats(bench, CROWD, "native")?;
    Ok(vec![
        Figure::new(
            "a live sandbox",
            (many - few) / more / KIB,
            "KiB",
            Some(52.0),
        ),
        Figure::new(
            format!("all sandboxes after chats of {CROWD} tenants"),
            evicted / MIB,
            "MiB",
            None,
        ),
    ])
}

/// What memory does while the same requests come again and again.
fn growth(bench: &Bench) -> Result<Figure> {
    let server = server(bench, 3, &[])?;
    let sessions = work::open_sessions(&server.address, &[0, 1, 2])?;
    let chats = sessions.iter().map(|session| work::chat(session, SHORT));
    let script = bench.scratch.join("growth.lua");
    write_script(&script, &chats.chain([work::list()]).collect::<Vec<_>>())?;
    let wrk = busy(&server, &script);
    let run = |least: f64| -> Result<f64> {
        let mut requests = 0.0;
        while requests < least {
            requests += wrk.run(5)?.requests;
        }
        Ok(requests)
    };
    // Until the allocator has what it needs for 32 connections that come and go.
    run(HOUR / 2.0)?;
    let before = server.resident_bytes()?;
    let requests = run(HOUR)?;
    let grown = server.resident_bytes()? - before;
    let what = format!("grown over {:.1} million chats and lists", requests / 1e6);
    Ok(Figure::new(what, grown / KIB, "KiB", Some(64.0)))
}
