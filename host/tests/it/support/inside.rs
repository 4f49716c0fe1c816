//! Requests without sockets: straight to an engine.

use tenantry::{engine::Engine, sandbox::Fault};
use tenantry_conformance::{Exchange, Outcome, Reply, Runner, Wire};
use tenantry_core::contract::{Method, Payload, Request, wants_body};
use tokio::runtime::{Builder, Runtime};

/// An engine, and the one thread that it runs on: this one.
pub(crate) struct Inside {
    pub(crate) engine: Engine,
    runtime: Runtime,
}

impl Inside {
    pub(crate) fn new(engine: Engine) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self {
            engine,
            runtime: runtime.expect("a runtime"),
        }
    }

    /// Runs a future to its end on this engine's thread.
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The answer to a request, and what a sandbox did wrong.
    pub(crate) fn answer(&self, exchange: &Exchange) -> (Reply, Option<Fault>) {
        self.run(answer(&self.engine, exchange))
    }

    /// The answer to a request in which no sandbox does anything wrong.
    pub(crate) fn ask(&self, exchange: &Exchange) -> Reply {
        let (reply, fault) = self.answer(exchange);
        assert!(fault.is_none(), "{}: {fault:?}", exchange.target);
        reply
    }
}

/// The answer to a request as a server would send it, and what a sandbox did wrong.
pub(crate) async fn answer(engine: &Engine, exchange: &Exchange) -> (Reply, Option<Fault>) {
    let method = Method::from(&*exchange.method);
    let request = Request {
        method,
        target: &exchange.target,
        content_type: exchange.header("content-type"),
        body: if wants_body(method, &exchange.target) {
            exchange.body.as_deref().unwrap_or_default().into()
        } else {
            Payload::EMPTY
        },
    };
    let answered = engine.answer(&request).await;
    let response = answered.response;
    let mut headers: Vec<_> = response
        .headers()
        .map(|(name, value)| (name.to_owned(), value.into_owned()))
        .collect();
    let body = engine.body(response.body).await;
    let body = body.expect("the tenants are within reach");
    headers.push(("content-length".to_owned(), body.len().to_string()));
    let reply = Reply {
        status: response.status,
        headers,
        body: if response.head_only {
            Vec::new()
        } else {
            body.to_vec()
        },
        continued: false,
    };
    (reply, answered.fault)
}

impl Runner for Inside {
    fn send(&mut self, wire: &Wire) -> Outcome {
        match wire {
            Wire::Message(exchange) => match self.answer(exchange) {
                (reply, None) => Outcome::Reply(reply),
                (_, Some(fault)) => Outcome::Broken(fault.to_string()),
            },
            Wire::Framed(..) => Outcome::Skip("how a body is framed is up to the transport"),
            Wire::Raw(_) => Outcome::Skip("parsing HTTP is up to the transport"),
        }
    }
}
