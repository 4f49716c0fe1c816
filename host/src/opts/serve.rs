//! The options of `tenantry serve`.

use std::{net::SocketAddr, path::PathBuf, thread, time::Duration};

use clap::Args;
use http::Uri;
use tenantry_core::{memory, session::Lifetime};
use tracing_subscriber::filter::Targets;

use super::{
    task::{AdminTask, LogForm, ServeTask, StateKind},
    values::{
        address, at_least_1, boolean, collector, duration, duration_above_0, log_filter, max_body,
        max_buffered, max_head, max_reply, max_sessions, metrics_tenants, ratio, sandbox_memory,
        sandbox_stack, session_ttl, store_timeout, threads,
    },
};
use crate::{
    admin::HostName,
    engine::EngineKind,
    limits,
    sandbox::{Isolation, SandboxLimits},
    server::{self, Origin, TrustedProxy},
    state::RedisUrl,
    traces::TraceSettings,
};

#[derive(Debug, Args)]
pub(super) struct ServeOpts {
    /// Address and port to listen on; port 0 takes any free one. PORT in the environment
    /// changes the port alone
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "TENANTRY_LISTEN",
        default_value = "127.0.0.1:8001"
    )]
    pub(super) listen: String,

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
    pub(super) state: String,

    /// Makes the database where there is none: a file of SQLite, or the tables in PostgreSQL.
    /// Without it, a database that is not there stops the start. In the environment it is
    /// true or false [default: false]
    #[arg(long, env = "TENANTRY_STATE_CREATE", value_parser = boolean)]
    state_create: bool,

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

    /// Lists no tenant at GET /, which anybody may ask for. In the environment it is true or
    /// false [default: false]
    #[arg(long, env = "TENANTRY_NO_TENANT_LIST", value_parser = boolean)]
    no_tenant_list: bool,

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
    pub(super) cache: Option<String>,

    /// Time for a store elsewhere, such as Redis, to answer, from 10ms; then it is
    /// done without, where possible
    #[arg(long, value_name = "DURATION", env = "TENANTRY_STORE_TIMEOUT", default_value = "1s", value_parser = store_timeout)]
    store_timeout: Duration,

    /// Time for a database that is out of reach at the start, or used by another server, to
    /// be there; 0 stops the start at once
    #[arg(long, value_name = "DURATION", env = "TENANTRY_STORE_WAIT", default_value = "60s", value_parser = duration)]
    store_wait: Duration,

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

    /// Addresses of proxies, as 10.0.0.0/8 or 192.0.2.7, whose x-forwarded-for, forwarded and
    /// x-request-id are believed. May be given several times, or with commas
    #[arg(
        long,
        value_name = "CIDR",
        env = "TENANTRY_TRUSTED_PROXY",
        value_delimiter = ','
    )]
    trusted_proxy: Vec<TrustedProxy>,

    /// Body of a request, at most, up to 256MiB
    #[arg(long, value_name = "SIZE", env = "TENANTRY_MAX_BODY", default_value = "1MiB", value_parser = max_body)]
    pub(super) max_body: usize,

    /// Bodies, answers and buffers of all connections together, at most; then those are closed
    /// first that have stalled for longest. No less than the largest body
    /// [default: an eighth of the memory, up to 128MiB]
    #[arg(long, value_name = "SIZE", env = "TENANTRY_MAX_BUFFERED", value_parser = max_buffered)]
    pub(super) max_buffered: Option<usize>,

    /// Line and headers of a request, at most, from 8KiB to 1MiB
    #[arg(long, value_name = "SIZE", env = "TENANTRY_MAX_HEAD", default_value = "64KiB", value_parser = max_head)]
    max_head: usize,

    /// Open connections, at most, and no more than the limit on open files leaves; further
    /// ones wait
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

    /// Names, beside localhost and IP addresses, that requests to the admin listener may have as
    /// their host. May be given several times, or with commas
    #[arg(
        long,
        value_name = "NAME",
        env = "TENANTRY_ADMIN_HOST",
        value_delimiter = ',',
        requires = "admin_token_file"
    )]
    admin_host: Vec<HostName>,

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

impl ServeOpts {
    pub(super) fn into_task(
        self,
        listen: SocketAddr,
        state: StateKind,
        cache: Option<RedisUrl>,
    ) -> ServeTask {
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
            store_wait: self.store_wait,
            state_create: self.state_create,
            demo: self.demo,
            cors_origins: self.cors_origin,
            trusted_proxies: self.trusted_proxy,
            server: server::Settings {
                threads,
                max_body: self.max_body,
                max_buffered: self
                    .max_buffered
                    .unwrap_or_else(|| limits::default_buffered(self.max_body)),
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
            lists_tenants: !self.no_tenant_list,
            admin: self.admin_token_file.map(|token_file| AdminTask {
                listen: self.admin,
                token_file,
                names: self.admin_host,
            }),
            metrics_tenants: self.metrics_tenants,
            traces: self.otlp.map(|collector| TraceSettings {
                collector,
                ratio: self.otlp_sample,
            }),
            log: self.log,
            log_filter: self.log_filter,
            warnings: Vec::new(),
        }
    }
}

/// Sandboxes of a thread, where nothing is said about them.
const DEFAULT_SANDBOXES: usize = 4096;

/// Sandboxes of all threads, where nothing is said about them: a system as it comes has
/// address space for 32,000, and mappings (`vm.max_map_count`) for 10,000.
const DEFAULT_TOTAL_SANDBOXES: usize = 8192;
