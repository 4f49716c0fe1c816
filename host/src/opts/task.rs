//! What the command line says is to be done.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tenantry_core::memory;
use tracing_subscriber::filter::Targets;

use crate::{
    admin::HostName,
    cli,
    engine::EngineKind,
    sandbox::SandboxLimits,
    server::{self, Origin, TrustedProxy},
    state::{RedisUrl, sql::Place},
    traces::TraceSettings,
};

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
    /// `tenantry migrate`
    Migrate(Place),
    /// `tenantry tenants`, `audit` and `usage`
    Ask(cli::Task),
    /// `tenantry health`
    Health(cli::health::Task),
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
    /// For a database that is out of reach at the start.
    pub store_wait: Duration,
    /// Whether a database is made where there is none.
    pub state_create: bool,
    /// The folder of a web page to serve.
    pub demo: Option<PathBuf>,
    /// Whose pages may read answers; if empty, only those from this server may.
    pub cors_origins: Vec<Origin>,
    /// Proxies that are believed whom a request is from.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// How connections and requests are treated.
    pub server: server::Settings,
    /// For which the server serves on once it is to stop.
    pub drain_delay: Duration,
    /// Whether GET / lists the tenants.
    pub lists_tenants: bool,
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
    /// What was given and has no effect, and what is odd about the environment: for the log.
    pub warnings: Vec<String>,
}

/// Where the admin API listens, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTask {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The file that has the token.
    pub token_file: PathBuf,
    /// Names that it answers to.
    pub names: Vec<HostName>,
}
