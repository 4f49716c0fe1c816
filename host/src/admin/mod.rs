//! The admin listener: tenants, sessions, usage and the audit, for whoever runs the service.
//!
//! It has an address, a thread and a runtime of its own, so that nothing that is asked here
//! is in the way of the service's requests. Every route needs an admin token, but for those
//! of [`Admin::with_open_routes`]. Errors are problem details (RFC 9457).

mod audit;
mod auth;
mod body;
mod clients;
mod condition;
mod host;
mod listener;
mod log;
mod openapi;
mod problem;
mod query;
mod question;
mod row;
mod sessions;
mod stream;
mod tenants;
mod text;
mod usage;

use std::{net::TcpListener, sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{MethodRouter, delete, get, post},
};

pub use self::{
    auth::{TokenError, Tokens},
    host::HostName,
    listener::Running,
};
use self::{clients::Clients, problem::Problem};
use crate::state::State;

/// Bytes of a request's line and headers, at most.
const MAX_HEAD: usize = 64 << 10;

/// How the admin listener treats connections and requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Open connections. For a further one, another one is closed that has no request with a
    /// token under way. Default is 128.
    pub max_connections: usize,
    /// Requests with a token at a time; further ones are answered with 503. Fewer than
    /// connections, so that there is room for probes. Default is 96.
    pub max_requests: usize,
    /// For a request's line and headers, and between requests. Default is 30 s.
    pub head_timeout: Duration,
    /// For a request's body. Default is 20 s.
    pub body_timeout: Duration,
    /// For an answer to be ready, from the end of a request's headers. Default is 30 s.
    pub request_timeout: Duration,
    /// For a client to take any part of an answer. Default is 30 s.
    pub write_timeout: Duration,
    /// For open requests to end once the listener stops. Default is 5 s.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: 128,
            max_requests: 96,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// A bound admin listener that does not answer yet.
pub struct Admin {
    listener: TcpListener,
    settings: Settings,
    tokens: Tokens,
    state: Arc<State>,
    open: Router,
    names: Vec<HostName>,
}

impl Admin {
    /// An admin API for this state, on a bound listener, for whoever has one of the tokens.
    #[must_use]
    pub fn new(
        listener: TcpListener,
        settings: Settings,
        tokens: Tokens,
        state: Arc<State>,
    ) -> Self {
        Self {
            listener,
            settings,
            tokens,
            state,
            open: Router::new(),
            names: Vec::new(),
        }
    }

    /// Answers to these names, too. Without them, requests must name an IP address or
    /// localhost as their host.
    #[must_use]
    pub fn with_names(mut self, names: Vec<HostName>) -> Self {
        self.names = names;
        self
    }

    /// Adds routes that need no token. They are answered, timed and logged as the others.
    #[must_use]
    pub fn with_open_routes(mut self, routes: Router) -> Self {
        self.open = self.open.merge(routes);
        self
    }

    /// Everything that is answered.
    fn app(
        settings: Settings,
        tokens: Tokens,
        state: Arc<State>,
        open: Router,
        names: Vec<HostName>,
        clients: Arc<Clients>,
    ) -> Router {
        let mut guarded = Router::new();
        for (path, methods) in routes() {
            guarded = guarded.route(path, methods);
        }
        // What is not there is for those who may know it, too.
        let guarded = guarded
            .fallback(async || Problem::no_such_path())
            .layer(from_fn_with_state((Arc::new(tokens), clients), auth::check))
            .with_state(state);
        let names: Arc<[HostName]> = names.into();
        open.merge(guarded)
            .layer(from_fn_with_state(names, host::check))
            .layer(from_fn_with_state(settings, log::answer))
    }
}

/// The paths of this API that need a token, as `openapi.json` writes them.
pub fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _)| path)
}

fn routes() -> [(&'static str, MethodRouter<Arc<State>>); 11] {
    [
        ("/tenants", get(tenants::list)),
        (
            "/tenants/{id}",
            get(tenants::get)
                .put(tenants::put)
                .patch(tenants::patch)
                .delete(tenants::purge),
        ),
        ("/tenants/{id}/suspend", post(tenants::suspend)),
        ("/tenants/{id}/resume", post(tenants::resume)),
        ("/tenants/{id}/archive", post(tenants::archive)),
        (
            "/tenants/{id}/sessions",
            get(sessions::list).delete(sessions::revoke_all),
        ),
        ("/tenants/{id}/sessions/{session}", delete(sessions::revoke)),
        ("/tenants/{id}/usage", get(usage::of_tenant)),
        ("/usage", get(usage::of_all)),
        ("/audit", get(audit::list)),
        ("/openapi.json", get(openapi::get)),
    ]
}
