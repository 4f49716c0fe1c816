//! A soak: three servers with PostgreSQL, Redis and HAProxy, and one with SQLite, all of them
//! real programs, under load and under faults that are drawn at random. A checker knows what
//! was acknowledged, and looks for it. `cargo xtask soak` builds the program and runs this.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for people at a terminal")]

mod balancer;
mod check;
mod client;
mod disk;
mod faults;
mod guard;
mod load;
mod node;
mod plan;
mod probe;
mod record;
mod report;
mod stand;
mod verify;

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use clap::Parser;

use crate::{guard::Guard, plan::Plan, record::Record, stand::Stand};

/// Runs servers under faults that are drawn at random, and checks that nothing that was
/// acknowledged is lost.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask soak", bin_name = "cargo xtask soak")]
struct Cli {
    /// How long faults are made
    #[arg(long, default_value_t = 20, value_name = "N")]
    minutes: u64,
    /// Which faults are made, in which order: those of an earlier run with this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Makes only faults whose names begin with this; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The server program
    #[arg(long, value_name = "FILE", hide = true)]
    server: PathBuf,
    /// Where data and logs are meanwhile; where something fails, they stay
    #[arg(long, value_name = "DIR", hide = true)]
    scratch: PathBuf,
}

fn main() -> Result<()> {
    if let Some(answer) = guard::if_asked() {
        return answer;
    }
    let mut cli = Cli::parse();
    // PostgreSQL's programs run in another folder.
    cli.server = std::path::absolute(cli.server)?;
    cli.scratch = std::path::absolute(cli.scratch)?;
    let seed = cli.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs() % 1_000_000)
    });
    println!("soak: {} minutes, seed {seed}", cli.minutes);
    let record = Record::default();
    {
        let guard = Guard::start()?;
        let stand = Stand::start(&cli.server, &cli.scratch, guard)?;
        let plan = Plan::new(seed, &stand.possible_faults(&cli.only)?);
        let end = Instant::now() + Duration::from_secs(60 * cli.minutes);
        let over = load::Over::default();
        let ran = thread::scope(|scope| {
            load::start(scope, &stand, &record, &over);
            probe::start(scope, &stand, &record, &over);
            scope.spawn(|| stand.tend(&record, &over));
            let ran = faults::run(&stand, &record, plan, end);
            over.tell();
            ran
        });
        ran.and_then(|()| verify::all(&stand, &record))?;
    }
    print!("\n{}", report::text(&record, seed, cli.minutes));
    let wrong = record.wrong();
    if wrong.is_empty() {
        return Ok(());
    }
    bail!(
        "{} checks failed; the logs are in {}, and the same faults come with: cargo xtask soak \
         --minutes {} --seed {seed}",
        wrong.values().sum::<u64>(),
        cli.scratch.display(),
        cli.minutes
    )
}
