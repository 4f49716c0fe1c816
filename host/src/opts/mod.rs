//! The command line: what it says, and what that means. Nothing is opened here.

mod values;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    thread,
    time::Duration,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use http::Uri;
use tenantry_core::{memory, session::Lifetime};
use tracing_subscriber::filter::Targets;

use self::values::{
    address, at_least_1, boolean, cache_url, collector, duration, duration_above_0, log_filter,
    max_body, max_head, max_reply, max_sessions, metrics_tenants, place, ratio, sandbox_memory,
    sandbox_stack, session_ttl, state, store_timeout, threads,
};
use crate::{
    cli::{
        self,
        opts::{AuditOpts, TenantsOpts, UsageOpts},
    },
    engine::EngineKind,
    sandbox::{Isolation, SandboxLimits},
    server::{self, Origin},
    state::{RedisUrl, sql::Place},
    traces::TraceSettings,
};

/// A multi-tenant chat service: one sandbox for each tenant.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, arg_required_else_help = true)]
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
        /// The tenants file, one JSON object a line
        file: PathBuf,
    },
    /// Puts the tenants of a file into a database that has none
    Import(ImportOpts),
    /// Writes the tenants of a database as a tenants file
    Export(ExportOpts),
    /// Lists and changes the tenants of a running server, through its admin API
    Tenants(TenantsOpts),
    /// Shows who has changed what, oldest first
    Audit(AuditOpts),
    /// Shows what tenants have used
    Usage(UsageOpts),
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

    /// The tenants file, one JSON object a line
    file: PathBuf,
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

