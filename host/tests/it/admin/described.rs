//! /openapi.json against real answers: what is answered is described, and what is described
//! is answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tenantry::{
    admin::{self, Settings},
    state::{Pending, State, StoreError, UsageBatch, UsageQuery, UsageRow, UsageStore},
};
use tenantry_conformance::{Exchange, Reply};

use crate::support::{
    admin::{Administered, authorized, request, with_body},
    client::{Connection, ask, ask_raw, get, message, open_session, with_header},
    openapi::{Api, METHODS},
    program::workspace,
    server::Way,
};

/// The path of an operation, with values in it.
fn target(path: &str, id: &str, session: &str) -> String {
    path.replace("{id}", id).replace("{session}", session)
}

const NO_SESSION: &str = "b1946ac9-2492-4d23-8c6b-6f3d1d9f7a10";

/// A request of an operation for this tenant, with a body where there must be one.
fn good(method: &str, path: &str, id: &str) -> Exchange {
    let exchange = request(&method.to_uppercase(), &target(path, id, NO_SESSION));
    match method {
        "put" => with_body(
            exchange,
            "application/json",
            r#"{"name":"n","welcome":"w"}"#,
        ),
        "patch" => with_body(exchange, "application/merge-patch+json", r#"{"name":"n"}"#),
        _ => exchange,
    }
}

/// Usage that is out of reach.
struct Away;

impl UsageStore for Away {
    fn add(&self, _: UsageBatch) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async { Err(StoreError::Unavailable("away".to_owned())) })
    }

    fn query(&self, _: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        Box::pin(async { Err(StoreError::Unavailable("away".to_owned())) })
    }
}

