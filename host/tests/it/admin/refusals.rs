//! Requests to the admin API that are wrong: everything that is wrong is named.

use crate::support::{
    admin::{Administered, patch, problem, put, request, with_body},
    client::get,
};

const UMBRELLA: &str = r#"{"name":"Umbrella","welcome":"Good day."}"#;

#[test]
fn every_problem_of_a_row_is_named_with_its_member() {
    let server = Administered::start();
    let errors = |exchange| {
        let body = server.json(&exchange, 422);
        assert_eq!(body["type"], "urn:tenantry:problem:invalid-tenant");
        let errors = body["errors"].as_array().expect("errors").clone();
        let errors = errors.iter().map(|error| {
            let member = error["member"].as_str().unwrap_or_default();
            format!("{member}: {}", error["detail"].as_str().expect("a detail"))
        });
        errors.collect::<Vec<_>>()
    };
    assert_eq!(
        errors(put(
            "acme",
            r#"{"id":"b","limits":{"sessions":-1},"reply":{"style":"loud"},"name":"n"}"#
        )),
        [
            "id: \"b\" is not the id in the path, \"acme\"",
            "welcome: missing; it must be a string",
            "limits.sessions: a number instead of a whole number from 0 to 4294967295",
            "reply.style: \"loud\" is no style; use \"reverse\", \"upper\" or \"ack\"",
        ]
    );
    assert_eq!(
        errors(put("acme", r#"{"id":7,"name":"n","welcome":"w"}"#)),
        ["id: a number instead of the id in the path"]
    );
    assert_eq!(
        errors(put("acme", "[1]")),
        [": a list instead of an object"]
    );
    assert_eq!(
        errors(patch("acme", r#"{"name":null,"id":"x"}"#)),
        [
            "id: \"x\" is not the id in the path, \"acme\"",
            "name: missing; it must be a string",
        ]
    );
    assert_eq!(
        errors(patch("acme", "null")),
        [": null instead of an object"]
    );
    // Nothing of that was done.
    assert_eq!(server.json(&get("/tenants/acme"), 200)["version"], 1);
}

#[test]
fn bodies_that_are_none_are_refused() {
    let server = Administered::start();
    let target = "/tenants/acme";
    let with = |method, content_type, body: &str| {
        problem(&server.ask(&with_body(request(method, target), content_type, body)))
    };
    let wrong = |kind: &str, status| (status, kind.to_owned());
    for body in ["", "{", "{\"a\":\"\n\"}", "{\"a\":NaN}", &"[".repeat(200)] {
        assert_eq!(
            with("PUT", "application/json", body),
            wrong("invalid-json", 400),
            "{body}"
        );
    }
    assert_eq!(
        with("PUT", "text/plain", "{}"),
        wrong("unsupported-media-type", 415)
    );
    assert_eq!(
        problem(&server.ask(&request("PUT", target))),
        wrong("unsupported-media-type", 415)
    );
    let exchange = with_body(request("PATCH", target), "application/json", "{}");
    let reply = server.ask(&exchange);
    assert_eq!(problem(&reply), wrong("unsupported-media-type", 415));
    assert_eq!(
        reply.header("accept-patch"),
        Some("application/merge-patch+json")
    );
    let charset = "Application/JSON; charset=utf-8";
    assert_eq!(with("PUT", charset, "1"), wrong("invalid-tenant", 422));
    let bytes = tenantry_conformance::Exchange {
        body: Some(vec![b'"', 0xff, b'"']),
        ..put("acme", "")
    };
    assert_eq!(problem(&server.ask(&bytes)), wrong("invalid-json", 400));
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(
        with("PUT", "application/json", &large),
        wrong("body-too-large", 413)
    );
    let suspend = request("POST", "/tenants/acme/suspend");
    let reply = server.ask(&with_body(suspend, "application/json", "{}"));
    assert_eq!(problem(&reply), wrong("bad-request", 400));
    assert_eq!(server.json(&get("/tenants/acme"), 200)["version"], 1);
}

#[test]
fn what_is_unknown_is_refused_and_named() {
    let server = Administered::start();
    let wrong = |target: &str| {
        let reply = server.ask(&get(target));
        assert_eq!(problem(&reply), (400, "bad-request".into()), "{target}");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        let errors = body["errors"].as_array().expect("errors").clone();
        let errors = errors.iter().map(|error| {
            let parameter = error["parameter"].as_str().expect("a parameter");
            format!(
                "{parameter}: {}",
                error["detail"].as_str().expect("a detail")
            )
        });
        errors.collect::<Vec<_>>().join("; ")
    };
    assert_eq!(wrong("/tenants/acme?x=1"), "x: unknown; there is none here");
    assert_eq!(
        wrong("/tenants?a=1&state=gone&limit=0"),
        "a: unknown; there are: state, limit, cursor; \
         state: \"gone\" is not right; it must be active, suspended or archived; \
         limit: \"0\" is not right; it must be a whole number from 1 to 1000"
    );
    assert_eq!(
        wrong("/tenants?limit=1&limit=1"),
        "limit: given more than once"
    );
    for cursor in ["x", "", "dDE", "YTE"] {
        let text = wrong(&format!(
            "/audit?limit=1001&cursor={}",
            if cursor == "YTE" { "!" } else { cursor }
        ));
        assert!(
            text.contains("it must be what an answer has given as next"),
            "{text}"
        );
    }
    let nowhere = server.ask(&get("/tenants/acme/"));
    assert_eq!(problem(&nowhere), (404, "not-found".into()));
    let reply = server.ask(&request("POST", "/tenants"));
    assert_eq!(problem(&reply), (405, "method-not-allowed".into()));
    assert_eq!(reply.header("allow"), Some("GET,HEAD"));
    for (method, target) in [
        ("POST", "/tenants/acme/suspend?x=1"),
        ("DELETE", "/tenants/acme?x=1"),
        ("DELETE", "/tenants/acme/sessions?x=1"),
    ] {
        assert_eq!(
            problem(&server.ask(&request(method, target))).0,
            400,
            "{target}"
        );
    }
    let mut exchange = put("acme", UMBRELLA);
    exchange.target += "?x=1";
    assert_eq!(problem(&server.ask(&exchange)).0, 400);
    exchange.method = "PATCH".to_owned();
    assert_eq!(problem(&server.ask(&exchange)).0, 400);
}
