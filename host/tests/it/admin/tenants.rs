//! Tenants over the admin API: listed, told, added, replaced, patched, and through their life.

use serde_json::json;
use tenantry::admin::Settings;

use tenantry_conformance::Reply;

use crate::support::{
    admin::{Administered, authorized, patch, problem, put, request, token_file},
    client::{ask, chat, get, open_session, with_header},
    database::{Database, Sqlite, import},
    program::Program,
    server::Way,
};

const UMBRELLA: &str = r#"{"name":"Umbrella","welcome":"Good day.","x":1.10}"#;

#[test]
fn tenants_are_listed_by_the_page_and_by_state() {
    let server = Administered::start();
    let page = server.json(&get("/tenants"), 200);
    let ids = |page: &serde_json::Value| {
        let tenants = page["tenants"].as_array().expect("tenants").iter();
        let ids = tenants.map(|tenant| tenant["id"].as_str().expect("an id").to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&page), ["acme", "globex", "initech"]);
    assert!(page.get("next").is_none());
    let first = server.json(&get("/tenants?limit=2"), 200);
    assert_eq!(ids(&first), ["acme", "globex"]);
    let next = first["next"].as_str().expect("a next page");
    let second = server.json(&get(&format!("/tenants?limit=2&cursor={next}")), 200);
    assert_eq!(ids(&second), ["initech"]);
    assert!(second.get("next").is_none());
    // A page that is just full is the last one.
    assert!(
        server
            .json(&get("/tenants?limit=3"), 200)
            .get("next")
            .is_none()
    );

    server.json(&request("POST", "/tenants/globex/suspend"), 200);
    server.json(&request("POST", "/tenants/initech/archive"), 200);
    for (state, id) in [
        ("active", "acme"),
        ("suspended", "globex"),
        ("archived", "initech"),
    ] {
        let page = server.json(&get(&format!("/tenants?state={state}")), 200);
        assert_eq!(ids(&page), [id]);
        assert_eq!(page["tenants"][0]["state"], state);
    }
}

#[test]
fn a_tenant_is_told_with_its_version_and_times() {
    let server = Administered::start();
    let told = server.ask(&get("/tenants/acme"));
    assert_eq!(told.header("etag"), Some("\"1\""));
    let body: serde_json::Value = serde_json::from_slice(&told.body).expect("JSON");
    assert_eq!(
        body,
        json!({
            "id": "acme", "state": "active", "version": 1,
            "created": "2023-11-14T22:13:20Z", "changed": "2023-11-14T22:13:20Z",
            "row": {
                "id": "acme", "name": "Acme Corp", "welcome": "Howdy from Acme!",
                "model": "mock-1", "limits": {"chat_per_10s": 8},
            },
        })
    );
    let suspended = server.json(&request("POST", "/tenants/acme/suspend"), 200);
    assert_eq!(suspended["created"], "2023-11-14T22:13:20Z");
    assert_eq!(suspended["changed"], "2023-11-14T22:13:23Z");
    assert_eq!(
        problem(&server.ask(&get("/tenants/nobody"))),
        (404, "no-such-tenant".into())
    );
    let head = server.ask(&request("HEAD", "/tenants/acme"));
    assert_eq!((head.status, head.header("etag")), (200, Some("\"2\"")));
}

