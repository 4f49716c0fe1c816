//! Serving: everything that can be wrong with the configuration is found before the port is
//! bound.

use std::{io, io::Write, sync::Arc, time::Duration};

use tenantry_component::Precompiled;
use tenantry_core::registry::Parsed;

use crate::{
    GUEST,
    admin::{self, Admin, TokenError, Tokens},
    engine::EngineKind,
    limits, logging,
    metrics::{self, Metrics, Phase},
    opts::{AdminTask, ServeTask, StateKind},
    reload,
    sandbox::{Component, SandboxLimits},
    server::{self, Cors, Demo, DemoError, Extras, Server},
    signals,
    state::{
        Clock, CountedBy, Directory, Redis, RedisError, State, SystemClock,
        sql::{OpenError, SqlStore, StoreSettings},
    },
    tenants_file::{self, ReadError, Seen, TenantsFile},
    traces::{Traces, TracesError},
};

/// Why the program stopped, or never started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tenants file was not taken.
    #[error(transparent)]
    Tenants(#[from] ReadError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The folder of a web page cannot be served.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The Redis of `--cache` can't be used.
    #[error(transparent)]
    Cache(#[from] RedisError),
    /// The sandboxes cannot be made.
    #[error(
        "the sandboxes cannot be made; --sandboxes (for each of --threads) says how many, the \
         system's limits on address space (ulimit -v) and mappings (vm.max_map_count) how many \
         can be, and --engine native does without"
    )]
    Sandbox(#[source] wasmtime::Error),
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on; --listen names another address")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no token for the admin API.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Traces cannot be sent to where they should be.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The address of the admin API cannot be listened on.
    #[error("{address} cannot be listened on for the admin API; --admin names another address")]
    BindAdmin {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something failed while the server ran.
    #[error("the server has stopped")]
    Serve(#[source] io::Error),
    /// Standard output is closed.
    #[error("the address cannot be written to standard output")]
    Output(#[source] io::Error),
}

impl Error {
    /// What the program exits with: 2 where the configuration is wrong, 1 where the
    /// machine is not as it should be.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Tenants(_) | Self::Demo(_) | Self::Token(_) | Self::Traces(_) => 2,
            Self::Sandbox(_)
            | Self::Store(_)
            | Self::Cache(_)
            | Self::Bind { .. }
            | Self::BindAdmin { .. }
            | Self::Serve(_)
            | Self::Output(_) => 1,
        }
    }
}

/// What a server has beyond the contract.
///
/// # Errors
/// The folder of a web page cannot be served.
pub fn extras(task: &ServeTask) -> Result<Extras, Error> {
    let demo = task.demo.as_deref().map(Demo::read).transpose()?;
    let origins = &task.cors_origins;
    Ok(Extras {
        demo: demo.map(Arc::new),
        cors: (!origins.is_empty()).then(|| Arc::new(Cors::new(origins))),
    })
}

/// For the collector to take the traces that were made last.
const LAST_TRACES: Duration = Duration::from_secs(2);

/// Serves until the program is told to stop.
///
/// # Errors
/// The configuration is wrong, or the machine does not give what it asks for.
pub fn serve(task: ServeTask) -> Result<(), Error> {
    serve_guest(task, &GUEST)
}

/// Serves until the program is told to stop, with this guest in its sandboxes.
///
/// # Errors
/// Those of [`serve`].
pub fn serve_guest(task: ServeTask, guest: &Precompiled) -> Result<(), Error> {
    let ServeTask {
        server: settings,
        rules,
        ..
    } = task;
    let source = Source::open(&task)?;
    let extras = extras(&task)?;
    let tokens = task
        .admin
        .as_ref()
        .map(|admin| Tokens::read(&admin.token_file));
    let tokens = tokens.transpose()?;
    let log = logging::start(task.log, task.log_filter);
    if let Source::File { parsed, .. } = &source {
        let file = task.tenants.display().to_string();
        for warning in &parsed.warnings {
            tracing::warn!("{}", warning.in_file(&file));
        }
    }
    let component = match task.engine {
        EngineKind::Native => None,
        EngineKind::Wasm => {
            let component = Component::load(guest, settings.threads, task.sandbox);
            Some(Arc::new(component.map_err(Error::Sandbox)?))
        }
    };
    limits::raise_open_files(settings.max_connections);
    if component.is_some() {
        limits::check_mappings(task.sandbox.total(settings.threads));
        check_room(&task.sandbox, settings.max_body);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (mut store, mut reloads) = (None, None);
    let (directory, mut state) = match source {
        Source::File { file, seen, parsed } => {
            let directory = Arc::new(Directory::of(parsed.registry));
            reloads = Some((file, seen));
            let state = State::in_memory(
                Arc::clone(&directory),
                task.tenants,
                rules,
                Arc::clone(&clock),
            );
            (directory, state)
        }
        Source::Database(settings) => {
            let (opened, state) = SqlStore::open(&settings, rules, Arc::clone(&clock))?;
            let directory = Arc::clone(opened.directory());
            store = Some(opened);
            (directory, state)
        }
    };
    if let Some(cache) = &task.cache {
        let redis = Redis::start(cache, task.store_timeout, clock, CountedBy::Redis)?;
        state.limiter = Box::new(redis.limiter(rules));
    }
    let traces = task.traces.as_ref().map(Traces::start).transpose()?;
    let traces = traces.map(Arc::new);
    let state = State {
        metrics: Arc::new(Metrics::new(task.metrics_tenants)),
        traces: traces.clone(),
        ..state
    };
    let state = if task.lists_tenants {
        state
    } else {
        state.unlisted()
    };
    let state = Arc::new(state.watched());
    let tenants = directory.len();

    let no_address = |source| Error::Bind {
        address: task.listen,
        source,
    };
    let listener = server::bind(task.listen).map_err(no_address)?;
    let address = listener.local_addr().map_err(no_address)?;
    let admin = match task.admin.zip(tokens) {
        Some((task, tokens)) => Some(bind_admin(task, tokens, &state)?),
        None => None,
    };
    let metrics = Arc::clone(&state.metrics);
    let server = Server::new(listener, settings, state, component).with_extras(extras);
    let phase = Arc::clone(&metrics);
    let announced = move || phase.enter(Phase::Draining);
    signals::stop(server.shutdown(), task.drain_delay, announced).map_err(Error::Serve)?;
    if let Some((file, seen)) = reloads {
        let shutdown = server.shutdown();
        reload::start(file, seen, task.watch, directory, metrics, shutdown)
            .map_err(Error::Serve)?;
    }
    let admin = admin.map(|admin| admin.start(server.shutdown()));
    let admin = admin.transpose().map_err(Error::Serve)?;
    announce(address).map_err(Error::Output)?;
    tracing::info!(%address, tenants, "listening");
    let served = server.run();
    if let Some(admin) = admin {
        admin.stop();
    }
    if let Some(store) = store {
        store.close();
    }
    if let Some(traces) = traces {
        traces.stop(LAST_TRACES);
    }
    served.map_err(Error::Serve)?;
    match log.dropped_lines() {
        0 => tracing::info!("stopped"),
        dropped => tracing::warn!(dropped, "stopped; log lines were dropped, unwritten"),
    }
    Ok(())
}

/// Where tenants come from, known to be usable as far as it can be before the log begins.
enum Source {
    File {
        file: TenantsFile,
        /// How the file looked before it was read: what changes from then on is seen.
        seen: Seen,
        parsed: Parsed,
    },
    Database(StoreSettings),
}

impl Source {
    fn open(task: &ServeTask) -> Result<Self, Error> {
        if let StateKind::Database(place) = &task.state {
            return Ok(Self::Database(StoreSettings {
                place: place.clone(),
                timeout: task.store_timeout,
            }));
        }
        let seen = tenants_file::look(&task.tenants);
        let (file, parsed) = TenantsFile::open(task.tenants.clone())?;
        Ok(Self::File { file, seen, parsed })
    }
}

/// The admin API, bound and not answering yet.
fn bind_admin(
    AdminTask { listen, names, .. }: AdminTask,
    tokens: Tokens,
    state: &Arc<State>,
) -> Result<Admin, Error> {
    let no_address = |source| Error::BindAdmin {
        address: listen,
        source,
    };
    let listener = server::bind(listen).map_err(no_address)?;
    let address = listener.local_addr().map_err(no_address)?;
    tracing::info!(target: "tenantry::admin", %address, "listening");
    let settings = admin::Settings::default();
    let admin = Admin::new(listener, settings, tokens, Arc::clone(state)).with_names(names);
    Ok(admin.with_open_routes(metrics::routes(Arc::clone(state))))
}

/// Memory that a sandbox needs for a body, as a multiple of it: the body, what it says, and
/// an answer of three times its size, while that grows.
const MEMORY_PER_BODY: usize = 16;

/// What an answer can be, as a multiple of the request's body: capital letters can be three
/// times as long.
const REPLY_PER_BODY: usize = 3;

/// Says so where there are bodies that may be sent, but for which there is no room: they
/// are answered with 500.
fn check_room(sandbox: &SandboxLimits, max_body: usize) {
    for (flag, set, needed) in [
        (
            "--sandbox-memory",
            sandbox.max_memory,
            max_body.saturating_mul(MEMORY_PER_BODY),
        ),
        (
            "--max-reply",
            sandbox.max_reply,
            max_body.saturating_mul(REPLY_PER_BODY),
        ),
    ] {
        if set < needed {
            tracing::warn!(
                flag,
                set,
                needed,
                "the largest bodies may be answered with 500; raise this, or lower --max-body"
            );
        }
    }
}

fn announce(address: std::net::SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}
