//! A server with tenants that can be changed, and its admin API.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use serde_json::Value;
use tenantry::{
    admin::{Admin, Running, Settings, Tokens},
    server,
    state::{State, UsageStore},
};
use tenantry_conformance::{Exchange, Reply};

use super::{
    changing::{AuditedSessions, ChangingTenants},
    client::{ask, with_header},
    server::{Served, Setup, Way},
};

/// The token of every server here.
pub(crate) const TOKEN: &str = "a-token-for-tests-only";

/// A file in the tests' folder that only its owner may read.
pub(crate) fn private_file(name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a file can be written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("a file of one's own");
    }
    path
}

/// A file with the token.
pub(crate) fn token_file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let name = format!("admin-token-{}", std::process::id());
    FILE.get_or_init(|| private_file(&name, format!("{TOKEN}\n")))
}

/// A server, its admin API, and what they share. Stopped at the end of the test.
pub(crate) struct Administered {
    /// Where the service is.
    pub(crate) service: SocketAddr,
    /// Where the admin API is.
    pub(crate) admin: SocketAddr,
    pub(crate) store: Arc<ChangingTenants>,
    pub(crate) state: Arc<State>,
    pub(crate) server: Served,
    pub(crate) running: Option<Running>,
}

impl Administered {
    pub(crate) fn start() -> Self {
        Self::with(Way::Native, Settings::default(), |_| {})
    }

    /// With this engine, these settings, and a state that is changed first.
    pub(crate) fn with(way: Way, settings: Settings, change: impl FnOnce(&mut State)) -> Self {
        let setup = Setup::limited(way);
        let (store, directory) = ChangingTenants::new(&setup.tenants);
        let clock = Arc::clone(&setup.clock);
        let file = setup.task.tenants.clone();
        let mut state = State::in_memory(directory, file, setup.task.rules, clock);
        state.records = Arc::clone(&store) as _;
        state.session_records = Arc::new(AuditedSessions {
            sessions: state.session_records,
            tenants: Arc::clone(&store),
        });
        change(&mut state);
        let state = Arc::new(state);
        let listener = server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let admin = listener.local_addr().expect("an address");
        let tokens = Tokens::read(token_file()).expect("a token");
        let api = Admin::new(listener, settings, tokens, Arc::clone(&state));
        let server = setup.start_sharing(Arc::clone(&state));
        let running = api.start(server.shutdown.clone()).expect("a thread");
        Self {
            service: server.address,
            admin,
            store,
            state,
            server,
            running: Some(running),
        }
    }

    /// Asks the admin API, with the token.
    pub(crate) fn ask(&self, exchange: &Exchange) -> Reply {
        ask(self.admin, &authorized(exchange.clone()))
    }

    /// The JSON of an answer with this status.
    pub(crate) fn json(&self, exchange: &Exchange, status: u16) -> Value {
        let reply = self.ask(exchange);
        assert_eq!(reply.status, status, "{exchange:?}: {}", reply.text());
        let body = serde_json::from_slice(&reply.body);
        body.unwrap_or_else(|_| panic!("no JSON: {}", reply.text()))
    }

    /// The store of usage.
    pub(crate) fn usage(&self) -> &dyn UsageStore {
        &*self.state.usage
    }
}

impl Drop for Administered {
    fn drop(&mut self) {
        self.server.shutdown.now();
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

/// A request with the token.
pub(crate) fn authorized(exchange: Exchange) -> Exchange {
    with_header(exchange, "authorization", &format!("Bearer {TOKEN}"))
}

/// A request without a body.
pub(crate) fn request(method: &str, target: &str) -> Exchange {
    Exchange {
        method: method.to_owned(),
        target: target.to_owned(),
        ..Exchange::default()
    }
}

/// A PUT of a row.
pub(crate) fn put(id: &str, row: &str) -> Exchange {
    let exchange = request("PUT", &format!("/tenants/{id}"));
    with_body(exchange, "application/json", row)
}

/// A PATCH of a row.
pub(crate) fn patch(id: &str, patch: &str) -> Exchange {
    let exchange = request("PATCH", &format!("/tenants/{id}"));
    with_body(exchange, "application/merge-patch+json", patch)
}

/// A request with a body.
pub(crate) fn with_body(exchange: Exchange, content_type: &str, body: &str) -> Exchange {
    Exchange {
        body: Some(body.as_bytes().to_vec()),
        ..with_header(exchange, "content-type", content_type)
    }
}

/// The members of a problem that say what it is.
pub(crate) fn problem(reply: &Reply) -> (u16, String) {
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json"),
        "{}",
        reply.text()
    );
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(body["status"], reply.status);
    let id = reply.header("x-request-id");
    assert_eq!(body["request_id"].as_str(), id);
    assert!(id.is_some());
    for member in ["title", "detail"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()));
    }
    let kind = body["type"].as_str().expect("a type");
    let kind = kind.strip_prefix("urn:tenantry:problem:");
    (reply.status, kind.expect("a type of ours").to_owned())
}