#[test]
fn a_tenant_is_added_and_replaced_by_its_id() {
    let server = Administered::start();
    let added = server.ask(&put("umbrella", UMBRELLA));
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(added.header("location"), Some("/tenants/umbrella"));
    assert_eq!(added.header("etag"), Some("\"1\""));
    assert!(added.text().contains(r#""x":1.10"#), "{}", added.text());
    let session = open_session(server.service, "umbrella");
    let say = || ask(server.service, &chat("umbrella", &session, "hi"));
    assert!(
        say().text().contains("Good day. [INITECH MOCK] Got it."),
        "{}",
        say().text()
    );

    // Written over several lines, and with its id.
    let row = "{\"id\":\"umbrella\",\n\"name\":\"U\",\r\n\"welcome\":\"Bye.\"\n}\n";
    let replaced = server.ask(&put("umbrella", row));
    assert_eq!(
        (replaced.status, replaced.header("etag")),
        (200, Some("\"2\""))
    );
    assert!(say().text().contains("Bye. "), "{}", say().text());
    let list = ask(server.service, &get("/")).text();
    assert_eq!(
        list,
        r#"{"ok":true,"tenants":["acme","globex","initech","umbrella"]}"#
    );

    // An id may be any text.
    let odd = server.ask(&put("a%2Fb%20%C3%A9", UMBRELLA));
    assert_eq!(odd.header("location"), Some("/tenants/a%2Fb%20%C3%A9"));
    let odd = server.json(&get("/tenants/a%2Fb%20%C3%A9"), 200);
    assert_eq!(odd["row"]["id"], "a/b é");
    assert_eq!(
        problem(&server.ask(&get("/tenants/%ff"))),
        (400, "bad-request".into())
    );
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let server = Administered::start();
    server.json(&put("umbrella", UMBRELLA), 201);
    let patched = server.ask(&patch(
        "umbrella",
        r#"{"welcome":"Hello.","limits":{"chat_per_10s":1},"name":"New"}"#,
    ));
    assert_eq!(
        (patched.status, patched.header("etag")),
        (200, Some("\"2\""))
    );
    assert!(patched.text().contains(r#""x":1.10"#), "{}", patched.text());
    let session = open_session(server.service, "umbrella");
    let say = || ask(server.service, &chat("umbrella", &session, "hi"));
    assert!(say().text().contains("Hello. "));
    assert_eq!(say().status, 429);
    // null takes a member away, and with it the limit.
    server.json(&patch("umbrella", r#"{"limits":null,"x":null}"#), 200);
    let row = server.json(&get("/tenants/umbrella"), 200)["row"].take();
    assert_eq!(
        row,
        json!({"id": "umbrella", "name": "New", "welcome": "Hello.", "model": "mock"})
    );
    assert_eq!(say().status, 200);
    assert_eq!(
        problem(&server.ask(&patch("nobody", "{}"))),
        (404, "no-such-tenant".into())
    );
}

#[test]
fn a_suspended_tenant_is_refused_at_once_and_resumes_with_its_sessions() {
    for way in [Way::Tenant, Way::Native] {
        let server = Administered::with(way, Settings::default(), |_| {});
        let session = open_session(server.service, "acme");
        let open = || {
            let body = r#"{"tenant_id":"acme"}"#;
            ask(
                server.service,
                &tenantry_conformance::Exchange::post("/session", body),
            )
        };
        let say = || ask(server.service, &chat("acme", &session, "hi"));
        let list = || ask(server.service, &get("/")).text();
        let change = |what: &str| {
            let path = format!("/tenants/acme/{what}");
            server.json(&request("POST", &path), 200)["state"].take()
        };
        assert_eq!((say().status, open().status), (200, 200));

        assert_eq!(change("suspend"), "suspended");
        for reply in [say(), open()] {
            assert_eq!(reply.status, 403);
            assert_eq!(reply.text(), r#"{"detail":"Tenant is suspended"}"#);
        }
        assert!(list().contains("acme"));
        assert_eq!(change("resume"), "active");
        assert_eq!((say().status, open().status), (200, 200));

        assert_eq!(change("archive"), "archived");
        assert_eq!((say().status, open().status), (404, 404));
        assert!(!list().contains("acme"), "{}", list());
        // The API still tells of it.
        assert_eq!(server.json(&get("/tenants/acme"), 200)["state"], "archived");
        assert_eq!(change("resume"), "active");
        assert_eq!((say().status, open().status), (200, 200));
        assert!(list().contains("acme"));

        // From suspended to archived; then it may be purged, and its id be another's.
        change("suspend");
        change("archive");
        let purged = server.ask(&request("DELETE", "/tenants/acme"));
        assert_eq!((purged.status, purged.body.len()), (204, 0));
        assert_eq!(problem(&server.ask(&get("/tenants/acme"))).0, 404);
        server.json(&put("acme", UMBRELLA), 201);
        assert!(
            [403, 404].contains(&say().status),
            "the new tenant has its sessions"
        );
    }
}

#[test]
fn a_changed_row_answers_anew_at_once() {
    for way in [Way::Tenant, Way::Native] {
        let server = Administered::with(way, Settings::default(), |_| {});
        let session = open_session(server.service, "acme");
        let say = || ask(server.service, &chat("acme", &session, "hi")).text();
        assert!(say().contains("Howdy from Acme!"));
        server.json(&patch("acme", r#"{"welcome":"Moved."}"#), 200);
        assert!(say().contains("Moved. [ACME MOCK]"), "{}", say());
    }
}

#[test]
fn what_cannot_be_done_in_a_state_is_a_conflict() {
    let server = Administered::start();
    let conflict = |exchange| {
        let reply = server.ask(&exchange);
        assert_eq!(problem(&reply), (409, "conflict".into()));
        reply.text()
    };
    let post = |what: &str| request("POST", &format!("/tenants/acme/{what}"));
    let text = conflict(request("DELETE", "/tenants/acme"));
    let wanted = "the tenant is active, and this can be done to an archived tenant only";
    assert!(text.contains(wanted), "{text}");
    conflict(post("resume"));
    server.json(&post("suspend"), 200);
    conflict(post("suspend"));
    conflict(request("DELETE", "/tenants/acme"));
    server.json(&post("archive"), 200);
    conflict(post("archive"));
    conflict(post("suspend"));
    // A row may be changed in every state, which stays.
    let patched = server.json(&patch("acme", r#"{"name":"A"}"#), 200);
    assert_eq!(patched["state"], "archived");
    for what in ["suspend", "resume", "archive"] {
        let path = format!("/tenants/nobody/{what}");
        assert_eq!(
            problem(&server.ask(&request("POST", &path))).1,
            "no-such-tenant"
        );
    }
    let purge = server.ask(&request("DELETE", "/tenants/nobody"));
    assert_eq!(problem(&purge).1, "no-such-tenant");
}

/// Whether a tenant is new is not to be seen by its version: a row that is there already
/// changes nothing.
#[test]
fn a_tenant_is_created_once() {
    let token = token_file().to_str().expect("UTF-8");
    let state = Sqlite::new();
    import(&state, "tenants.jsonl");
    let server = Program::serve(&[
        "--engine=native",
        "--state",
        &state.state(),
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        token,
    ]);
    let admin = server.admin_address();
    let ask = |exchange| ask(admin, &authorized(exchange));
    let is = |reply: Reply, status, version| {
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.header("etag"), Some(version));
        assert_eq!(reply.header("location").is_some(), status == 201);
    };
    is(ask(put("umbrella", UMBRELLA)), 201, "\"1\"");
    is(ask(put("umbrella", UMBRELLA)), 200, "\"1\"");
    let any = with_header(put("umbrella", UMBRELLA), "if-match", "*");
    is(ask(any), 200, "\"1\"");
    let this = with_header(put("umbrella", UMBRELLA), "if-match", "\"1\"");
    is(ask(this), 200, "\"1\"");
    // Of the file that was imported.
    let row = r#"{"name":"n","welcome":"w"}"#;
    is(ask(put("acme", row)), 200, "\"2\"");
    let new = with_header(put("new", row), "if-none-match", "*");
    is(ask(new.clone()), 201, "\"1\"");
    assert_eq!(ask(new).status, 412);
}

#[test]
fn a_version_is_named_as_it_is_told_and_in_lists_of_any_form() {
    let server = Administered::start();
    let status = |tags: &str| {
        let change = with_header(patch("acme", r#"{"name":"n"}"#), "if-match", tags);
        server.ask(&change).status
    };
    for tags in [r#""+1""#, r#""01""#, r#""a,1""#, r#"W/"1""#, r#""1,2""#] {
        assert_eq!(status(tags), 412, "{tags}");
    }
    for tags in ["1", r#""1"#, r#""1" "2""#] {
        assert_eq!(status(tags), 400, "{tags}");
    }
    assert_eq!(status(r#", "a,b",, "1","#), 200);
    let read = with_header(get("/tenants/acme"), "if-none-match", r#""a,b", W/"2","#);
    assert_eq!(server.ask(&read).status, 304);
}

#[test]
fn members_with_unknown_names_are_named_in_the_answer_and_kept() {
    let server = Administered::start();
    let row = r#"{"name":"n","welcome":"w","limts":{"chat_per_10s":1},"plan":1}"#;
    let added = server.json(&put("umbrella", row), 201);
    let warnings = json!([
        {"member": "limts", "detail": "unknown, so it is ignored; did you mean limits?"},
        {"member": "plan", "detail": "unknown, so it is ignored"},
    ]);
    assert_eq!(added["warnings"], warnings);
    assert_eq!(added["row"]["limts"], json!({"chat_per_10s": 1}));
    // What is told of it later is the tenant alone.
    let told = server.json(&get("/tenants/umbrella"), 200);
    assert!(told.get("warnings").is_none());
    let change = r#"{"limts":null,"plan":null,"limits":{"chats_per_10s":1}}"#;
    let patched = server.json(&patch("umbrella", change), 200);
    let meant = "unknown, so it is ignored; did you mean limits.chat_per_10s?";
    assert_eq!(
        patched["warnings"],
        json!([{"member": "limits.chats_per_10s", "detail": meant}])
    );
    let good = r#"{"name":"n","welcome":"w","limits":{"chat_per_10s":1}}"#;
    assert!(
        server
            .json(&put("umbrella", good), 200)
            .get("warnings")
            .is_none()
    );
    let many: Vec<_> = (0..30).map(|n| format!("\"x{n}\":1")).collect();
    let many = format!(r#"{{"name":"n","welcome":"w",{}}}"#, many.join(","));
    let put = server.json(&put("umbrella", &many), 200);
    let warnings = put["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 21);
    assert_eq!(
        warnings[20],
        json!({"detail": "10 more unknown members are ignored"})
    );
}

#[test]
fn texts_that_are_too_long_are_refused_by_name() {
    let server = Administered::start();
    let id = "é".repeat(257);
    let path: String = "%C3%A9".repeat(257);
    let row = format!(r#"{{"name":"{}","welcome":"w"}}"#, "n".repeat(4097));
    let reply = server.ask(&put(&path, &row));
    assert_eq!(problem(&reply), (422, "invalid-tenant".to_owned()));
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(
        body["errors"],
        json!([
            {"member": "id", "detail": "514 bytes; it may have 512 at most"},
        ]),
        "{id}"
    );
    let reply = server.ask(&put("a", &row));
    let text = reply.text();
    let named = r#"{"member":"name","detail":"4097 bytes; it may have 4096 at most"}"#;
    assert!(text.contains(named), "{text}");
    let reply = server.ask(&put("a%00b", r#"{"name":"n","welcome":"w"}"#));
    let text = reply.text();
    let named = "the character U+0000, which an id may not have (byte 2 of it)";
    assert!(text.contains(named), "{text}");
}
