//! Requests a second over HTTP.

use anyhow::Result;

use super::{Bench, Contestant, Found, Kind, rounds};
use crate::{
    process::{Server, Workers, write_tenants},
    results::{Comparison, Measure, Variant},
    work::{self, Session},
    wrk::{Expect, Share, write_script},
};

pub(super) const KIND: Kind = Kind {
    name: "http",
    title: "Requests over HTTP",
    about: "One worker thread on one processor, wrk on another one, which it keeps busy: it asks \
            for answers again and again instead of sleeping until there are some. Otherwise a \
            server would pay for waking it, and a slower one would pay more often. Only with all \
            processors, as many worker threads and as many threads of wrk share them, and sleep \
            while they wait. Each variant has its turn in every round, next to the others; a \
            ratio is taken within a round. The native engine is the same server without \
            sandboxes; nginx answers every request with the same bytes, with one worker, and so \
            shows what sockets and HTTP cost on this machine. Latencies are those of a closed \
            loop: a connection sends its next request when it has its answer.",
    run,
};

const NATIVE: &str = "native engine";
const TENANT: &str = "sandbox per tenant";
const REQUEST: &str = "sandbox per request";
const NGINX: &str = "nginx, fixed answer";
const REFERENCE: &str = "the FastAPI demo";

/// Three tenants, as in the demo.
const TENANTS: usize = 3;

/// No bound that a benchmark could reach.
const UNBOUND: [&str; 2] = ["--max-sessions", "4000000000"];

fn run(bench: &Bench) -> Result<Found> {
    let mut comparisons = all_variants(bench)?;
    comparisons.extend(two_variants(bench)?);
    Ok(Found {
        comparisons,
        figures: Vec::new(),
    })
}

fn tenantry(
    bench: &Bench,
    name: &'static str,
    workers: Workers,
    args: &[&str],
) -> Result<Contestant> {
    let tenants = bench.scratch.join("3.jsonl");
    write_tenants(&tenants, TENANTS)?;
    let args = [args, &UNBOUND].concat();
    let server = Server::tenantry(&bench.server, &tenants, workers, &args)?;
    Ok(Contestant {
        name,
        address: server.address.clone(),
        server: Some(server),
        script: bench
            .scratch
            .join(format!("{}.lua", name.replace(' ', "-"))),
        share: match workers {
            Workers::One => Share::Processor,
            Workers::All => Share::All,
        },
    })
}

fn sessions(contestant: &Contestant) -> Result<Vec<Session>> {
    work::open_sessions(&contestant.address, &[0, 1, 2])
}

fn chats(sessions: &[Session], message: &str) -> Vec<Vec<u8>> {
    let chats = sessions.iter().map(|session| work::chat(session, message));
    chats.collect()
}

