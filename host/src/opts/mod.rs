//! The command line: what it says, and what that means. Nothing is opened here.

mod effect;
mod secret;
mod serve;
mod task;
mod unknown;
mod values;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

use bytesize::ByteSize;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};

pub use self::task::{AdminTask, ExportTask, ImportTask, LogForm, ServeTask, StateKind, Task};
pub(crate) use self::values::duration_above_0;
use self::{
    secret::with_secret,
    serve::ServeOpts,
    values::{cache_url, place, state},
};
use crate::cli::{
    self,
    opts::{AuditOpts, HealthOpts, TenantsOpts, UsageOpts},
};

/// A multi-tenant chat service: one sandbox for each tenant.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version = tenantry_commit::VERSION, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves tenants over HTTP until it gets SIGTERM or ctrl-c
    ///
    /// The first line on standard output is the address that it listens on; the log goes
    /// to standard error.
    ///
    /// Durations are written as 500ms, 10s, 5m or 24h; a plain number is seconds. Sizes are
    /// written as 64KiB or 1MiB; a plain number is bytes. Each option may also be given in
    /// the environment; the command line comes first.
    Serve(Box<ServeOpts>),
    /// Checks a tenants file and reports every problem that it has
    Check {
        /// The tenants file, one JSON object a line; - is standard input
        file: PathBuf,
    },
    /// Puts the tenants of a file into a database that has none
    Import(ImportOpts),
    /// Writes the tenants of a database as a tenants file
    Export(ExportOpts),
    /// Brings a database up to date with this program, and exits
    ///
    /// A server does so itself when it starts, unless its role may not change tables. Where a
    /// database is up to date, nothing is changed.
    Migrate(MigrateOpts),
    /// Lists and changes the tenants of a running server, through its admin API
    Tenants(TenantsOpts),
    /// Shows who has changed what, oldest first
    Audit(AuditOpts),
    /// Shows what tenants have used
    Usage(UsageOpts),
    /// Asks a running server whether it is ready; exits with 0 if so, and otherwise says why
    /// not and exits with 1
    Health(HealthOpts),
}

#[derive(Debug, Args)]
struct ImportOpts {
    /// The database: sqlite:PATH, which is made where there is none, or postgres://...
    #[arg(
        long,
        value_name = "STORE",
        env = "TENANTRY_STATE",
        hide_env_values = true
    )]
    state: String,

    /// Where the database has tenants already, imports nothing and is no error
    #[arg(long)]
    if_empty: bool,

    /// The tenants file, one JSON object a line; - is standard input
    file: PathBuf,
}

#[derive(Debug, Args)]
struct MigrateOpts {
    /// The database: sqlite:PATH, or postgres://...
    #[arg(
        long,
        value_name = "STORE",
        env = "TENANTRY_STATE",
        hide_env_values = true
    )]
    state: String,
}

#[derive(Debug, Args)]
struct ExportOpts {
    /// The database: sqlite:PATH, or postgres://...
    #[arg(
        long,
        value_name = "STORE",
        env = "TENANTRY_STATE",
        hide_env_values = true
    )]
    state: String,

    /// Writes archived tenants, too
    #[arg(long)]
    archived: bool,

    /// The file to write; without it, standard output
    file: Option<PathBuf>,
}

/// A warning for each variable of the environment that looks like one of this program's and is
/// not.
#[must_use]
pub fn unknown_variables(
    variables: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Vec<String> {
    unknown::unknown(&Cli::command(), variables)
}

/// Reads the command line and the environment.
///
/// # Errors
/// Says what is wrong and what would be right. (`--help` is such an "error", too.)
pub fn parse(
    args: impl IntoIterator<Item = std::ffi::OsString>,
    port: Option<std::ffi::OsString>,
) -> Result<Task, clap::Error> {
    let matches = Cli::command().try_get_matches_from(args)?;
    let listen_is_given = matches
        .subcommand_matches("serve")
        .and_then(|serve| serve.value_source("listen"))
        == Some(ValueSource::CommandLine);
    let ask = |task: Result<cli::Task, &str>| {
        let missing = clap::error::ErrorKind::MissingRequiredArgument;
        let task = task.map_err(|message| Cli::command().error(missing, message));
        task.map(Task::Ask)
    };
    match Cli::from_arg_matches(&matches)?.command {
        Command::Tenants(opts) => ask(opts.into_task()),
        Command::Audit(opts) => ask(opts.into_task()),
        Command::Usage(opts) => ask(opts.into_task()),
        Command::Health(opts) => {
            let port = port.as_deref().and_then(std::ffi::OsStr::to_str);
            Ok(Task::Health(opts.into_task(port)))
        }
        Command::Check { file } => Ok(Task::Check(file)),
        Command::Import(opts) => Ok(Task::Import(ImportTask {
            place: with_secret(&opts.state, STATE_FLAG, place)?,
            if_empty: opts.if_empty,
            file: opts.file,
        })),
        Command::Export(opts) => Ok(Task::Export(ExportTask {
            place: with_secret(&opts.state, STATE_FLAG, place)?,
            archived: opts.archived,
            file: opts.file,
        })),
        Command::Migrate(opts) => Ok(Task::Migrate(with_secret(&opts.state, STATE_FLAG, place)?)),
        Command::Serve(opts) => {
            // What is written on the command line is meant more than what is around.
            let port = port.filter(|_| !listen_is_given);
            let listen = listen_address(&opts.listen, port)?;
            let state = with_secret(&opts.state, STATE_FLAG, state)?;
            let cache = opts.cache.as_deref();
            let cache = cache.map(|cache| with_secret(cache, "--cache <URL>", cache_url));
            if let Some(buffered) = opts.max_buffered.filter(|size| *size < opts.max_body) {
                let message = format!(
                    "invalid value '{}' for '--max-buffered <SIZE>': it must be at least \
                     --max-body, which is {}",
                    ByteSize(buffered as u64),
                    ByteSize(opts.max_body as u64)
                );
                let kind = clap::error::ErrorKind::ValueValidation;
                return Err(Cli::command().error(kind, message));
            }
            let mut task = opts.into_task(listen, state, cache.transpose()?);
            if let Some(given) = matches.subcommand_matches("serve") {
                task.warnings = effect::without(given, &task);
            }
            Ok(Task::Serve(Box::new(task)))
        }
    }
}

fn listen_address(
    listen: &str,
    port: Option<std::ffi::OsString>,
) -> Result<SocketAddr, clap::Error> {
    let invalid =
        |message: String| Cli::command().error(clap::error::ErrorKind::ValueValidation, message);
    let mut addresses = listen.to_socket_addrs().map_err(|error| {
        invalid(format!(
            "invalid address {listen:?} for --listen: {error}; write it as 127.0.0.1:8001"
        ))
    })?;
    let mut address = addresses
        .next()
        .ok_or_else(|| invalid(format!("{listen:?} for --listen names no address")))?;
    if let Some(port) = port {
        let number = port.to_str().and_then(|port| port.parse().ok());
        let number = number.ok_or_else(|| {
            invalid(format!(
                "invalid port {port:?} in PORT: it must be from 0 to 65535"
            ))
        })?;
        address.set_port(number);
    }
    Ok(address)
}

/// The flag that says where state is kept, as it is shown.
const STATE_FLAG: &str = "--state <STORE>";
