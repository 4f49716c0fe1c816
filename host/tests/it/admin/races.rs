//! Lost updates, and stores that fail: nothing is done half, and nobody's change is undone
//! unseen.

use std::{sync::atomic::Ordering, thread, time::Duration};

use tenantry::admin::Settings;
use tenantry_conformance::Exchange;

use crate::support::{
    admin::{Administered, patch, problem, put, request},
    client::{get, with_header},
    server::Way,
};

const ROW: &str = r#"{"name":"n","welcome":"w"}"#;

fn if_match(exchange: Exchange, tag: &str) -> Exchange {
    with_header(exchange, "if-match", tag)
}

fn if_none_match(exchange: Exchange, tag: &str) -> Exchange {
    with_header(exchange, "if-none-match", tag)
}

/// Every request that changes a tenant, and how often it can be made in a row.
fn changes() -> [Exchange; 6] {
    [
        put("acme", ROW),
        patch("acme", r#"{"name":"x"}"#),
        request("POST", "/tenants/acme/suspend"),
        request("POST", "/tenants/acme/resume"),
        request("POST", "/tenants/acme/archive"),
        request("DELETE", "/tenants/acme"),
    ]
}

#[test]
fn a_change_meant_for_another_version_is_refused_with_the_version_there_is() {
    let server = Administered::start();
    for change in changes() {
        for tag in ["\"7\"", "W/\"1\"", "\"x\"", "\"7\", \"8\"", "\"0\""] {
            let reply = server.ask(&if_match(change.clone(), tag));
            let expected = (412, "precondition-failed".into());
            assert_eq!(problem(&reply), expected, "{change:?} {tag}");
            assert_eq!(reply.header("etag"), Some("\"1\""));
        }
        let reply = server.ask(&if_none_match(change.clone(), "*"));
        assert_eq!(problem(&reply).0, 412, "{change:?}");
        assert_eq!(reply.header("etag"), Some("\"1\""));
    }
    // Nothing was done; in the right version, all of it is.
    for (version, change) in (1..).zip(changes()) {
        let tag = format!("\"100\", \"{version}\"");
        let reply = server.ask(&if_match(change.clone(), &tag));
        assert!(
            [200, 204].contains(&reply.status),
            "{change:?}: {}",
            reply.text()
        );
    }
    // Of a tenant that is not there, no version is right.
    for change in changes() {
        for tag in ["*", "\"1\""] {
            let reply = server.ask(&if_match(change.clone(), tag));
            assert_eq!(problem(&reply).0, 412, "{change:?}");
            assert_eq!(reply.header("etag"), None);
        }
    }
    assert_eq!(
        server.ask(&if_none_match(put("acme", ROW), "*")).status,
        201
    );
    assert_eq!(server.ask(&if_match(put("acme", ROW), "*")).status, 200);
}

#[test]
fn conditions_that_nothing_can_hold_to_are_refused() {
    let server = Administered::start();
    let refused = |exchange: Exchange| {
        let reply = server.ask(&exchange);
        assert_eq!(problem(&reply), (400, "bad-request".into()), "{exchange:?}");
    };
    for change in changes() {
        refused(if_match(change.clone(), "1"));
        refused(if_none_match(change.clone(), "\"1\""));
        refused(if_none_match(if_match(change, "\"1\""), "*"));
    }
    refused(if_none_match(get("/tenants/acme"), "1"));
}

#[test]
fn a_client_that_has_the_version_gets_it_once() {
    let server = Administered::start();
    let get = |tag: &str| server.ask(&if_none_match(get("/tenants/acme"), tag));
    for tag in ["\"1\"", "W/\"1\"", "*", "\"7\", \"1\""] {
        let reply = get(tag);
        assert_eq!((reply.status, reply.body.len()), (304, 0), "{tag}");
        assert_eq!(reply.header("etag"), Some("\"1\""));
    }
    assert_eq!(get("\"2\"").status, 200);
    server.json(&request("POST", "/tenants/acme/suspend"), 200);
    assert_eq!(get("\"1\"").status, 200);
}

#[test]
fn of_two_writers_with_the_same_tag_one_wins() {
    let server = Administered::start();
    for version in 1..=20 {
        let tag = format!("\"{version}\"");
        let statuses = thread::scope(|scope| {
            let writers = [put("acme", ROW), patch("acme", r#"{"welcome":"W"}"#)].map(|change| {
                let (server, change) = (&server, if_match(change, &tag));
                scope.spawn(move || server.ask(&change).status)
            });
            writers.map(|writer| writer.join().expect("an answer"))
        });
        let mut sorted = statuses;
        sorted.sort_unstable();
        assert_eq!(sorted, [200, 412]);
        assert_eq!(
            server.json(&get("/tenants/acme"), 200)["version"],
            version + 1
        );
    }
}

#[test]
fn patches_without_a_tag_are_all_made() {
    let server = Administered::start();
    thread::scope(|scope| {
        for n in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let patch = patch("acme", &format!(r#"{{"m{n}":{n}}}"#));
                server.json(&patch, 200);
            });
        }
    });
    let row = server.json(&get("/tenants/acme"), 200)["row"].take();
    for n in 0..4 {
        assert_eq!(row[format!("m{n}")], n, "{row}");
    }
    // Somebody is faster a few times, and then always.
    server.store.overtaken.store(5, Ordering::SeqCst);
    server.json(&patch("acme", r#"{"z":1}"#), 200);
    server.store.overtaken.store(usize::MAX, Ordering::SeqCst);
    let reply = server.ask(&patch("acme", r#"{"z":2}"#));
    assert_eq!(problem(&reply), (412, "precondition-failed".into()));
    assert_eq!(reply.header("etag"), Some("\"6\""));
}

/// Every request that asks the store of tenants.
fn asks() -> Vec<Exchange> {
    let gets = [
        "/tenants",
        "/tenants/acme",
        "/tenants/acme/sessions",
        "/tenants/acme/usage",
        "/audit",
    ];
    let mut asks: Vec<_> = gets.into_iter().map(get).collect();
    asks.extend(changes());
    asks.push(if_match(put("acme", ROW), "\"1\", \"2\""));
    asks.push(request("DELETE", "/tenants/acme/sessions"));
    let session = "/tenants/acme/sessions/b1946ac9-2492-4d23-8c6b-6f3d1d9f7a10";
    asks.push(request("DELETE", session));
    asks
}

#[test]
fn a_store_out_of_reach_is_a_503_that_says_when_to_come_back_and_not_where_it_is() {
    let server = Administered::start();
    server.store.is_away.store(true, Ordering::SeqCst);
    for exchange in asks() {
        let reply = server.ask(&exchange);
        assert_eq!(
            problem(&reply),
            (503, "store-unavailable".into()),
            "{exchange:?}"
        );
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert!(!reply.text().contains("s3cret"), "{}", reply.text());
    }
    server.store.is_away.store(false, Ordering::SeqCst);
    assert_eq!(server.json(&get("/tenants/acme"), 200)["version"], 1);
}

#[test]
fn a_store_that_never_answers_is_a_503_once_the_time_is_over() {
    let settings = Settings {
        request_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let server = Administered::with(Way::Native, settings, |_| {});
    server.store.is_silent.store(true, Ordering::SeqCst);
    for exchange in [get("/tenants"), request("POST", "/tenants/acme/suspend")] {
        let reply = server.ask(&exchange);
        assert_eq!(problem(&reply), (503, "too-slow".into()));
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    server.store.is_silent.store(false, Ordering::SeqCst);
    assert_eq!(server.json(&get("/tenants/acme"), 200)["version"], 1);
}
