//! Serving: everything that can be wrong with the configuration is found before the port is
//! bound.

mod error;
mod room;
mod source;

use std::{io, io::Write, sync::Arc, time::Duration};

use tenantry_component::Precompiled;

pub use self::error::Error;
use self::{room::check_room, source::Source};
use crate::{
    GUEST,
    admin::{self, Admin, Tokens},
    engine::EngineKind,
    limits, logging,
    metrics::{self, Metrics, Phase},
    opts::{AdminTask, ServeTask},
    reload,
    sandbox::Component,
    server::{self, Cors, Demo, Extras, Server},
    signals,
    state::{Clock, CountedBy, Redis, State, SystemClock},
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
    let (settings, rules) = (task.server, task.rules);
    let source = Source::find(&task)?;
    let extras = extras(&task)?;
    let tokens = task
        .admin
        .as_ref()
        .map(|admin| Tokens::read(&admin.token_file));
    let tokens = tokens.transpose()?;
    let log = logging::start(task.log, task.log_filter.clone());
    source.warn(&task);
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
    let opened = source.open(&task, rules, &clock)?;
    let (directory, mut state) = (opened.directory, opened.state);
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
    if let Some((file, seen)) = opened.file {
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

fn announce(address: std::net::SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}
