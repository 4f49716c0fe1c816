//! Calls without sockets, for `cargo xtask bench`: `calls KIND COUNT` makes so many calls,
//! and prints how many nanoseconds each took. What runs it measures time and counts instructions.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for another program")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tenantry::{
    GUEST,
    engine::{Engine, EngineKind},
    opts::{self, ServeTask, Task},
    sandbox::{Component, Isolation},
    state::{MonotonicClock, State},
};
use tenantry_core::{
    contract::{Body, Call, Method, Payload, Request},
    limit::Window,
    registry::Registry,
    time::Timestamp,
};

const TENANTS: &str =
    r#"{"id":"acme","name":"Acme Corp","welcome":"Howdy from Acme!","model":"mock-1"}"#;

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [kind, count] = args.as_slice() else {
        bail!("usage: calls KIND COUNT");
    };
    let count: u64 = count.parse().context("COUNT")?;
    let start = Instant::now();
    let ready = match kind.as_str() {
        "native" => chats(EngineKind::Native, Isolation::Tenant, count)?,
        "tenant" => chats(EngineKind::Wasm, Isolation::Tenant, count)?,
        "request" => chats(EngineKind::Wasm, Isolation::Request, count)?,
        "read" => read(
            count,
            r#"{"tenant_id":"acme","session_id":"0cb5a3a8-58d1-4c0b-9a38-0d1c3b3a5c7e","message":"hello from acme"}"#,
        ),
        "bad JSON" => read(
            count,
            r#"{"tenant_id":"acme","session_id":"0cb5a3a8-58d1-4c0b-9a38-0d1c3b3a5c7e","message":hello}"#,
        ),
        "limit" => limit(count),
        _ => bail!("{kind} is no kind of call"),
    };
    // What was set up before does not count.
    let ns = (start.elapsed() - ready).as_secs_f64() * 1e9 / count as f64;
    println!("{ns}");
    Ok(())
}

/// Chats by an engine; returns how long it took to set that up.
fn chats(engine: EngineKind, isolation: Isolation, count: u64) -> Result<Duration> {
    let start = Instant::now();
    let Ok(Task::Serve(task)) = opts::parse(["tenantry", "serve"].map(Into::into), None) else {
        bail!("the defaults are no task");
    };
    let ServeTask {
        mut sandbox, rules, ..
    } = *task;
    sandbox.isolation = isolation;
    // One is used; room for many is more than callgrind can give.
    sandbox.max_per_thread = 4;
    let component = match engine {
        EngineKind::Wasm => {
            let component = Component::load(&GUEST, 1, sandbox);
            Some(Arc::new(component.map_err(|error| anyhow!("{error:#}"))?))
        }
        EngineKind::Native => None,
    };
    let parsed =
        Registry::parse(TENANTS.as_bytes()).map_err(|_| anyhow!("the tenants have problems"))?;
    let state = State::in_memory(parsed.registry, rules, Arc::new(MonotonicClock::new()));
    let engine = Engine::new(Arc::new(state), component);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let opened = engine
            .answer(&request("/session", r#"{"tenant_id":"acme"}"#))
            .await;
        let Body::Bytes(body) = opened.response.body else {
            bail!("no session");
        };
        let body: serde_json::Value = serde_json::from_slice(&body)?;
        let session = body["session_id"].as_str().context("no session")?;
        let body = format!(
            r#"{{"tenant_id":"acme","session_id":"{session}","message":"hello from acme"}}"#
        );
        let ready = start.elapsed();
        for _ in 0..count {
            let answered = engine.answer(black_box(&request("/chat", &body))).await;
            ensure!(answered.response.status == 200, "{:?}", answered.fault);
        }
        Ok(ready)
    })
}

fn request<'a>(target: &'a str, body: &'a str) -> Request<'a> {
    Request {
        method: Method::Post,
        target,
        content_type: Some(b"application/json"),
        body: Payload::from(body.as_bytes()),
    }
}

/// Reads a request as far as whose it is.
fn read(count: u64, body: &str) -> Duration {
    for _ in 0..count {
        black_box(Call::read(black_box(&request("/chat", body))).scope());
    }
    Duration::ZERO
}

/// Asks a limit of 64, mostly in vain.
fn limit(count: u64) -> Duration {
    let mut window = Window::default();
    for n in 0..count {
        black_box(window.admit(64, Timestamp::from_nanos(black_box(n * 1_000_000))));
    }
    Duration::ZERO
}