fn start(change: impl FnOnce(&mut State)) -> Administered {
    let settings = Settings {
        body_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    Administered::with(Way::Native, settings, change)
}

/// Every operation with everything that can be wrong with a request for it.
fn check_refusals(api: &mut Api) {
    let server = start(|_| {});
    let of_a_file = start(|state| {
        let setup = crate::support::server::Setup::new(Way::Native);
        state.records = setup.state().records;
    });
    let away = start(|state| state.usage = Arc::new(Away));
    away.store.is_away.store(true, Ordering::SeqCst);
    let no_requests = Settings {
        max_requests: 0,
        ..Settings::default()
    };
    let busy = Administered::with(Way::Native, no_requests, |_| {});
    for (method, path) in api.operations() {
        let (method, path) = (&*method, &*path);
        let acme = || good(method, path, "acme");
        let content_type = match method {
            "patch" => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut check = |status: u16, reply: Reply| {
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
            api.check(method, path, &reply);
        };
        check(401, ask(server.admin, &acme()));
        let elsewhere = with_header(acme(), "host", "rebound.example");
        check(421, server.ask(&elsewhere));
        check(503, busy.ask(&acme()));
        let mut unknown = acme();
        unknown.target += "?zzz=1";
        check(400, server.ask(&unknown));
        if path != "/openapi.json" {
            check(503, away.ask(&acme()));
        }
        if path.contains("{id}") && method != "put" {
            check(404, server.ask(&good(method, path, "nobody")));
        }
        if path.ends_with("{session}") {
            check(404, server.ask(&acme()));
        }
        let is_change = method != "get";
        if !is_change {
            continue;
        }
        let large = "x".repeat((1 << 20) + 1);
        let bare = request(&method.to_uppercase(), &acme().target);
        check(
            413,
            server.ask(&with_body(bare.clone(), content_type, &large)),
        );
        let mut connection = Connection::open(server.admin);
        let bytes = message(&authorized(with_body(bare.clone(), content_type, "xx")));
        connection.send(&bytes[..bytes.len() - 1]);
        check(408, connection.reply().expect("an answer"));
        if path.contains("sessions") {
            continue;
        }
        check(412, server.ask(&with_header(acme(), "if-match", "\"99\"")));
        check(
            412,
            server.ask(&with_header(good(method, path, "nobody"), "if-match", "*")),
        );
        check(409, of_a_file.ask(&acme()));
        if ["put", "patch"].contains(&method) {
            check(
                415,
                server.ask(&with_body(bare.clone(), "text/plain", "{}")),
            );
            check(
                422,
                server.ask(&with_body(bare.clone(), content_type, r#"{"name":1}"#)),
            );
            check(400, server.ask(&with_body(bare, content_type, "{")));
        }
    }
}

/// Every operation as it is meant.
fn check_successes(api: &mut Api) {
    let server = start(|_| {});
    let session = open_session(server.service, "acme");
    for (method, path, exchange, status) in [
        ("get", "/tenants", get("/tenants?limit=2&state=active"), 200),
        ("get", "/tenants/{id}", get("/tenants/acme"), 200),
        (
            "get",
            "/tenants/{id}",
            with_header(get("/tenants/acme"), "if-none-match", "\"1\""),
            304,
        ),
        (
            "put",
            "/tenants/{id}",
            good("put", "/tenants/{id}", "new"),
            201,
        ),
        (
            "put",
            "/tenants/{id}",
            good("put", "/tenants/{id}", "new"),
            200,
        ),
        (
            "patch",
            "/tenants/{id}",
            good("patch", "/tenants/{id}", "acme"),
            200,
        ),
        (
            "get",
            "/tenants/{id}/sessions",
            get("/tenants/acme/sessions"),
            200,
        ),
        (
            "delete",
            "/tenants/{id}/sessions/{session}",
            request("DELETE", &format!("/tenants/acme/sessions/{session}")),
            204,
        ),
        (
            "delete",
            "/tenants/{id}/sessions",
            request("DELETE", "/tenants/acme/sessions"),
            200,
        ),
        (
            "post",
            "/tenants/{id}/suspend",
            request("POST", "/tenants/new/suspend"),
            200,
        ),
        (
            "post",
            "/tenants/{id}/resume",
            request("POST", "/tenants/new/resume"),
            200,
        ),
        (
            "post",
            "/tenants/{id}/archive",
            request("POST", "/tenants/new/archive"),
            200,
        ),
        (
            "delete",
            "/tenants/{id}",
            request("DELETE", "/tenants/new"),
            204,
        ),
        (
            "get",
            "/tenants/{id}/usage",
            get("/tenants/acme/usage"),
            200,
        ),
        ("get", "/usage", get("/usage?step=day"), 200),
        ("get", "/audit", get("/audit?tenant=acme&limit=1"), 200),
        ("get", "/openapi.json", get("/openapi.json"), 200),
    ] {
        let reply = server.ask(&exchange);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        api.check(method, path, &reply);
    }
}

fn description(server: &Administered) -> Api {
    Api {
        json: server.json(&get("/openapi.json"), 200),
        seen: BTreeSet::new(),
    }
}

#[test]
fn every_answer_is_described_and_every_described_answer_occurs() {
    let mut api = description(&start(|_| {}));
    check_refusals(&mut api);
    check_successes(&mut api);
    let described = api.operations().into_iter().flat_map(|(method, path)| {
        let responses = api.operation(&method, &path)["responses"].as_object();
        let statuses = responses.expect("responses").keys().cloned();
        let of_operation = statuses.map(move |status| (method.clone(), path.clone(), status));
        of_operation.collect::<Vec<_>>()
    });
    let described: BTreeSet<_> = described.collect();
    let never: Vec<_> = described.difference(&api.seen).collect();
    assert!(never.is_empty(), "described, and never answered: {never:?}");
    assert!(api.describes("get", "/tenants", 200));
}

#[test]
fn every_path_and_method_is_described_and_no_other() {
    let server = start(|_| {});
    let api = description(&server);
    assert_eq!(api.json["openapi"], "3.1.0");
    assert_eq!(api.json["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths: BTreeSet<_> = admin::paths().collect();
    let described = api.json["paths"].as_object().expect("paths");
    assert_eq!(
        described
            .keys()
            .map(String::as_str)
            .collect::<BTreeSet<_>>(),
        paths
    );
    let operations: BTreeSet<_> = api.operations().into_iter().collect();
    for path in paths {
        for method in METHODS {
            let as_described = if method == "head" { "get" } else { method };
            let operation = (as_described.to_owned(), path.to_owned());
            let exchange = request(&method.to_uppercase(), &target(path, "nobody", NO_SESSION));
            let reply = server.ask(&exchange);
            let is_there = reply.status != 405;
            assert_eq!(is_there, operations.contains(&operation), "{method} {path}");
        }
    }
    let ids = api.operations().into_iter().map(|(method, path)| {
        let id = &api.operation(&method, &path)["operationId"];
        id.as_str().expect("an id").to_owned()
    });
    let ids: Vec<_> = ids.collect();
    let distinct: BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn every_parameter_is_described_and_no_other() {
    let server = start(|_| {});
    let api = description(&server);
    let mut used = BTreeMap::new();
    for (method, path) in api.operations() {
        let item = &api.json["paths"][&path];
        let of_path = item["parameters"].as_array().into_iter().flatten();
        let of_operation = item[&method]["parameters"].as_array().into_iter().flatten();
        let mut query = Vec::new();
        for parameter in of_path.chain(of_operation) {
            used.insert(parameter["$ref"].clone().to_string(), ());
            let parameter = api.follow(parameter);
            let name = parameter["name"].as_str().expect("a name");
            match parameter["in"].as_str() {
                Some("query") => query.push(name.to_owned()),
                Some("path") => assert!(path.contains(&format!("{{{name}}}")), "{path}"),
                Some("header") => {}
                other => panic!("a parameter in {other:?}"),
            }
        }
        let mut exchange = good(&method, &path, "acme");
        exchange.target += "?zzz=1";
        let text = server.ask(&exchange).text();
        let known = match query.join(", ") {
            none if none.is_empty() => "unknown; there is none here".to_owned(),
            names => format!("unknown; there are: {names}"),
        };
        assert!(text.contains(&known), "{method} {path}: {text}");
    }
    let all = api.json["components"]["parameters"].as_object();
    assert_eq!(used.len(), all.expect("parameters").len());
}

/// What the description says of a parameter, the server says, too.
#[test]
fn an_empty_cursor_is_no_cursor_and_an_empty_list_of_tags_is_a_list() {
    let server = start(|_| {});
    let parameters = &description(&server).json["components"]["parameters"];
    assert_eq!(
        parameters["cursor"]["schema"]["pattern"],
        "^[A-Za-z0-9_-]+$"
    );
    for path in [
        "/tenants",
        "/audit",
        "/usage",
        "/tenants/acme/usage",
        "/tenants/acme/sessions",
    ] {
        server.json(&get(&format!("{path}?cursor=")), 400);
    }
    for name in ["if-match", "if-none-match"] {
        let schema = &parameters[name]["schema"];
        assert!(schema.get("minLength").is_none() && schema.get("pattern").is_none());
        let read = with_header(get("/tenants/acme"), name, "");
        server.json(&read, 200);
    }
    let change = with_header(good("patch", "/tenants/{id}", "acme"), "if-match", "");
    server.json(&change, 412);
}

#[test]
fn csv_is_described() {
    let server = start(|_| {});
    let mut api = description(&server);
    let answer = ask_raw(server.admin, &authorized(get("/usage?format=csv")));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    let headers = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let reply = Reply {
        status: 200,
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: body.as_bytes().to_vec(),
        continued: false,
    };
    api.check("get", "/usage", &reply);
}

#[test]
fn the_page_about_it_has_every_operation_and_every_problem() {
    let page = std::fs::read_to_string(workspace().join("docs/admin.md")).expect("a page");
    let server = start(|_| {});
    let api = description(&server);
    for (method, path) in api.operations() {
        let operation = format!("`{} {path}`", method.to_uppercase());
        assert!(
            page.contains(&operation),
            "docs/admin.md has no {operation}"
        );
        let place = target(&path, "", "");
        let place = place.rsplit('/').next().unwrap_or_default();
        let curl = page
            .lines()
            .any(|line| line.contains("localhost:9001/") && line.contains(place));
        assert!(curl, "docs/admin.md has no example of {operation}");
    }
    let text = api.json.to_string();
    let kinds = text.split("urn:tenantry:problem:").skip(1);
    let kinds: BTreeSet<_> = kinds.filter_map(|rest| rest.split('"').next()).collect();
    assert!(kinds.len() > 10);
    for kind in kinds.into_iter().chain(["not-found", "method-not-allowed"]) {
        let row = format!("| `urn:tenantry:problem:{kind}` |");
        assert!(page.contains(&row), "docs/admin.md has no {row}");
    }
}