/// POST /chat by everything that there is to compare with.
fn all_variants(bench: &Bench) -> Result<Vec<Comparison>> {
    let mut contestants = vec![
        tenantry(bench, NATIVE, Workers::One, &["--engine", "native"])?,
        tenantry(bench, TENANT, Workers::One, &[])?,
        tenantry(bench, REQUEST, Workers::One, &["--isolation", "request"])?,
    ];
    let mut answer = String::new();
    for contestant in &contestants {
        let sessions = sessions(contestant)?;
        answer = work::answer(&contestant.address, &sessions[0])?;
        write_script(&contestant.script, &chats(&sessions, work::SHORT))?;
    }
    let server = Server::nginx(&bench.scratch, &answer)?;
    contestants.push(Contestant {
        name: NGINX,
        address: server.address.clone(),
        server: Some(server),
        script: bench.scratch.join("native-engine.lua"),
        share: Share::Processor,
    });
    if let Some(address) = &bench.reference {
        let script = bench.scratch.join("reference.lua");
        let session = Session {
            tenant: "acme".to_owned(),
            id: work::open_session_of(address, "acme")?,
        };
        write_script(&script, &[work::chat(&session, work::SHORT)])?;
        contestants.push(Contestant {
            name: REFERENCE,
            address: address.clone(),
            server: None,
            script,
            share: Share::Processor,
        });
    }
    let runs = rounds(bench, &contestants, 32, Expect::Success)?;
    let variants: Vec<_> = contestants
        .iter()
        .zip(runs)
        .map(|(contestant, runs)| Variant {
            name: contestant.name.to_owned(),
            runs,
            goal: match contestant.name {
                TENANT => Some(0.95),
                REQUEST => Some(0.6),
                _ => None,
            },
        })
        .collect();
    let against = |base: &str, measure: Measure, goal: f64| {
        let named = |name: &str| {
            variants
                .iter()
                .find(|variant| variant.name == name)
                .cloned()
        };
        let tenant = named(TENANT).map(|variant| Variant {
            goal: Some(goal),
            ..variant
        });
        Some(Comparison {
            work: format!("POST /chat, 32 connections, against {base}"),
            measure,
            variants: vec![named(base)?, tenant?],
        })
    };
    let others = [
        against(NATIVE, Measure::Latency, 1.1),
        against(NGINX, Measure::Throughput, 0.9),
        against(REFERENCE, Measure::Throughput, 35.0),
    ];
    let first = Comparison {
        work: "POST /chat, 32 connections".to_owned(),
        measure: Measure::Throughput,
        variants: variants.clone(),
    };
    Ok([first]
        .into_iter()
        .chain(others.into_iter().flatten())
        .collect())
}

type Requests = fn(&Contestant) -> Result<Vec<Vec<u8>>>;

/// Other work, by the native engine and by sandboxes.
fn two_variants(bench: &Bench) -> Result<Vec<Comparison>> {
    let short: Requests = |c| Ok(chats(&sessions(c)?, work::SHORT));
    let one = Workers::One;
    let works: [(&str, Workers, usize, Expect, Requests); 9] = [
        (
            "POST /chat, 32 connections, all processors",
            Workers::All,
            32,
            Expect::Success,
            short,
        ),
        ("POST /chat, 1 connection", one, 1, Expect::Success, short),
        (
            "POST /chat, 256 connections",
            one,
            256,
            Expect::Success,
            short,
        ),
        ("POST /chat, 1 KiB", one, 32, Expect::Success, |c| {
            Ok(chats(&sessions(c)?, &"hello, ".repeat(146)))
        }),
        ("POST /chat, 64 KiB", one, 32, Expect::Success, |c| {
            Ok(chats(&sessions(c)?, &"hello, ".repeat(9_362)))
        }),
        ("POST /session", one, 32, Expect::Success, |_| {
            Ok(vec![work::open("t0")])
        }),
        ("GET /", one, 32, Expect::Success, |_| {
            Ok(vec![work::list()])
        }),
        (
            "8 chats, a session, a list",
            one,
            32,
            Expect::Success,
            |c| Ok(work::mix(&sessions(c)?)),
        ),
        (
            "refusals: 403, 404, 422, 429",
            one,
            32,
            Expect::Refusal,
            |c| {
                let spent = Session {
                    tenant: "spent".to_owned(),
                    id: work::open_session_of(&c.address, "spent")?,
                };
                Ok(work::refusals(&sessions(c)?, &spent))
            },
        ),
    ];
    let mut comparisons = Vec::new();
    for (name, workers, connections, expect, requests) in works {
        let contestants = [
            tenantry(bench, NATIVE, workers, &["--engine", "native"])?,
            tenantry(bench, TENANT, workers, &[])?,
        ];
        for contestant in &contestants {
            write_script(&contestant.script, &requests(contestant)?)?;
        }
        let runs = rounds(bench, &contestants, connections, expect)?;
        let variants = contestants
            .iter()
            .zip(runs)
            .map(|(contestant, runs)| Variant {
                name: contestant.name.to_owned(),
                runs,
                goal: None,
            });
        comparisons.push(Comparison {
            work: name.to_owned(),
            measure: Measure::Throughput,
            variants: variants.collect(),
        });
    }
    Ok(comparisons)
}
