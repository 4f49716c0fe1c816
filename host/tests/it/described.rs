//! What the server itself answers, before or instead of the core, is described: in
//! /openapi.json where it belongs to an operation, and in docs/http.md.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tenantry::state::{Answer, Entry, State, TenantDirectory};
use tenantry_conformance::{Exchange, Reply};
use tenantry_core::tenancy::Unavailable;

use crate::support::{
    client::{Connection, ask, get, message},
    server::{Setup, Way},
};

/// Checks an answer against the description of an operation. `head` answers have no body.
fn check(api: &Value, method: &str, path: &str, reply: &Reply) {
    let status = reply.status.to_string();
    let mut response = &api["paths"][path][method]["responses"][&status];
    if let Some(reference) = response["$ref"].as_str() {
        response = api.pointer(&reference[1..]).expect("a response");
    }
    assert!(response.is_object(), "{method} {path} {status}");
    for name in response["headers"].as_object().into_iter().flatten() {
        assert!(reply.header(name.0).is_some(), "{path} {status}: {name:?}");
    }
    if method != "head" {
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        let example = &response["content"]["application/json"]["example"];
        assert_eq!(&body, example, "{path} {status}");
    }
}

#[test]
fn what_the_server_itself_answers_is_described() {
    for way in [Way::Tenant, Way::Native] {
        let mut setup = Setup::new(way);
        setup.task.server.max_body = 1000;
        setup.task.server.body_timeout = Duration::from_millis(50);
        setup.task.server.max_head = 8 << 10;
        let server = setup.start();
        let api = ask(server.address, &get("/openapi.json"));
        let api: Value = serde_json::from_slice(&api.body).expect("JSON");
        for path in ["/session", "/chat"] {
            let reply = ask(server.address, &Exchange::post(path, "x".repeat(1001)));
            assert_eq!(reply.status, 413);
            assert_eq!(reply.header("connection"), Some("close"));
            check(&api, "post", path, &reply);

            let bytes = message(&Exchange::post(path, "{}"));
            let mut connection = Connection::open(server.address);
            connection.send(&bytes[..bytes.len() - 1]);
            let reply = connection.reply().expect("an answer");
            assert_eq!(reply.status, 408);
            assert_eq!(reply.header("connection"), Some("close"));
            check(&api, "post", path, &reply);
        }
        let mut long = get("/");
        long.headers.push(("x".to_owned(), vec![b'x'; 20 << 10]));
        let reply = ask(server.address, &long);
        assert_eq!((reply.status, reply.body.len()), (431, 0));
    }
}

/// Knows nothing, and says so.
struct OutOfReach;

impl TenantDirectory for OutOfReach {
    fn find<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        Answer::Later(Box::pin(async { Err(Unavailable) }))
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        Answer::Later(Box::pin(async { Err(Unavailable) }))
    }
}

#[test]
fn tenants_out_of_reach_are_a_503_on_every_operation() {
    for way in [Way::Tenant, Way::Native] {
        let setup = Setup::new(way);
        let state = State {
            tenants: Box::new(OutOfReach),
            ..setup.state()
        };
        let server = setup.start_with(state);
        let api = ask(server.address, &get("/openapi.json"));
        let api: Value = serde_json::from_slice(&api.body).expect("JSON");
        let body = json!({ "tenant_id": "acme", "session_id": "", "message": "" }).to_string();
        let head = Exchange {
            method: "HEAD".to_owned(),
            ..get("/")
        };
        for exchange in [
            get("/"),
            head,
            Exchange::post("/session", &*body),
            Exchange::post("/chat", &*body),
        ] {
            let reply = ask(server.address, &exchange);
            assert_eq!(reply.status, 503, "{exchange:?}");
            assert_eq!(reply.header("retry-after"), Some("1"));
            let method = exchange.method.to_lowercase();
            check(&api, &method, &exchange.target, &reply);
        }
    }
}
