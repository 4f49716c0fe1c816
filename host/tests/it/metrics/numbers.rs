//! Each number is what was really done.

use std::{sync::Arc, thread, time::Duration};

use tenantry::{
    metrics::{Exporter, Metrics},
    sandbox::Isolation,
    state::{State, UsageFlush},
};
use tenantry_conformance::Exchange;
use tenantry_core::{registry::Registry, tenancy::Unavailable};
use tenantry_misbehaving_component::MISBEHAVING;

use super::{Scrape, Watched};
use crate::support::{
    client::{Connection, ask, chat, get, open_session},
    inside::Inside,
    later::{Gate, sessions_later},
    server::{Setup, Way},
};

const TENANTS: &str = r#"{"id":"acme","name":"A","welcome":"w","limits":{"chat_per_10s":3,"sessions":2}}
{"id":"globex","name":"G","welcome":"w"}
"#;

fn scrape(state: &Arc<State>) -> Scrape {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let exporter = Exporter::new(Arc::clone(state));
    let text = runtime.expect("a runtime").block_on(exporter.render());
    Scrape(text.expect("text"))
}

#[track_caller]
fn wait_until(watched: &Watched, mut is_so: impl FnMut(&Scrape) -> bool) -> Scrape {
    for _ in 0..2000 {
        let scrape = watched.scrape();
        if is_so(&scrape) {
            return scrape;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came to be: {}", watched.scrape().0);
}

#[test]
fn requests_are_counted_by_route_method_and_status() {
    for way in Way::ALL {
        let mut setup = Setup::limited(way);
        setup.tenants = TENANTS.to_owned();
        let watched = Watched::new(setup.start());
        let address = watched.served.address;
        let session = open_session(address, "acme");
        for _ in 0..5 {
            ask(address, &chat("acme", &session, "hi"));
        }
        open_session(address, "acme");
        ask(
            address,
            &Exchange::post("/session", r#"{"tenant_id":"acme"}"#),
        );
        let options = Exchange {
            method: "OPTIONS".to_owned(),
            ..get("/chat")
        };
        let brew = Exchange {
            method: "BREW".to_owned(),
            ..get("/%63hat?x=1")
        };
        let head = Exchange {
            method: "HEAD".to_owned(),
            ..get("/")
        };
        for exchange in [
            options,
            brew,
            head,
            get("/nowhere"),
            get("/docs/"),
            get("/docs"),
        ] {
            ask(address, &exchange);
        }
        let scrape = watched.scrape();
        for (route, method, status, count) in [
            ("/session", "POST", 200, 2.0),
            ("/session", "POST", 429, 1.0),
            ("/chat", "POST", 200, 3.0),
            ("/chat", "POST", 429, 2.0),
            ("/chat", "OPTIONS", 405, 1.0),
            ("/chat", "other", 405, 1.0),
            ("/", "HEAD", 200, 1.0),
            ("other", "GET", 404, 1.0),
            ("other", "GET", 307, 1.0),
            ("/docs", "GET", 200, 1.0),
        ] {
            let labels = format!(r#"{{route="{route}",method="{method}",status="{status}"}}"#);
            assert_eq!(scrape.value(&format!("http_requests_total{labels}")), count);
        }
        assert_eq!(scrape.sum("http_requests_total"), 14.0);
        assert_eq!(scrape.sum("http_request_duration_seconds_count"), 14.0);
        let last = r#"http_request_duration_seconds_bucket{route="/chat",le="+Inf"}"#;
        assert_eq!(scrape.value(last), 7.0);
        assert!(scrape.sum("http_request_duration_seconds_sum") > 0.0);
        assert_eq!(scrape.value("chats_total"), 3.0);
        assert_eq!(scrape.value("sessions_opened_total"), 2.0);
        assert_eq!(scrape.value(r#"limit_refusals_total{limit="chats"}"#), 2.0);
        assert_eq!(
            scrape.value(r#"limit_refusals_total{limit="sessions"}"#),
            1.0
        );
        assert_eq!(scrape.value("sessions_held"), 2.0);
        // The same for the tenant, a moment later.
        let requests = r#"tenant_requests_total{tenant="acme"}"#;
        let scrape = wait_until(&watched, |scrape| scrape.find(requests) == Some(8.0));
        for (name, count) in [
            ("errors", 0.0),
            ("chats", 3.0),
            ("limit_refusals", 3.0),
            ("sessions_opened", 2.0),
        ] {
            let series = format!(r#"tenant_{name}_total{{tenant="acme"}}"#);
            assert_eq!(scrape.value(&series), count, "{name}");
        }
        for name in [
            "received_bytes",
            "sent_bytes",
            "busy_seconds",
            "request_duration_seconds",
        ] {
            let series = format!(r#"tenant_{name}_total{{tenant="acme"}}"#);
            assert!(scrape.value(&series) > 0.0, "{name}");
        }
        assert_eq!(
            scrape.value(r#"tenant_requests_total{tenant="other"}"#),
            0.0
        );
    }
}

#[test]
fn connections_are_counted_while_they_are_open() {
    let mut setup = Setup::new(Way::Native);
    setup.task.server.max_connections = 77;
    let watched = Watched::new(setup.start());
    let mut connections: Vec<_> = (0..5)
        .map(|_| Connection::open(watched.served.address))
        .collect();
    for connection in &mut connections {
        assert_eq!(
            connection.exchange(&get("/")).expect("an answer").status,
            200
        );
    }
    let scrape = watched.scrape();
    assert_eq!(scrape.value("connections_open"), 5.0);
    assert_eq!(scrape.value("connections_max"), 77.0);
    drop(connections);
    wait_until(&watched, |scrape| scrape.value("connections_open") == 0.0);
}

#[test]
fn a_large_request_waits_until_it_is_begun() {
    let setup = Setup::new(Way::Native);
    let gate = Gate::shut();
    let state = sessions_later(setup.state(), &gate.pause());
    let watched = Watched::new(setup.start_with(state));
    let id = "0cb5a3a8-58d1-4c0b-9a38-0d1c3b3a5c7e";
    let mut connection = Connection::open(watched.served.address);
    connection.send_exchange(&chat("acme", id, &"x".repeat(100 << 10)));
    // Begun, it waits for its session, and for nobody's thread.
    wait_until(&watched, |_| gate.arrived() == 1);
    assert_eq!(watched.scrape().value("large_requests_waiting"), 0.0);
    gate.open();
    assert_eq!(connection.reply().expect("an answer").status, 404);
}

#[test]
fn tenants_are_counted_by_stage_also_when_they_change() {
    let directory = Arc::new(tenantry::state::Directory::of(registry(3)));
    let setup = Setup::new(Way::Native);
    let state = State {
        tenants: Box::new(Arc::clone(&directory)),
        ..setup.state()
    };
    let state = Arc::new(state);
    let stages = || {
        let scrape = scrape(&state);
        ["active", "suspended", "archived"]
            .map(|stage| scrape.value(&format!(r#"tenants{{stage="{stage}"}}"#)))
    };
    assert_eq!(stages(), [3.0, 0.0, 0.0]);
    let row = registry(1).into_rows().remove(0);
    directory.put(100, row.clone(), tenantry::state::Stage::Suspended);
    assert_eq!(stages(), [3.0, 1.0, 0.0]);
    directory.put(100, row, tenantry::state::Stage::Archived);
    assert_eq!(stages(), [3.0, 0.0, 1.0]);
    directory.replace(registry(2));
    assert_eq!(stages()[0], 2.0);
}

fn registry(tenants: usize) -> Registry {
    let line = |n| format!("{{\"id\":\"t{n}\",\"name\":\"n\",\"welcome\":\"w\"}}\n");
    let text: String = (0..tenants).map(line).collect();
    let parsed = Registry::parse(text.as_bytes());
    parsed.expect("tenants without problems").registry
}

/// A server's thread without a server.
fn misbehaving(change: impl FnOnce(&mut Setup)) -> (Inside, Arc<State>) {
    let mut setup = Setup::new(Way::Tenant);
    setup.guest = &MISBEHAVING;
    change(&mut setup);
    let engine = setup.engine();
    let state = Arc::clone(engine.state());
    (Inside::new(engine), state)
}

#[test]
fn sandboxes_are_counted_from_their_making_to_their_end() {
    let (inside, state) = misbehaving(|setup| {
        setup.task.sandbox.max_per_thread = 2;
        setup.task.sandbox.deadline = Duration::from_millis(50);
        setup.task.sandbox.max_memory = 4 << 20;
        setup.task.sandbox.max_reply = 64 << 10;
    });
    let live_and_idle = || {
        let scrape = scrape(&state);
        (
            scrape.value("sandboxes_live"),
            scrape.value("sandboxes_idle"),
        )
    };
    assert_eq!(live_and_idle(), (0.0, 0.0));
    let say = |tenant: &str, what: &str| {
        let (reply, _) = inside.answer(&chat(tenant, "none", what));
        reply.status
    };
    assert_eq!(say("acme", "misbehave=count"), 200);
    assert_eq!(say("acme", "misbehave=count"), 200);
    assert_eq!(live_and_idle(), (1.0, 1.0));
    assert_eq!(say("globex", "misbehave=count"), 200);
    // There is no room for a third.
    assert_eq!(say("initech", "misbehave=count"), 200);
    assert_eq!(live_and_idle(), (2.0, 2.0));
    for (order, reason) in [
        ("panic", "trap"),
        ("allocate", "memory"),
        ("recurse:10000000", "stack"),
        ("loop", "deadline"),
        ("status:600", "answer"),
        ("reply:65537", "reply"),
    ] {
        let before = scrape(&state).sum("sandbox_faults_total");
        assert_eq!(say("globex", &format!("misbehave={order}")), 500, "{order}");
        let now = scrape(&state);
        assert_eq!(now.sum("sandbox_faults_total"), before + 1.0);
        let series = format!(r#"sandbox_faults_total{{reason="{reason}"}}"#);
        assert_eq!(now.value(&series), 1.0, "{order}: {}", now.0);
    }
    let scrape = scrape(&state);
    let created = scrape.value("sandboxes_created_total");
    let ended = scrape.value("sandboxes_evicted_total")
        + scrape.sum("sandboxes_retired_total")
        + scrape.sum("sandbox_faults_total");
    assert_eq!(created - ended, scrape.value("sandboxes_live"));
    assert!(scrape.value("sandboxes_evicted_total") >= 1.0);
}

#[test]
fn a_sandbox_that_is_not_kept_is_retired_and_that_says_why() {
    let retired = |state: &Arc<State>, reason: &str| {
        let series = format!(r#"sandboxes_retired_total{{reason="{reason}"}}"#);
        scrape(state).value(&series)
    };
    let once = |setup: &mut Setup| setup.task.sandbox.isolation = Isolation::Request;
    let (inside, state) = misbehaving(once);
    inside.ask(&get("/docs"));
    assert_eq!(retired(&state, "used"), 1.0);
    assert_eq!(scrape(&state).value("sandboxes_live"), 0.0);

    let setup = Setup::new(Way::Tenant);
    let gate = Gate::shut();
    let state = Arc::new(sessions_later(setup.state(), &gate.pause()));
    let engine = tenantry::engine::Engine::new(Arc::clone(&state), setup.component());
    let inside = Inside::new(engine);
    let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
    inside.run(async {
        let answer = crate::support::inside::answer(&inside.engine, &open);
        let given_up = tokio::time::timeout(Duration::from_millis(50), answer).await;
        assert!(given_up.is_err());
    });
    assert_eq!(retired(&state, "abandoned"), 1.0);
    assert_eq!(scrape(&state).value("sandboxes_live"), 0.0);
}

#[test]
fn so_many_tenants_as_are_asked_for_are_named() {
    let setup = Setup::new(Way::Native);
    let state = State {
        metrics: Arc::new(Metrics::new(1)),
        ..setup.state()
    };
    let watched = Watched::new(setup.start_with(state));
    for tenant in ["acme", "globex", "initech"] {
        open_session(watched.served.address, tenant);
    }
    let scrape = wait_until(&watched, |scrape| {
        scrape.sum("tenant_sessions_opened_total") == 3.0
    });
    let named = scrape.0.lines();
    let named = named.filter(|line| line.starts_with("tenantry_tenant_requests_total{"));
    assert_eq!(named.count(), 2);
    assert_eq!(
        scrape.value(r#"tenant_requests_total{tenant="other"}"#),
        2.0
    );
}

#[test]
fn what_is_counted_for_the_meters_is_told_once_it_is_collected() {
    let setup = Setup::new(Way::Native);
    let state = Arc::new(setup.state());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let tenant = state.tenants.find("acme").wait().await;
        let tenant = tenant.map_err(|Unavailable| ()).expect("in reach");
        let usage = tenantry::state::Usage {
            chats: 7,
            ..Default::default()
        };
        state.meters.add(&tenant.expect("a tenant"), usage);
        UsageFlush::new(&state).finish(Duration::from_secs(5)).await;
    });
    let series = r#"tenant_chats_total{tenant="acme"}"#;
    assert_eq!(scrape(&state).value(series), 7.0);
}

#[test]
fn a_configuration_that_was_read_anew_is_counted() {
    let state = Arc::new(Setup::new(Way::Native).state());
    state.metrics.has_reloaded(true);
    state.metrics.has_reloaded(true);
    state.metrics.has_reloaded(false);
    let scrape = scrape(&state);
    let reloads =
        |outcome: &str| scrape.value(&format!(r#"config_reloads_total{{outcome="{outcome}"}}"#));
    assert_eq!((reloads("taken"), reloads("refused")), (2.0, 1.0));
}
