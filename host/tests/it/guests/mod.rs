//! Guests that misbehave: real code, in real sandboxes. What each costs, and what it
//! cannot reach.

mod capability;
mod faults;
mod limits;
mod neighbours;
mod pool;

use std::{pin::pin, sync::Arc, task::Poll};

use tenantry::{engine::Engine, sandbox::Fault, state::State};
use tenantry_conformance::{Exchange, Reply};
use tenantry_misbehaving_component::MISBEHAVING;

use crate::support::{
    client::get,
    inside::Inside,
    server::{Setup, Way},
};

/// A server of guests that misbehave on order.
fn misbehaving() -> Setup {
    Setup {
        guest: &MISBEHAVING,
        ..Setup::new(Way::Tenant)
    }
}

/// An engine with this state.
fn inside(setup: &Setup, state: State) -> Inside {
    Inside::new(Engine::new(Arc::new(state), setup.component()))
}

/// A request in a tenant's scope, or, without one, in nobody's, that orders something.
fn order(tenant: Option<&str>, what: &str) -> Exchange {
    let order = format!("misbehave={what}");
    match tenant {
        Some(tenant) => {
            let body = serde_json::json!({
                "tenant_id": tenant,
                "session_id": "none",
                "message": order,
            });
            Exchange::post("/chat", body.to_string())
        }
        None => get(&format!("/?{order}")),
    }
}

/// How many requests the sandbox has answered that answers this one.
fn count(inside: &Inside, tenant: Option<&str>) -> u32 {
    let reply = inside.ask(&order(tenant, "count"));
    reply.text().parse().expect("a number")
}

fn open_session(tenant: &str) -> Exchange {
    Exchange::post(
        "/session",
        serde_json::json!({ "tenant_id": tenant }).to_string(),
    )
}

/// A session's id as the misbehaving guest reads it.
fn digits(session_id: &str) -> String {
    session_id.replace('-', "")
}

/// The one answer to everything that a guest does wrong.
#[track_caller]
fn assert_internal_error(reply: &Reply) {
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert_eq!(reply.text(), "Internal Server Error");
    let content_type = reply.header("content-type");
    assert_eq!(content_type, Some("text/plain; charset=utf-8"));
    assert_eq!(reply.header("content-length"), Some("21"));
    assert_eq!(reply.header("location"), None);
}

/// A request that must fail: what the sandbox did wrong.
#[track_caller]
fn fault(inside: &Inside, exchange: &Exchange) -> Fault {
    let (reply, fault) = inside.answer(exchange);
    assert_internal_error(&reply);
    fault.expect("a fault behind the internal error")
}

/// What a future comes to, and how often it let others run before.
async fn counting_pauses<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = pin!(future);
    let mut pauses = 0;
    let output = std::future::poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        pauses += u32::from(polled.is_pending());
        polled
    });
    let output = output.await;
    (output, pauses)
}

/// Runs a future until it waits for something, or ends.
async fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    let mut future = future;
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
