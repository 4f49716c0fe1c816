//! What it costs to keep state in a database, and how soon a store is used again that was away.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use tenantry_stores::{Postgres, Redis, Stop};

use super::{Bench, Contestant, Found, Kind, rounds};
use crate::{
    connection::Connection,
    process::{Server, Workers, write_limited_tenants},
    results::{Comparison, Figure, Measure, Variant},
    stats, work,
    wrk::{Expect, Share, write_script},
};

pub(super) const KIND: Kind = Kind {
    name: "stores",
    title: "State in a database",
    about: "The same server with its state in memory, in a file of SQLite, in PostgreSQL on the \
            same machine, and there with the limits in Redis; both have their defaults but for \
            their ports. Each tenant has a limit that is never reached. The server has one \
            worker thread on one processor, and wrk another one; the threads of the stores run \
            where the system lets them. On all processors, server, stores and wrk share them, as on \
            one small machine. Redis counts for each tenant in a question by itself: of 1,000 \
            tenants, each has one chat in it. An opened session is on \
            the disk when it is answered: with one connection each has a commit of its own, with \
            more of them, many share one.",
    run,
};

const MEMORY: &str = "memory";
const SQLITE: &str = "SQLite";
const POSTGRES: &str = "PostgreSQL";
const REDIS: &str = "PostgreSQL and Redis";

/// No bound that a benchmark could reach.
const UNBOUND: [&str; 2] = ["--max-sessions", "4000000000"];

/// What is asked, and of whom.
struct Work {
    name: &'static str,
    chats: bool,
    tenants: usize,
    connections: usize,
    workers: Workers,
    /// Each store, and its goal as a part of what memory does.
    stores: &'static [(&'static str, Option<f64>)],
}

const DATABASES: [(&str, Option<f64>); 3] = [(MEMORY, None), (SQLITE, None), (POSTGRES, None)];

const WORKS: [Work; 6] = [
    Work {
        name: "POST /chat, 32 connections",
        chats: true,
        tenants: 3,
        connections: 32,
        workers: Workers::One,
        stores: &[(MEMORY, None), (SQLITE, Some(0.9)), (POSTGRES, Some(0.6))],
    },
    Work {
        name: "POST /chat on all processors, 32 connections",
        chats: true,
        tenants: 3,
        connections: 32,
        workers: Workers::All,
        stores: &[
            (MEMORY, None),
            (SQLITE, Some(0.9)),
            (POSTGRES, Some(0.6)),
            (REDIS, Some(0.6)),
        ],
    },
    Work {
        name: "POST /chat of 1,000 tenants on all processors, 32 connections",
        chats: true,
        tenants: 1000,
        connections: 32,
        workers: Workers::All,
        stores: &[(MEMORY, None), (REDIS, None)],
    },
    Work {
        name: "POST /session, 1 connection",
        chats: false,
        tenants: 3,
        connections: 1,
        workers: Workers::One,
        stores: &DATABASES,
    },
    Work {
        name: "POST /session, 32 connections",
        chats: false,
        tenants: 3,
        connections: 32,
        workers: Workers::One,
        stores: &DATABASES,
    },
    Work {
        name: "POST /session, 256 connections",
        chats: false,
        tenants: 3,
        connections: 256,
        workers: Workers::One,
        stores: &DATABASES,
    },
];

fn run(bench: &Bench) -> Result<Found> {
    let mut comparisons = Vec::new();
    for work in &WORKS {
        let variants = measure(bench, work)?;
        comparisons.push(Comparison {
            work: work.name.to_owned(),
            measure: Measure::Throughput,
            variants: variants.clone(),
        });
        let without_goal = variants.into_iter().map(|variant| Variant {
            goal: None,
            ..variant
        });
        comparisons.push(Comparison {
            work: format!("{}, latency", work.name),
            measure: Measure::Latency,
            variants: without_goal.collect(),
        });
    }
    let figures = vec![after_postgres(bench)?, after_redis(bench)?];
    Ok(Found {
        comparisons,
        figures,
    })
}

