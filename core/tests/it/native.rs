//! The core run natively: every request is a call of `Memory::handle`.

use std::time::Duration;

use tenantry_conformance::{Exchange, Outcome, Reply, Runner, TENANTS, Wire};
use tenantry_core::{
    contract::{Body, Method, Payload, Request, Response, wants_body},
    memory::{Memory, Settings},
    registry::Registry,
    session::Lifetime,
    time::Timestamp,
};

/// A service in memory, with a clock that is set by hand and countable "random" bytes.
pub(crate) struct Native {
    pub(crate) memory: Memory,
    pub(crate) now: Duration,
    next_id: u128,
}

impl Native {
    pub(crate) fn new(tenants: &str, settings: Settings) -> Self {
        let parsed = Registry::parse(tenants.as_bytes()).expect("tenants without problems");
        Self {
            memory: Memory::new(parsed.registry, settings),
            now: Duration::ZERO,
            next_id: 1,
        }
    }

    /// As the contract was recorded: no limits.
    pub(crate) fn unlimited() -> Self {
        Self::new(
            TENANTS,
            Settings {
                limits: false,
                ..Settings::default()
            },
        )
    }

    /// With limits, this session lifetime and this many sessions a tenant.
    pub(crate) fn limited(ttl: Duration, max_sessions: u32) -> Self {
        Self::new(
            TENANTS,
            Settings {
                limits: true,
                lifetime: Lifetime::new(ttl),
                max_sessions,
            },
        )
    }

    pub(crate) fn handle(&mut self, request: &Request<'_>) -> Response {
        let Self {
            memory,
            now,
            next_id,
        } = self;
        let now = Timestamp::from_nanos(u64::try_from(now.as_nanos()).expect("a short test"));
        memory.handle(request, now, || {
            *next_id += 1;
            next_id
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                .to_be_bytes()
        })
    }

    pub(crate) fn exchange(&mut self, exchange: &Exchange) -> Reply {
        let body = exchange.body.as_deref().unwrap_or_default();
        let method = Method::from(&*exchange.method);
        let wants_body = wants_body(method, &exchange.target);
        let request = Request {
            method,
            target: &exchange.target,
            content_type: exchange.header("content-type"),
            body: if wants_body {
                body.into()
            } else {
                Payload::EMPTY
            },
        };
        reply(self.handle(&request))
    }

    /// POSTs `json`.
    pub(crate) fn post(&mut self, target: &str, json: &str) -> Reply {
        self.exchange(&Exchange::post(target, json))
    }

    /// Opens a session and returns its id.
    pub(crate) fn open(&mut self, tenant: &str) -> String {
        let reply = self.post("/session", &format!(r#"{{"tenant_id":"{tenant}"}}"#));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        body["session_id"]
            .as_str()
            .expect("a session id")
            .to_owned()
    }

    pub(crate) fn chat(&mut self, tenant: &str, session: &str) -> Reply {
        let body = serde_json::json!({
            "tenant_id": tenant, "session_id": session, "message": "hi",
        });
        self.post("/chat", &body.to_string())
    }
}

/// What a server would send.
pub(crate) fn reply(response: Response) -> Reply {
    let mut headers: Vec<_> = response
        .headers()
        .map(|(name, value)| (name.to_owned(), value.into_owned()))
        .collect();
    let Body::Bytes(mut body) = response.body else {
        panic!("the tenant list was not put in");
    };
    headers.push(("content-length".to_owned(), body.len().to_string()));
    if response.head_only {
        body = Vec::new().into();
    }
    Reply {
        status: response.status,
        headers,
        body: body.into_owned(),
        continued: false,
    }
}

impl Runner for Native {
    fn send(&mut self, wire: &Wire) -> Outcome {
        match wire {
            // The core has no framing; the same body must give the same answer.
            Wire::Message(exchange) => Outcome::Reply(self.exchange(exchange)),
            Wire::Framed(..) => Outcome::Skip("how a body is framed is up to the transport"),
            Wire::Raw(_) => Outcome::Skip("parsing HTTP is up to the transport"),
        }
    }
}
