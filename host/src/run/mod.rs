//! Serving: everything that can be wrong with the configuration is found before the port is
//! bound.
//!
//! The admin listener is there earlier: while a database is waited for, it answers probes, and
//! refuses everything else.

mod error;
mod room;
mod source;

use std::{io, io::Write, net::TcpListener, sync::Arc, time::Duration};

use tenantry_component::Precompiled;

pub use self::error::Error;
use self::{room::check_room, source::Source};
use crate::{
    GUEST,
    admin::{self, Admin, Tokens},
    engine::EngineKind,
    limits, logging,
    metrics::{self, Metrics, Phase},
    opts::{AdminTask, ServeTask, StateKind},
    reload::{self, Sources, Tenants},
    sandbox::Component,
    server::{self, Cors, Demo, Extras, Server, Shutdown},
    signals::{self, Caught},
    state::{Clock, CountedBy, Redis, State, SystemClock, sql::OpenError},
    supervisor,
    traces::Traces,
};

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
        trusted_proxies: task.trusted_proxies.as_slice().into(),
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
    let (mut settings, rules) = (task.server, task.rules);
    // Before anything that takes time: a signal must not end a server that starts.
    let caught = Caught::new().map_err(Error::Serve)?;
    let files = read_files(&task);
    let (source, extras, tokens) = files.inspect_err(|_| warn_before_the_log(&task.warnings))?;
    let log = logging::start(task.log, task.log_filter.clone());
    source.warn(&task);
    for warning in &task.warnings {
        tracing::warn!("{warning}");
    }
    let component = match task.engine {
        EngineKind::Native => None,
        EngineKind::Wasm => {
            let component = Component::load(guest, settings.threads, task.sandbox);
            Some(Arc::new(component.map_err(Error::Sandbox)?))
        }
    };
    let users = limits::Users {
        threads: settings.threads,
        has_database: matches!(task.state, StateKind::Database(_)),
        admin_connections: match &task.admin {
            Some(_) => admin::Settings::default().max_connections,
            None => 0,
        },
    };
    settings.max_connections = limits::connections(settings.max_connections, users)?;
    if component.is_some() {
        limits::check_mappings(task.sandbox.total(settings.threads));
        check_room(&task.sandbox, settings.max_body);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let traces = task.traces.as_ref().map(Traces::start).transpose()?;
    let traces = traces.map(Arc::new);
    let metrics = Arc::new(Metrics::new(task.metrics_tenants));
    // The first signal ends the wait for a database at once, and drains a server.
    let (waiting, shutdown) = (Shutdown::new(), Shutdown::new());
    let announced = {
        let (metrics, waiting) = (Arc::clone(&metrics), waiting.clone());
        move || {
            metrics.enter(Phase::Draining);
            supervisor::stopping("stopping: open requests are answered");
            waiting.drain();
        }
    };
    signals::stop(shutdown.clone(), task.drain_delay, announced).map_err(Error::Serve)?;
    let admin = match task.admin.as_ref().zip(tokens.clone()) {
        Some((task, tokens)) => Some((bind_admin(task.listen)?, task, tokens)),
        None => None,
    };
    let start_admin = |state: &Arc<State>| match &admin {
        Some((listener, task, tokens)) => start_admin(listener, task, tokens, state, &shutdown)
            .map(Some)
            .map_err(Error::Serve),
        None => Ok(None),
    };
    let opening = source.opening();
    let early = match &opening {
        None => None,
        Some(opening) => {
            let probe = Arc::clone(opening) as _;
            let state = State::closed(probe, Arc::clone(&metrics), Arc::clone(&clock));
            start_admin(&Arc::new(state))?
        }
    };
    let opened = source.open(
        &task,
        rules,
        &clock,
        opening.as_deref(),
        waiting.requested(),
    );
    let opened = match opened {
        Err(Error::Store(OpenError::Stopped { place })) => {
            tracing::info!(%place, "stopped before the database was there");
            return Ok(());
        }
        opened => opened?,
    };
    let (directory, mut state) = (opened.directory, opened.state);
    if let Some(cache) = &task.cache {
        let redis = Redis::start(cache, task.store_timeout, clock, CountedBy::Redis)?;
        state.limiter = Box::new(redis.limiter(rules));
    }
    let state = State {
        metrics: Arc::clone(&metrics),
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
    let server = Server::new(listener, settings, Arc::clone(&state), component)
        .with_extras(extras)
        .with_shutdown(shutdown.clone());
    let sources = Sources {
        tenants: opened.file.map(|(file, read)| Tenants {
            file,
            read,
            is_watched: task.watch,
            directory,
        }),
        tokens,
    };
    reload::start(caught, sources, metrics, shutdown.clone()).map_err(Error::Serve)?;
    if let Some(early) = early {
        // Both have the same socket: a client that connects meanwhile waits a moment.
        early.stop();
    }
    let admin = start_admin(&state)?;
    announce(address).map_err(Error::Output)?;
    tracing::info!(
        %address,
        tenants,
        max_connections = settings.max_connections,
        max_buffered = settings.max_buffered,
        "listening"
    );
    supervisor::ready(&format!("serving {tenants} tenants on {address}"));
    let served = server.run();
    if let Some(admin) = admin {
        admin.stop();
    }
    if let Some(store) = opened.store {
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

/// What the files that the task names say, before the log begins.
fn read_files(task: &ServeTask) -> Result<(Source, Extras, Option<Tokens>), Error> {
    let source = Source::find(task)?;
    let extras = extras(task)?;
    let tokens = task
        .admin
        .as_ref()
        .map(|admin| Tokens::read(&admin.token_file));
    Ok((source, extras, tokens.transpose()?))
}

/// Says what may be the reason for the error that follows.
#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn warn_before_the_log(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

/// The socket of the admin API.
fn bind_admin(address: std::net::SocketAddr) -> Result<TcpListener, Error> {
    let no_address = |source| Error::BindAdmin { address, source };
    let listener = server::bind(address).map_err(no_address)?;
    let address = listener.local_addr().map_err(no_address)?;
    tracing::info!(target: "tenantry::admin", %address, "listening");
    Ok(listener)
}

/// Answers on the socket of the admin API, which stays open for the next listener.
fn start_admin(
    listener: &TcpListener,
    task: &AdminTask,
    tokens: &Tokens,
    state: &Arc<State>,
    shutdown: &Shutdown,
) -> io::Result<admin::Running> {
    let settings = admin::Settings::default();
    let (listener, tokens) = (listener.try_clone()?, tokens.clone());
    let admin = Admin::new(listener, settings, tokens, Arc::clone(state));
    let admin = admin.with_names(task.names.clone());
    let admin = admin.with_open_routes(metrics::routes(Arc::clone(state)));
    admin.start(shutdown.clone())
}

fn announce(address: std::net::SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}