fn measure(bench: &Bench, work: &Work) -> Result<Vec<Variant>> {
    let tenants = bench.scratch.join("stores.jsonl");
    write_limited_tenants(&tenants, work.tenants)?;
    // One each: what one server writes is not the other's.
    let databases = [
        Postgres::start(&bench.scratch, "postgres")?,
        Postgres::start(&bench.scratch, "postgres-2")?,
    ];
    let redis = Redis::start()?;
    let file = bench.scratch.join("stores.db");
    for name in ["stores.db", "stores.db-wal", "stores.db-shm"] {
        // It is there if there was a round before.
        let _ = std::fs::remove_file(bench.scratch.join(name));
    }
    let mut contestants = Vec::new();
    for (name, _) in work.stores {
        let mut args = match *name {
            MEMORY => vec!["--state".to_owned(), "memory".to_owned()],
            SQLITE => database_args(&format!("sqlite:{}", file.display())),
            POSTGRES => database_args(&databases[0].url),
            _ => database_args(&databases[1].url),
        };
        if *name == REDIS {
            args.extend(["--cache".to_owned(), redis.url()]);
        }
        let server = serve(bench, work.workers, &tenants, &args)?;
        contestants.push(Contestant {
            name,
            address: server.address.clone(),
            server: Some(server),
            script: bench.scratch.join(format!("stores-{name}.lua")),
            share: match work.workers {
                Workers::One => Share::Processor,
                Workers::All => Share::All,
            },
        });
    }
    for contestant in &contestants {
        let numbers: Vec<_> = (0..work.tenants).collect();
        let requests: Vec<_> = if work.chats {
            let sessions = work::open_sessions(&contestant.address, &numbers)?;
            let chats = sessions
                .iter()
                .map(|session| work::chat(session, work::SHORT));
            chats.collect()
        } else {
            let opens = numbers.iter().map(|n| work::open(&format!("t{n}")));
            opens.collect()
        };
        write_script(&contestant.script, &requests)?;
    }
    let runs = rounds(bench, &contestants, work.connections, Expect::Success)?;
    let variants = work.stores.iter().zip(runs);
    let variants = variants.map(|((name, goal), runs)| Variant {
        name: (*name).to_owned(),
        runs,
        goal: *goal,
    });
    Ok(variants.collect())
}

fn database_args(state: &str) -> Vec<String> {
    vec!["--state".to_owned(), state.to_owned()]
}

/// A server with these arguments; its database, if it has one, gets the tenants of that file.
fn serve(bench: &Bench, workers: Workers, tenants: &Path, args: &[String]) -> Result<Server> {
    if args.get(1).is_some_and(|state| state != "memory") {
        let import = Command::new(&bench.server)
            .arg("import")
            .args(args.iter().take(2))
            .arg(tenants)
            .output()
            .context("the server can't be started")?;
        let error = String::from_utf8_lossy(&import.stderr);
        ensure!(import.status.success(), "{error}");
    }
    let args: Vec<_> = args.iter().map(String::as_str).chain(UNBOUND).collect();
    Server::tenantry(&bench.server, tenants, workers, &args)
}

/// How long a store is away.
const AWAY: Duration = Duration::from_secs(2);

/// What is waited for, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// From when PostgreSQL takes connections after a crash to the first session that is opened.
fn after_postgres(bench: &Bench) -> Result<Figure> {
    let tenants = bench.scratch.join("stores.jsonl");
    write_limited_tenants(&tenants, 3)?;
    let postgres = Postgres::start(&bench.scratch, "postgres")?;
    let args = database_args(&postgres.url);
    let server = serve(bench, Workers::All, &tenants, &args)?;
    let open = work::open("t0");
    let is_open = || ask(&server.address, &open).is_ok();
    let mut times = Vec::new();
    for _ in 0..bench.rounds {
        ensure!(is_soon(is_open), "sessions can't be opened");
        postgres.stop(Stop::Crash)?;
        ask_while_away(|| ask(&server.address, &open));
        postgres.run()?;
        times.push(time(is_open)?);
    }
    let what = "a session, from when PostgreSQL takes connections again after a crash";
    let after = stats::Spread::of(times).median;
    Ok(Figure::new(what, after, "ms", Some(1000.0)))
}

/// From when Redis takes connections after a kill to when chats are counted there.
fn after_redis(bench: &Bench) -> Result<Figure> {
    let tenants = bench.scratch.join("stores.jsonl");
    write_limited_tenants(&tenants, 3)?;
    let mut redis = Redis::start()?;
    let args = ["--state", "memory", "--cache", &redis.url()].map(str::to_owned);
    let server = serve(bench, Workers::All, &tenants, &args)?;
    let sessions = work::open_sessions(&server.address, &[0])?;
    let session = sessions.first().context("a session")?;
    let chat = work::chat(session, work::SHORT);
    let mut times = Vec::new();
    for _ in 0..bench.rounds {
        ask(&server.address, &chat)?;
        redis.kill()?;
        ask_while_away(|| ask(&server.address, &chat));
        redis.start_again()?;
        let is_counted =
            || ask(&server.address, &chat).is_ok() && redis.keys().is_ok_and(|n| n > 0);
        times.push(time(is_counted)?);
    }
    let what = "a limit that servers share, from when Redis takes connections again after a kill";
    let after = stats::Spread::of(times).median;
    Ok(Figure::new(what, after, "ms", Some(1000.0)))
}

fn ask(address: &str, request: &[u8]) -> Result<()> {
    Connection::open(address)?.ask(request)
}

/// Asks again and again while a store is away, whatever the answer.
fn ask_while_away(ask: impl Fn() -> Result<()>) {
    let start = Instant::now();
    while start.elapsed() < AWAY {
        let _ = ask();
        thread::sleep(Duration::from_millis(20));
    }
}

/// Milliseconds until it is so.
fn time(is_so: impl Fn() -> bool) -> Result<f64> {
    let start = Instant::now();
    ensure!(is_soon(is_so), "nothing comes back");
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Whether it is so before long.
fn is_soon(is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}
