//! Measures the server, and writes docs/benchmarks.md: `cargo xtask bench` builds what is
//! measured, and runs this.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for people at a terminal")]

mod connection;
mod oha;
mod place;
mod plot;
mod process;
mod report;
mod results;
mod sections;
mod stats;
mod work;
mod wrk;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::{
    results::{Facts, Results, Section},
    sections::{Bench, KINDS},
};

/// Measures the server, and writes docs/benchmarks.md.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Cli {
    /// What to measure instead of everything; the rest stays as it was measured before
    #[arg(value_name = "SECTION", value_parser = KINDS.map(|kind| kind.name))]
    sections: Vec<String>,
    /// Rounds in which each variant has its turn
    #[arg(long, default_value_t = 7, value_name = "N")]
    rounds: usize,
    /// Seconds of each turn
    #[arg(long, default_value_t = 2, value_name = "N")]
    seconds: u64,
    /// Address of the running FastAPI demo, to compare with it
    #[arg(long, value_name = "ADDRESS:PORT")]
    reference: Option<String>,
    /// The server program
    #[arg(long, value_name = "FILE", hide = true)]
    server: PathBuf,
    /// The program of `host/examples/calls.rs`
    #[arg(long, value_name = "FILE", hide = true)]
    calls: PathBuf,
    /// The program of `host/examples/misbehaving.rs`
    #[arg(long, value_name = "FILE", hide = true)]
    misbehaving: PathBuf,
    /// The component that the server program embeds, before it was compiled for a processor
    #[arg(long, value_name = "FILE", hide = true)]
    component: PathBuf,
    /// The load generator of open loops
    #[arg(long, value_name = "FILE", hide = true)]
    oha: PathBuf,
    /// Where the document and its pictures are written
    #[arg(long, value_name = "DIR", hide = true)]
    docs: PathBuf,
    /// Where what is needed meanwhile is written
    #[arg(long, value_name = "DIR", hide = true)]
    scratch: PathBuf,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let pictures = cli.docs.join("benchmarks");
    fs::create_dir_all(&pictures).with_context(|| pictures.display().to_string())?;
    fs::create_dir_all(&cli.scratch).with_context(|| cli.scratch.display().to_string())?;
    let file = pictures.join("results.json");
    let mut results = Results::read(&file)?;
    let bench = Bench {
        server: cli.server.clone(),
        calls: cli.calls.clone(),
        misbehaving: cli.misbehaving.clone(),
        component: cli.component.clone(),
        oha: cli.oha.clone(),
        scratch: cli.scratch.clone(),
        rounds: cli.rounds.max(1),
        seconds: cli.seconds.max(1),
        reference: cli.reference.clone(),
    };
    let is_wanted = |name: &str| cli.sections.is_empty() || cli.sections.iter().any(|s| s == name);
    for kind in KINDS.iter().filter(|kind| is_wanted(kind.name)) {
        println!("measuring: {}", kind.title);
        let found = (kind.run)(&bench).with_context(|| kind.name)?;
        let section = Section {
            title: kind.title.to_owned(),
            about: kind.about.to_owned(),
            facts: facts(&cli),
            comparisons: found.comparisons,
            figures: found.figures,
        };
        results.0.insert(kind.name.to_owned(), section);
        // What was measured is not lost where the next section fails.
        results.write(&file)?;
        let document = cli.docs.join("benchmarks.md");
        fs::write(&document, report::document(&results))
            .with_context(|| document.display().to_string())?;
    }
    for (name, section) in &results.0 {
        if section.pictured().next().is_some() {
            plot::draw(section, &pictures.join(format!("{name}.svg")))?;
        }
    }
    println!("{}", cli.docs.join("benchmarks.md").display());
    Ok(())
}

/// What the machine is, as far as it says so.
fn facts(cli: &Cli) -> Facts {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map(|line| line.trim_start_matches([' ', '\t', ':']));
    let Cli {
        rounds, seconds, ..
    } = cli;
    Facts {
        date: said("date", &["-u", "+%Y-%m-%d"]),
        processor: model.unwrap_or("unknown processor").to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: said("uname", &["-sr"]),
        versions: format!(
            "{}, {}, {}, nginx {}",
            said(&cli.server.to_string_lossy(), &["--version"]),
            said("wrk", &["-v"]),
            said(&cli.oha.to_string_lossy(), &["--version"]),
            said("nginx", &["-v"]).trim_start_matches("nginx version: nginx/"),
        ),
        command: format!("cargo xtask bench --rounds {rounds} --seconds {seconds}"),
    }
}

/// The first line that a program says, wherever it says it.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(Path::new(program)).args(args).output();
    let text = output.map(|output| [output.stdout, output.stderr].concat());
    let text = String::from_utf8(text.unwrap_or_default()).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.split(" Copyright")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}
