//! What was changed is written down, by whom, and never with a secret.

use serde_json::{Value, json};

use crate::support::{
    admin::{Administered, patch, put, request},
    client::{get, open_session},
};

fn records(page: &Value) -> Vec<Value> {
    page["records"].as_array().expect("records").clone()
}

#[test]
fn every_change_is_written_down() {
    let server = Administered::start();
    let added = server.ask(&put("umbrella", r#"{"name":"U","welcome":"w"}"#));
    let session = open_session(server.service, "umbrella");
    open_session(server.service, "umbrella");
    for exchange in [
        patch("umbrella", r#"{"name":"V"}"#),
        request("DELETE", &format!("/tenants/umbrella/sessions/{session}")),
        request("DELETE", "/tenants/umbrella/sessions"),
        request("POST", "/tenants/umbrella/suspend"),
        request("POST", "/tenants/umbrella/resume"),
        request("POST", "/tenants/umbrella/archive"),
        request("DELETE", "/tenants/umbrella"),
    ] {
        let status = server.ask(&exchange).status;
        assert!([200, 204].contains(&status), "{exchange:?}");
    }
    // What is refused is no change.
    server.ask(&request("POST", "/tenants/acme/resume"));
    let text = server.ask(&get("/audit?tenant=umbrella")).text();
    assert!(!text.contains(&session), "{text}");
    let page: Value = serde_json::from_str(&text).expect("JSON");
    assert!(page.get("next").is_none());
    let records = records(&page);
    let actions: Vec<_> = records.iter().map(|record| &record["action"]).collect();
    let expected = [
        "put", "put", "revoke", "revoke", "suspend", "resume", "archive", "purge",
    ];
    assert_eq!(actions, expected);
    let first = &records[0];
    assert_eq!(first["who"], "admin");
    assert_eq!(first["tenant"], "umbrella");
    assert_eq!(first["request_id"].as_str(), added.header("x-request-id"));
    assert!(first.get("before").is_none());
    assert_eq!(first["after"]["row"]["name"], "U");
    assert_eq!(first["at"], "2023-11-14T22:13:23Z");
    assert_eq!(records[1]["before"]["row"]["name"], "U");
    assert_eq!(records[1]["after"]["row"]["name"], "V");
    assert_eq!(records[2]["before"], json!({"sessions": 1}));
    assert_eq!(records[3]["before"], json!({"sessions": 1}));
    assert_eq!(records[4]["after"]["state"], "suspended");
    assert!(records[7].get("after").is_none());
}

#[test]
fn the_audit_is_told_by_the_page() {
    let server = Administered::start();
    let first = server.json(&get("/audit?limit=2"), 200);
    let cursor = first["next"].as_str().expect("a next page");
    let second = server.json(&get(&format!("/audit?limit=2&cursor={cursor}")), 200);
    assert!(second.get("next").is_none());
    let all = [records(&first), records(&second)].concat();
    let seqs: Vec<_> = all.iter().map(|record| record["seq"].as_u64()).collect();
    assert_eq!(seqs, [Some(1), Some(2), Some(3)]);
    let none = server.json(&get("/audit?tenant=nobody"), 200);
    assert_eq!(none, json!({"records": []}));
}
