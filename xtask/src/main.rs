//! `cargo xtask`: the one way to set up, run and test this project.
//!
//! A fresh machine needs Rust, and Node for what is JavaScript. Whatever else a command
//! needs, it gets, or it asks for it in one line.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

mod bench;
mod cargo;
mod container;
mod counts;
mod deny;
mod dist;
mod dockerfile;
mod interface;
mod manifests;
mod process;
mod release;
mod served;
mod setup;
mod soak;
mod steps;
mod tidy;
mod unit;
mod walk;
mod web;
mod yaml;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

/// Sets up, runs and tests this project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sets up, builds and runs the server on 127.0.0.1:8001
    Serve {
        /// Builds as it ships, but for what only makes the build slower
        #[arg(long)]
        release: bool,
        /// Arguments of `tenantry serve`, such as --listen 127.0.0.1:9000
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Sets up and runs every test
    Test {
        /// Steps to run instead of all
        #[arg(value_name = "STEP", value_parser = steps::names())]
        steps: Vec<String>,
        /// Lists the steps and runs none
        #[arg(long)]
        list: bool,
    },
    /// Makes Rust's standard library for WebAssembly available
    Setup,
    /// Builds the npm package and the page: target/web
    Web {
        /// Then takes pictures of the page: target/web/screenshots
        #[arg(long)]
        screenshots: bool,
        /// Then measures the package and the page, in Node and in Chromium
        #[arg(long)]
        figures: bool,
    },
    /// Measures the server, and writes docs/benchmarks.md
    Bench {
        /// Sections and options: see `cargo xtask bench -- --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Runs three servers and their stores under faults that are drawn at random, and checks
    /// that nothing that was acknowledged is lost
    Soak {
        /// Options such as --minutes 20 and --seed 7: see `cargo xtask soak -- --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Runs the step `counts`: instructions of calls, beside host/instructions.json
    Counts {
        /// Accepts what is counted: writes that file
        #[arg(long)]
        update: bool,
    },
    /// Builds the program that ships, as a static file: target/dist/tenantry
    Dist,
    /// Checks, builds and packs everything that a release hands out: target/release-files
    Release {
        /// Says what would stop a release, and goes on
        #[arg(long)]
        dry_run: bool,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve { release, args } => served::serve(release, &args),
        Command::Test { list: true, .. } => {
            steps::list();
            Ok(())
        }
        Command::Test { steps, .. } => steps::run(&steps),
        Command::Setup => setup::wasm_target(),
        Command::Web {
            screenshots,
            figures,
        } => web::run(screenshots, figures),
        Command::Bench { args } => bench::run_all(&args),
        Command::Soak { args } => soak::run_all(&args),
        Command::Counts { update: false } => steps::run(&["counts".to_owned()]),
        Command::Counts { update: true } => setup::wasm_target().and_then(|()| counts::update()),
        Command::Dist => dist::build(),
        Command::Release { dry_run } => release::release(dry_run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