#[derive(Debug, Args)]
struct ServeOpts {
    /// Address and port to listen on; port 0 takes any free one. PORT in the environment
    /// changes the port alone
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "TENANTRY_LISTEN",
        default_value = "127.0.0.1:8001"
    )]
    listen: String,

    /// The tenants file, one JSON object a line
    #[arg(
        long,
        value_name = "FILE",
        env = "TENANTRY_TENANTS",
        default_value = "tenants.jsonl"
    )]
    tenants: PathBuf,

    /// Where tenants, sessions and usage are kept: memory, for tenants of a file; sqlite:PATH,
    /// for one server; or postgres://USER:PASSWORD@HOST:PORT/DATABASE, for several
    #[arg(
        long,
        value_name = "STORE",
        env = "TENANTRY_STATE",
        hide_env_values = true,
        default_value = "memory"
    )]
    state: String,

    /// Reads the tenants file again when it has changed, true or false; SIGHUP does so anyway
    #[arg(long, value_name = "BOOL", env = "TENANTRY_WATCH", default_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    watch: bool,

    /// Worker threads, up to 1024; each has one of low priority beside it, for bodies of 64 KiB
    /// and more [default: one for each processor]
    #[arg(long, value_name = "N", env = "TENANTRY_THREADS", value_parser = threads)]
    threads: Option<usize>,

    /// What answers requests: a sandbox for each tenant, or the same rules without one
    #[arg(long, value_enum, env = "TENANTRY_ENGINE", default_value = "wasm")]
    engine: EngineKind,

    /// How long a sandbox lives: it serves one tenant, or one request
    #[arg(long, value_enum, env = "TENANTRY_ISOLATION", default_value = "tenant")]
    isolation: Isolation,

    /// Sandboxes that a worker thread keeps; the one idle for longest makes room
    /// [default: 4096, or fewer where all threads together would have more than 8192]
    #[arg(long, value_name = "N", env = "TENANTRY_SANDBOXES", value_parser = at_least_1)]
    sandboxes: Option<usize>,

    /// Running time that a request may take in its sandbox
    #[arg(long, value_name = "DURATION", env = "TENANTRY_SANDBOX_DEADLINE", default_value = "1s", value_parser = duration_above_0)]
    sandbox_deadline: Duration,

    /// Memory of a sandbox, from 2MiB to 4GiB; the largest bodies need 16 times their size
    #[arg(long, value_name = "SIZE", env = "TENANTRY_SANDBOX_MEMORY", default_value = "64MiB", value_parser = sandbox_memory)]
    sandbox_memory: usize,

    /// Stack of a sandbox, from 64KiB to 64MiB
    #[arg(long, value_name = "SIZE", env = "TENANTRY_SANDBOX_STACK", default_value = "512KiB", value_parser = sandbox_stack)]
    sandbox_stack: usize,

    /// Body of an answer, at most, from 64KiB to 1GiB; it can be three times as large as
    /// the request's
    #[arg(long, value_name = "SIZE", env = "TENANTRY_MAX_REPLY", default_value = "16MiB", value_parser = max_reply)]
    max_reply: usize,

    /// Lifts every limit of the tenants file, and that on sessions: nothing is answered
    /// with 429. In the environment it is true or false [default: false]
    #[arg(long, env = "TENANTRY_NO_LIMITS", value_parser = boolean)]
    no_limits: bool,

    /// How long a session lives without being used, from 10ms; 0 is for ever
    #[arg(long, value_name = "DURATION", env = "TENANTRY_SESSION_TTL", default_value = "24h", value_parser = session_ttl)]
    session_ttl: Duration,

    /// Live sessions that a tenant may have whose row does not say
    #[arg(
        long,
        value_name = "N",
        env = "TENANTRY_MAX_SESSIONS",
        default_value = "1000000",
        value_parser = max_sessions
    )]
    max_sessions: u32,

    /// Redis that counts the chats of several servers together, as redis://HOST:PORT/DATABASE;
    /// with :PASSWORD@ before the host where it wants one
    #[arg(
        long,
        value_name = "URL",
        env = "TENANTRY_CACHE",
        hide_env_values = true
    )]
    cache: Option<String>,

    /// Time for a store elsewhere, such as Redis, to answer, from 10ms; then it is
    /// done without, where possible
    #[arg(long, value_name = "DURATION", env = "TENANTRY_STORE_TIMEOUT", default_value = "1s", value_parser = store_timeout)]
    store_timeout: Duration,

    /// Folder of a web page, with an index.html, that is served under /demo/; it is read
    /// at the start and may have 64MiB
    #[arg(long, value_name = "DIR", env = "TENANTRY_DEMO")]
    demo: Option<PathBuf>,

    /// Origin, as scheme://host:port, whose pages may use this server from browsers; null is
    /// that of files, * is any. May be given several times, or with commas
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "TENANTRY_CORS_ORIGIN",
        value_delimiter = ','
    )]
    cors_origin: Vec<Origin>,

    /// Body of a request, at most, up to 256MiB
    #[arg(long, value_name = "SIZE", env = "TENANTRY_MAX_BODY", default_value = "1MiB", value_parser = max_body)]
    max_body: usize,

    /// Line and headers of a request, at most, from 8KiB to 1MiB
    #[arg(long, value_name = "SIZE", env = "TENANTRY_MAX_HEAD", default_value = "64KiB", value_parser = max_head)]
    max_head: usize,

    /// Open connections, at most; further ones wait
    #[arg(long, value_name = "N", env = "TENANTRY_MAX_CONNECTIONS", default_value = "16384", value_parser = at_least_1)]
    max_connections: usize,

    /// Time for a request's line and headers
    #[arg(long, value_name = "DURATION", env = "TENANTRY_HEADER_TIMEOUT", default_value = "10s", value_parser = duration_above_0)]
    header_timeout: Duration,

    /// Time for a request's body
    #[arg(long, value_name = "DURATION", env = "TENANTRY_BODY_TIMEOUT", default_value = "30s", value_parser = duration_above_0)]
    body_timeout: Duration,

    /// Time for an answer to be ready; then 503
    #[arg(long, value_name = "DURATION", env = "TENANTRY_REQUEST_TIMEOUT", default_value = "30s", value_parser = duration_above_0)]
    request_timeout: Duration,

    /// Time for a client to take any part of its answer
    #[arg(long, value_name = "DURATION", env = "TENANTRY_WRITE_TIMEOUT", default_value = "30s", value_parser = duration_above_0)]
    write_timeout: Duration,

    /// Time that a connection may be open between requests
    #[arg(long, value_name = "DURATION", env = "TENANTRY_IDLE_TIMEOUT", default_value = "60s", value_parser = duration_above_0)]
    idle_timeout: Duration,

    /// Time for open requests to end once the server is to stop
    #[arg(long, value_name = "DURATION", env = "TENANTRY_DRAIN", default_value = "10s", value_parser = duration)]
    drain: Duration,

    /// Time for which the server serves on once it is to stop, while /readyz says that it is
    /// not ready: balancers need it to notice
    #[arg(long, value_name = "DURATION", env = "TENANTRY_DRAIN_DELAY", default_value = "0s", value_parser = duration)]
    drain_delay: Duration,

    /// Address and port of the admin API; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", env = "TENANTRY_ADMIN", default_value = "127.0.0.1:9001", value_parser = address, requires = "admin_token_file")]
    admin: SocketAddr,

    /// File with the token of the admin API, 16 characters or more, which other users may
    /// not read; without it there is no admin API
    #[arg(long, value_name = "FILE", env = "TENANTRY_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,

    /// Tenants, the busiest ones, that have metrics of their own; all others have theirs
    /// together
    #[arg(long, value_name = "N", env = "TENANTRY_METRICS_TENANTS", default_value = "20", value_parser = metrics_tenants)]
    metrics_tenants: usize,

    /// OpenTelemetry collector that traces are sent to, as http://host:4318; /v1/traces is
    /// added where it has no path
    #[arg(long, value_name = "URL", env = "TENANTRY_OTLP", value_parser = collector)]
    otlp: Option<Uri>,

    /// Part of the requests that is traced, from 0 to 1; those that come with a traceparent
    /// are traced where that is
    #[arg(long, value_name = "RATIO", env = "TENANTRY_OTLP_SAMPLE", default_value = "1", value_parser = ratio)]
    otlp_sample: f64,

    /// Form of the log
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        env = "TENANTRY_LOG",
        default_value = "text"
    )]
    log: LogForm,

    /// What is logged: a level, or levels for parts, as in info,tenantry::access=off
    #[arg(long, value_name = "FILTER", env = "TENANTRY_LOG_FILTER", default_value = "info", value_parser = log_filter)]
    log_filter: Targets,
}

