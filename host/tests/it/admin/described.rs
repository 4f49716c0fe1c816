//! /openapi.json against real answers: what is answered is described, and what is described
//! is answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::Value;
use tenantry::{
    admin::{self, Settings},
    state::{Pending, State, StoreError, UsageQuery, UsageRow, UsageStore},
};
use tenantry_conformance::{Exchange, Reply};

use crate::support::{
    admin::{Administered, authorized, request, with_body},
    client::{Connection, ask, ask_raw, get, message, open_session, with_header},
    server::Way,
};

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

/// The description, and what of it was seen.
struct Api {
    json: Value,
    seen: BTreeSet<(String, String, String)>,
}

impl Api {
    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("a local reference");
                self.json.pointer(pointer).expect("a reference that leads")
            }
            None => value,
        }
    }

    /// Every operation: method and path.
    fn operations(&self) -> Vec<(String, String)> {
        let paths = self.json["paths"].as_object().expect("paths");
        let of_path = |(path, item): (&String, &Value)| {
            let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
            let operations = methods.map(|method| ((*method).to_owned(), path.clone()));
            operations.collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    fn operation(&self, method: &str, path: &str) -> &Value {
        &self.json["paths"][path][method]
    }

    fn describes(&self, method: &str, path: &str, status: u16) -> bool {
        let responses = &self.operation(method, path)["responses"];
        responses.get(status.to_string()).is_some()
    }

    /// Whether an answer is one that the description allows to this operation.
    fn check(&mut self, method: &str, path: &str, reply: &Reply) {
        let what = format!("{method} {path}: {} {}", reply.status, reply.text());
        let status = reply.status.to_string();
        let responses = &self.operation(method, path)["responses"];
        let response = responses.get(&status);
        let response = response.unwrap_or_else(|| panic!("not described: {what}"));
        let response = self.follow(response);
        let described = response["headers"].as_object().expect("headers");
        for (name, header) in described {
            let is_required = self.follow(header)["required"] == true;
            assert!(
                !is_required || reply.header(name).is_some(),
                "no {name}: {what}"
            );
        }
        for name in [
            "etag",
            "location",
            "retry-after",
            "www-authenticate",
            "accept-patch",
        ] {
            assert_eq!(
                reply.header(name).is_some() && !described.contains_key(name),
                false,
                "{name} is not described: {what}"
            );
        }
        match response["content"].as_object() {
            None => assert!(reply.body.is_empty(), "{what}"),
            Some(content) => {
                let media = reply.header("content-type").expect("a content type");
                let media = media.split(';').next().unwrap_or_default();
                let schema = content.get(media);
                let schema = schema.unwrap_or_else(|| panic!("{media}: {what}"));
                let body = match media {
                    "text/csv" => Value::from(reply.text()),
                    _ => serde_json::from_slice(&reply.body).expect("JSON"),
                };
                self.fits(&schema["schema"], &body, &what);
            }
        }
        self.seen
            .insert((method.to_owned(), path.to_owned(), status));
    }

    /// The part of JSON Schema that the description uses.
    fn fits(&self, schema: &Value, value: &Value, what: &str) {
        let schema = self.follow(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.fits(part, value, what);
        }
        let is = |name: &str| match name {
            "string" => value.is_string(),
            "integer" => value.is_u64(),
            "object" => value.is_object(),
            "array" => value.is_array(),
            "null" => value.is_null(),
            other => panic!("the type {other}"),
        };
        let is_of_type = match &schema["type"] {
            Value::Null => true,
            Value::String(name) => is(name),
            Value::Array(names) => names.iter().any(|name| is(name.as_str().expect("a name"))),
            other => panic!("the type {other}"),
        };
        assert!(is_of_type, "{value} is not {schema}: {what}");
        if let Some(values) = schema["enum"].as_array() {
            assert!(
                values.contains(value),
                "{value} is not of {values:?}: {what}"
            );
        }
        for item in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], item, what);
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("a name");
            assert!(value.get(name).is_some(), "no {name} in {value}: {what}");
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            match schema["properties"].get(name) {
                Some(schema) => self.fits(schema, member, what),
                None => {
                    let is_closed = schema["additionalProperties"] == false;
                    assert!(!is_closed, "{name} is not described: {what}");
                }
            }
        }
    }
}

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
    fn add(&self, _: Vec<UsageRow>) -> Pending<'_, Result<(), StoreError>> {
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
