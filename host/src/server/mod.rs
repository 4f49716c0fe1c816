//! The HTTP server: sockets, connections and requests; what is answered is the engine's.
//!
//! Each worker thread has a runtime of its own, which accepts from the shared listener and
//! keeps a connection until its end, so that requests on different threads share no lock
//! but the stores'. [`bind`], [`Server::run`] and [`Shutdown`] are separate: the caller
//! binds, and the caller decides when to stop.

mod accept;
mod activity;
mod aside;
mod assets;
mod body;
mod budget;
mod client;
mod connection;
mod cors;
mod demo;
mod files;
mod framing;
mod linger;
mod listener;
mod log;
mod reason;
mod refusal;
mod service;
mod shutdown;
mod start;
mod tally;
mod timed;
mod turns;

use std::{io, net::TcpListener, sync::Arc, thread, time::Duration};

use http::{request::Parts, uri::PathAndQuery};
use tenantry_core::contract::Method;
use tokio::sync::{Semaphore, mpsc};

pub(crate) use self::log::{RequestId, logged_text};
use self::{budget::Budget, start::Starter};
pub use self::{
    client::{TrustedProxy, TrustedProxyError},
    cors::{Cors, Origin, OriginError},
    demo::{Demo, DemoError},
    listener::bind,
    shutdown::Shutdown,
};
use crate::{
    engine::Engine,
    metrics::{Metrics, Phase, Route},
    sandbox::Component,
    state::{State, UsageFlush},
};

/// For the store to take what was used last, once nobody is served any more.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// How the server treats connections and requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Worker threads; each has another one beside it for requests with large bodies.
    pub threads: usize,
    /// Bytes of a request's body; above, 413.
    pub max_body: usize,
    /// Bytes that bodies, answers and buffers of all connections hold together; above, those
    /// connections end first that have stalled for longest. At least [`max_body`].
    ///
    /// [`max_body`]: Self::max_body
    pub max_buffered: usize,
    /// Bytes of a request's line and headers; above, 431.
    pub max_head: usize,
    /// Open connections; further ones wait to be accepted.
    pub max_connections: usize,
    /// For a request's line and headers, from their first byte.
    pub head_timeout: Duration,
    /// For a request's body.
    pub body_timeout: Duration,
    /// For an answer to be ready, from the end of the request.
    pub request_timeout: Duration,
    /// For a client to take any part of an answer.
    pub write_timeout: Duration,
    /// Between requests, and before the first one.
    pub idle_timeout: Duration,
    /// For open requests to end once the server stops.
    pub drain: Duration,
}

/// What a server has beyond the contract. By default it has nothing.
#[derive(Clone, Default)]
pub struct Extras {
    /// A web page under /demo/.
    pub demo: Option<Arc<Demo>>,
    /// Whose pages may read answers. Without it, only those from this server may.
    pub cors: Option<Arc<Cors>>,
    /// Proxies that are believed whom a request is from, and what it is called.
    pub trusted_proxies: Arc<[TrustedProxy]>,
}

impl Extras {
    /// The answer to a request that the contract does not know.
    fn answer(&self, method: Method, head: &Parts) -> Option<(service::Answer, Route)> {
        let preflight = || {
            let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
            let answer = self.cors.as_ref()?.preflight(head)?;
            Some((answer, Route::of(target)))
        };
        let file = || {
            let answer = self.demo.as_ref()?.answer(method, head)?;
            Some((answer, Route::Demo))
        };
        preflight().or_else(file)
    }
}

/// A bound server that does not run yet.
pub struct Server {
    listener: TcpListener,
    settings: Settings,
    extras: Extras,
    state: Arc<State>,
    component: Option<Arc<Component>>,
    shutdown: Shutdown,
}

/// What the threads of a server share.
struct Shared {
    settings: Settings,
    extras: Extras,
    /// One permit for each connection that may be open.
    connections: Arc<Semaphore>,
    budget: Arc<Budget>,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
}

impl Server {
    /// A server on a bound listener, with sandboxes of `component`, or, without one, with
    /// the native engine.
    #[must_use]
    pub fn new(
        listener: TcpListener,
        settings: Settings,
        state: Arc<State>,
        component: Option<Arc<Component>>,
    ) -> Self {
        Self {
            listener,
            settings,
            extras: Extras::default(),
            state,
            component,
            shutdown: Shutdown::new(),
        }
    }

    /// The server with these extras.
    #[must_use]
    pub fn with_extras(mut self, extras: Extras) -> Self {
        self.extras = extras;
        self
    }

    /// The server that is stopped by this, which may have been told to stop already.
    #[must_use]
    pub(crate) fn with_shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Stops the server, from wherever.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Serves until it is shut down and every connection has ended or was given up.
    ///
    /// # Errors
    /// A thread or its runtime could not be started; the server has stopped.
    pub fn run(self) -> io::Result<()> {
        let Self {
            listener,
            settings,
            extras,
            state,
            component,
            shutdown,
        } = self;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            settings,
            extras,
            connections: Arc::new(Semaphore::new(settings.max_connections)),
            budget: Budget::new(&settings, Arc::clone(&state.metrics)),
            shutdown: shutdown.clone(),
            metrics: Arc::clone(&state.metrics),
        });
        let max_connections = settings.max_connections as u64;
        state.metrics.max_connections.set(max_connections);
        thread::scope(|scope| {
            // Before anybody may take files.
            let maintenance = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let maintenance = maintenance.inspect_err(|_| shutdown.now())?;
            let mut starter = Starter::new();
            let mut workers = Vec::new();
            // Each thread has one until it ends.
            let (alive, mut ended) = mpsc::channel::<()>(1);
            for n in 0..settings.threads {
                let (aside, jobs) = aside::channel(Arc::clone(&state.metrics));
                let start = starter.thread();
                let worker = listener.try_clone().and_then(|listener| {
                    let (shared, state) = (Arc::clone(&shared), Arc::clone(&state));
                    let (component, alive) = (component.clone(), alive.clone());
                    thread::Builder::new()
                        .name(format!("tenantry-worker-{n}"))
                        .spawn_scoped(scope, move || {
                            let _alive = alive;
                            let engine = Engine::new(state, component);
                            accept::work(listener, shared, engine, aside, start)
                        })
                });
                workers.push(worker.inspect_err(|_| shutdown.now())?);
                let (engine_state, component) = (Arc::clone(&state), component.clone());
                let (alive, start) = (alive.clone(), starter.thread());
                let beside = thread::Builder::new()
                    .name(format!("tenantry-aside-{n}"))
                    .spawn_scoped(scope, move || {
                        let _alive = alive;
                        aside::work(jobs, Engine::aside(engine_state, component), start)
                    });
                workers.push(beside.inspect_err(|_| shutdown.now())?);
            }
            drop((listener, alive));
            if !starter.go() {
                // Which thread failed, and why, it says when it is joined.
                shutdown.now();
            }
            state.metrics.enter(Phase::Serving);
            let mut usage = UsageFlush::new(&state);
            maintenance.block_on(async {
                let draining = async {
                    shutdown.requested().await;
                    state.metrics.enter(Phase::Draining);
                };
                let all = async { tokio::join!(state.sessions.maintain(), usage.run(), draining) };
                tokio::select! {
                    _ = all => {}
                    // The stores are looked after until nobody is served any more.
                    _ = ended.recv() => {}
                }
            });
            let workers = workers.into_iter();
            let results: Vec<_> = workers.map(|worker| worker.join()).collect();
            maintenance.block_on(usage.finish(LAST_FLUSH));
            for result in results {
                match result {
                    Ok(served) => served?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(())
        })
    }
}