/// Forms of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogForm {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// What is to be done.
#[derive(Debug)]
pub enum Task {
    /// `tenantry serve`
    Serve(Box<ServeTask>),
    /// `tenantry check`
    Check(PathBuf),
    /// `tenantry import`
    Import(ImportTask),
    /// `tenantry export`
    Export(ExportTask),
    /// `tenantry tenants`, `audit` and `usage`
    Ask(cli::Task),
}

/// What to import.
#[derive(Debug)]
pub struct ImportTask {
    /// Into which database.
    pub place: Place,
    /// Whether a database that has tenants is no error.
    pub if_empty: bool,
    /// The tenants file.
    pub file: PathBuf,
}

/// What to export.
#[derive(Debug)]
pub struct ExportTask {
    /// From which database.
    pub place: Place,
    /// Whether archived tenants are written.
    pub archived: bool,
    /// Where to; none is standard output.
    pub file: Option<PathBuf>,
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateKind {
    /// In this process's memory.
    Memory,
    /// In a database.
    Database(Place),
}

/// How to serve. Every value is valid for itself.
#[derive(Debug)]
pub struct ServeTask {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The tenants file.
    pub tenants: PathBuf,
    /// Where state is kept.
    pub state: StateKind,
    /// Whether the tenants file is read again when it has changed.
    pub watch: bool,
    /// What answers requests.
    pub engine: EngineKind,
    /// What a sandbox may use.
    pub sandbox: SandboxLimits,
    /// What holds for all tenants.
    pub rules: memory::Settings,
    /// The Redis that counts chats; without one, this process does.
    pub cache: Option<RedisUrl>,
    /// For a store elsewhere to answer.
    pub store_timeout: Duration,
    /// The folder of a web page to serve.
    pub demo: Option<PathBuf>,
    /// Whose pages may read answers; if empty, only those from this server may.
    pub cors_origins: Vec<Origin>,
    /// How connections and requests are treated.
    pub server: server::Settings,
    /// For which the server serves on once it is to stop.
    pub drain_delay: Duration,
    /// The admin API, if there is to be one.
    pub admin: Option<AdminTask>,
    /// Tenants that have metrics of their own.
    pub metrics_tenants: usize,
    /// Where traces go, if they are wanted.
    pub traces: Option<TraceSettings>,
    /// The log's form.
    pub log: LogForm,
    /// What is logged.
    pub log_filter: Targets,
}

/// Where the admin API listens, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTask {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The file that has the token.
    pub token_file: PathBuf,
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
        Command::Serve(opts) => {
            // What is written on the command line is meant more than what is around.
            let port = port.filter(|_| !listen_is_given);
            let listen = listen_address(&opts.listen, port)?;
            let state = with_secret(&opts.state, STATE_FLAG, state)?;
            let cache = opts.cache.as_deref();
            let cache = cache.map(|cache| with_secret(cache, "--cache <URL>", cache_url));
            let task = opts.into_task(listen, state, cache.transpose()?);
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

/// What a flag's value means that may have a password. Not a value parser: the message of those
/// repeats the value.
fn with_secret<T>(
    text: &str,
    flag: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, clap::Error> {
    parse(text).map_err(|error| {
        let shown = match (text.split_once(":/"), text.rsplit_once('@')) {
            (Some((scheme, rest)), _) if rest.contains("password") => format!("{scheme}://***"),
            (Some((scheme, _)), Some((_, address))) => format!("{scheme}://***@{address}"),
            (None, Some((_, address))) => format!("***@{address}"),
            (_, None) => text.to_owned(),
        };
        let message = format!("invalid value '{shown}' for '{flag}': {error}");
        Cli::command().error(clap::error::ErrorKind::ValueValidation, message)
    })
}

impl ServeOpts {
    fn into_task(self, listen: SocketAddr, state: StateKind, cache: Option<RedisUrl>) -> ServeTask {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or_else(processors);
        let sandboxes = || {
            DEFAULT_SANDBOXES
                .min(DEFAULT_TOTAL_SANDBOXES / threads)
                .max(1)
        };
        ServeTask {
            listen,
            tenants: self.tenants,
            state,
            watch: self.watch,
            engine: self.engine,
            sandbox: SandboxLimits {
                isolation: self.isolation,
                max_per_thread: self.sandboxes.unwrap_or_else(sandboxes),
                deadline: self.sandbox_deadline,
                max_memory: self.sandbox_memory,
                max_stack: self.sandbox_stack,
                max_reply: self.max_reply,
            },
            rules: memory::Settings {
                limits: !self.no_limits,
                lifetime: Lifetime::new(self.session_ttl),
                max_sessions: self.max_sessions,
            },
            cache,
            store_timeout: self.store_timeout,
            demo: self.demo,
            cors_origins: self.cors_origin,
            server: server::Settings {
                threads,
                max_body: self.max_body,
                max_head: self.max_head,
                max_connections: self.max_connections,
                head_timeout: self.header_timeout,
                body_timeout: self.body_timeout,
                request_timeout: self.request_timeout,
                write_timeout: self.write_timeout,
                idle_timeout: self.idle_timeout,
                drain: self.drain,
            },
            drain_delay: self.drain_delay,
            admin: self.admin_token_file.map(|token_file| AdminTask {
                listen: self.admin,
                token_file,
            }),
            metrics_tenants: self.metrics_tenants,
            traces: self.otlp.map(|collector| TraceSettings {
                collector,
                ratio: self.otlp_sample,
            }),
            log: self.log,
            log_filter: self.log_filter,
        }
    }
}

/// Sandboxes of a thread, where nothing is said about them.
const DEFAULT_SANDBOXES: usize = 4096;

/// Sandboxes of all threads, where nothing is said about them: a system as it comes has
/// address space for 32,000, and mappings (`vm.max_map_count`) for 10,000.
const DEFAULT_TOTAL_SANDBOXES: usize = 8192;
