//! `tenantry tenants`, `audit` and `usage`: the program itself, against a running server.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Output, Stdio},
    thread,
};

use serde_json::Value;

use crate::support::{
    admin::{Administered, TOKEN, private_file, token_file},
    client::{ask, chat, open_session},
    program::{run, tenantry},
};

/// Runs a command against a server, with the token.
fn with(address: SocketAddr, args: &[&str]) -> Output {
    let mut command = tenantry(args);
    command.env("TENANTRY_ADMIN_URL", format!("http://{address}"));
    command.env("TENANTRY_ADMIN_TOKEN_FILE", token_file());
    command.output().expect("the program runs")
}

/// What a command prints that succeeds.
fn prints(server: &Administered, args: &[&str]) -> String {
    let output = with(server.admin, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    assert_eq!(error, "");
    String::from_utf8(output.stdout).expect("text")
}

/// The one line that a command says which fails, without `error: `.
fn complains(output: Output, code: i32) -> String {
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty());
    let line = error
        .strip_prefix("error: ")
        .unwrap_or_else(|| panic!("{error}"));
    line.trim_end().to_owned()
}

/// The cells of a table, without its head.
fn cells(table: &str) -> Vec<Vec<String>> {
    let lines = table.lines().skip(1);
    let cells = lines.map(|line| {
        let cells = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect()
    });
    cells.collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

const ROW: &str = r#"{"id":"umbrella","name":"Umbrella","welcome":"Good day."}"#;

#[test]
fn tenants_are_listed_and_shown() {
    let server = Administered::start();
    let table = prints(&server, &["tenants", "list"]);
    let head: Vec<_> = table
        .lines()
        .next()
        .expect("a head")
        .split_whitespace()
        .collect();
    assert_eq!(head, ["ID", "STATE", "VERSION", "CHANGED", "NAME"]);
    let cells = cells(&table);
    assert_eq!(cells.len(), 3);
    assert_eq!(
        cells[0],
        ["acme", "active", "1", "2023-11-14T22:13:20Z", "Acme Corp"]
    );
    prints(&server, &["tenants", "suspend", "globex"]);
    let suspended = prints(
        &server,
        &["tenants", "list", "--state", "suspended", "--output=json"],
    );
    let suspended = json(&suspended);
    assert_eq!(suspended[0]["id"], "globex");
    assert_eq!(suspended.as_array().map(Vec::len), Some(1));
    let none = prints(
        &server,
        &["tenants", "list", "--state=archived", "--output=json"],
    );
    assert_eq!(none, "[]\n");
    let shown = prints(&server, &["tenants", "show", "acme"]);
    assert!(shown.contains(r#""welcome":"Howdy from Acme!""#), "{shown}");
    let shown = json(&prints(
        &server,
        &["tenants", "--output=json", "show", "acme"],
    ));
    assert_eq!(shown["row"]["name"], "Acme Corp");
}

#[test]
fn tenants_are_added_changed_and_removed() {
    let server = Administered::start();
    let added = prints(&server, &["tenants", "add", "--row", ROW]);
    assert_eq!(cells(&added)[0][..3], ["umbrella", "active", "1"]);
    // From a file, over several lines, under an id that needs care.
    let file = private_file(
        "cli-row.json",
        "{\n  \"name\": \"N\",\n  \"welcome\": \"W\"\n}\n",
    );
    let file = file.to_str().expect("UTF-8");
    let added = prints(
        &server,
        &[
            "tenants",
            "add",
            "../a b/é",
            "--file",
            file,
            "--output=json",
        ],
    );
    assert_eq!(json(&added)["row"]["id"], "../a b/é");

    let mut replace = tenantry(&["tenants", "replace", "--file=-", "--if-version=1"]);
    replace.args(["--server", &format!("http://{}/", server.admin)]);
    replace.arg("--admin-token-file").arg(token_file());
    replace
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = replace.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(ROW.replace("Good day.", "Bye.").as_bytes())
        .expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");

    let session = open_session(server.service, "umbrella");
    let say = || ask(server.service, &chat("umbrella", &session, "hi"));
    assert!(say().text().contains("Bye. "));
    let patched = prints(
        &server,
        &[
            "tenants",
            "patch",
            "umbrella",
            "--row",
            r#"{"welcome":"Again."}"#,
            "--if-version=2",
        ],
    );
    assert_eq!(cells(&patched)[0][2], "3");
    assert!(say().text().contains("Again. "));
    for (what, version, status) in [
        ("suspend", "3", 403),
        ("resume", "4", 200),
        ("archive", "5", 404),
    ] {
        prints(
            &server,
            &["tenants", what, "umbrella", "--if-version", version],
        );
        assert_eq!(say().status, status);
    }
    let purged = prints(&server, &["tenants", "purge", "umbrella", "--if-version=6"]);
    assert_eq!(purged, "umbrella is purged\n");
    let gone = complains(with(server.admin, &["tenants", "show", "umbrella"]), 1);
    assert_eq!(gone, "No such tenant: there is no such tenant");
    prints(&server, &["tenants", "archive", "acme"]);
    assert_eq!(
        prints(&server, &["tenants", "purge", "acme", "--output=json"]),
        ""
    );
}

#[test]
fn sessions_are_listed_and_revoked() {
    let server = Administered::start();
    let sessions = [(); 3].map(|()| open_session(server.service, "acme"));
    let listed = prints(&server, &["tenants", "sessions", "acme"]);
    assert!(
        sessions.iter().all(|session| listed.contains(session)),
        "{listed}"
    );
    let listed = json(&prints(
        &server,
        &["tenants", "sessions", "acme", "--output=json"],
    ));
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
    let one = ["tenants", "revoke", "acme", "--session", &*sessions[0]];
    assert_eq!(prints(&server, &one), "1 session ended\n");
    let line = complains(with(server.admin, &one), 1);
    assert_eq!(
        line,
        "No such session: the tenant has no such session, or it has ended"
    );
    let all = ["tenants", "revoke", "acme", "--all"];
    assert_eq!(prints(&server, &all), "2 sessions ended\n");
    let all = ["tenants", "revoke", "acme", "--all", "--output=json"];
    assert_eq!(prints(&server, &all), "{\"revoked\":0}\n");
    assert_eq!(
        ask(server.service, &chat("acme", &sessions[1], "hi")).status,
        403
    );
}

#[test]
fn the_audit_and_usage_are_shown() {
    let server = Administered::start();
    prints(&server, &["tenants", "suspend", "acme"]);
    let audit = cells(&prints(&server, &["audit"]));
    assert_eq!(audit.len(), 4);
    assert_eq!(
        audit[3][..5],
        ["4", "2023-11-14T22:13:23Z", "admin", "suspend", "acme"]
    );
    let audit = json(&prints(
        &server,
        &["audit", "--tenant=acme", "--output=json"],
    ));
    assert_eq!(audit[1]["after"]["state"], "suspended");

    let rows = (0..1500).map(|n| tenantry::state::UsageRow {
        tenant: 1,
        minute: 28_333_320 - n % 1400,
        usage: tenantry::state::Usage::from_numbers([1, 2, 3, 4, 5, 6]),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let added = runtime
        .expect("a runtime")
        .block_on(server.usage().add(rows.collect()));
    added.expect("in memory");
    let span = [
        "usage",
        "--from=2023-11-13T00:00:00+00:00",
        "--to=2023-11-15T00:00:00Z",
    ];
    let table = cells(&prints(&server, &[&span[..], &["--step=day"]].concat()));
    assert_eq!(table.len(), 2);
    assert_eq!(table[1][..2], ["2023-11-14T00:00:00Z", "acme"]);
    let minutes = [&span[..], &["--step=minute", "--tenant=acme"]].concat();
    let listed = json(&prints(
        &server,
        &[&minutes[..], &["--output=json"]].concat(),
    ));
    assert_eq!(listed.as_array().map(Vec::len), Some(1400));
    let csv = prints(&server, &[&minutes[..], &["--output=csv"]].concat());
    assert_eq!(csv.lines().count(), 1401);
    assert!(csv.starts_with("start,tenant,chats,"), "{csv}");
    let nobody = with(server.admin, &["usage", "--tenant=nobody", "--output=csv"]);
    assert_eq!(
        complains(nobody, 1),
        "No such tenant: there is no such tenant"
    );
}

#[test]
fn what_the_server_refuses_is_said_in_one_line() {
    let server = Administered::start();
    let refused = |args: &[&str]| complains(with(server.admin, args), 1);
    assert_eq!(
        refused(&[
            "tenants",
            "add",
            "a",
            "--row",
            r#"{"limits":{"sessions":-1},"name":"\n"}"#
        ]),
        "Invalid tenant: the row has problems, which are named; welcome: missing; it must be a \
         string; limits.sessions: a number instead of a whole number from 0 to 4294967295"
    );
    prints(&server, &["tenants", "add", "--row", ROW]);
    let line = refused(&["tenants", "add", "--row", ROW]);
    assert!(line.starts_with("Precondition failed: "), "{line}");
    let line = refused(&["tenants", "replace", "nobody", "--row", ROW]);
    assert!(line.starts_with("Invalid tenant: "), "{line}");
    let line = refused(&["tenants", "patch", "acme", "--row", "{}", "--if-version=9"]);
    assert!(line.starts_with("Precondition failed: "), "{line}");
    let line = refused(&["tenants", "purge", "acme"]);
    assert!(
        line.starts_with("Conflict: the tenant is active, "),
        "{line}"
    );
    let line = refused(&["usage", "--from=yesterday"]);
    assert!(
        line.contains("; from: \"yesterday\" is not right"),
        "{line}"
    );

    let other = private_file("cli-other-token", "another-token-than-it-is");
    let mut command = tenantry(&["tenants", "list", "--admin-token-file"]);
    command
        .arg(other)
        .args(["--server", &format!("http://{}", server.admin)]);
    let line = complains(command.output().expect("the program runs"), 1);
    assert_eq!(
        line,
        "Unauthorized: this is not the admin token of this server"
    );
}

#[test]
fn a_server_that_is_not_there_or_is_another_one_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let line = complains(with(address, &["tenants", "list"]), 1);
    let start =
        format!("http://{address} cannot be reached; start the server with `tenantry serve ");
    assert!(line.starts_with(&start), "{line}");
    assert!(line.contains("Connection refused"), "{line}");

    // The service itself.
    let server = Administered::start();
    let line = complains(with(server.service, &["tenants", "list"]), 1);
    let start = format!(
        "http://{} answers with 404, and not as the admin API does",
        server.service
    );
    assert!(line.starts_with(&start), "{line}");
    assert!(!line.contains(TOKEN));
}

/// Answers one request with these bytes, and closes the connection.
fn answers(bytes: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|read| read > 0) {
            head.extend(byte);
        }
        let _ = socket.write_all(bytes.as_bytes());
    });
    address
}

#[test]
fn an_answer_that_is_none_is_not_taken_for_one() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]";
    let line = complains(with(answers(ok), &["tenants", "list"]), 1);
    assert!(
        line.contains("answers with 200, and not as the admin API does"),
        "{line}"
    );
    let list = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"tenants\":{}}";
    let line = complains(with(answers(list), &["tenants", "list"]), 1);
    assert!(line.contains("not as the admin API does"), "{line}");
    let next = "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"tenants\":[],\"next\":12}";
    let line = complains(with(answers(next), &["tenants", "list"]), 1);
    assert!(line.contains("not as the admin API does"), "{line}");
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"tenants\"";
    let line = complains(with(answers(short), &["tenants", "list"]), 1);
    assert!(line.starts_with("the answer broke off; "), "{line}");
    let short = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nstart\r\n";
    let output = with(answers(short), &["usage", "--output=csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"start");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.starts_with("error: the answer broke off; "),
        "{error}"
    );
    let away = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let line = complains(with(answers(away), &["tenants", "list"]), 1);
    assert!(line.contains("answers with 302"), "{line}");
    // What a server says cannot steer the terminal.
    let evil = "HTTP/1.1 409 Conflict\r\ncontent-length: 44\r\n\r\n{\"title\":\"a\\u001b[1m\",\"detail\":\"b\\nc\\u202e\"}";
    let line = complains(with(answers(evil), &["tenants", "list"]), 1);
    assert_eq!(line, r"a\u{1b}[1m: b\u{a}c\u{202e}");
}

#[test]
fn wrong_usage_is_2() {
    let wrong = |args: &[&str], part: &str| {
        let mut command = tenantry(args);
        command.env("TENANTRY_ADMIN_TOKEN_FILE", token_file());
        let output = command.output().expect("the program runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(part), "{args:?}: {error}");
    };
    wrong(&["tenants"], "Usage: tenantry tenants");
    wrong(&["tenants", "add", "a"], "--file <FILE>|--row <JSON>");
    wrong(
        &["tenants", "add", "a", "--row={}", "--file=x"],
        "cannot be used with",
    );
    wrong(&["tenants", "revoke", "acme"], "--session <SESSION>|--all");
    wrong(
        &["tenants", "revoke", "acme", "--all", "--session=x"],
        "cannot be used with",
    );
    wrong(
        &["tenants", "list", "--state=gone"],
        "it must be active, suspended or archived",
    );
    wrong(&["usage", "--step=week"], "it must be minute, hour or day");
    wrong(&["audit", "--output=csv"], "possible values: table, json");
    for server in [
        "https://127.0.0.1:9001",
        "127.0.0.1:9001",
        "http://",
        "http://a/?b",
        "x y",
    ] {
        wrong(
            &["audit", "--server", server],
            "it must be as http://127.0.0.1:9001",
        );
    }
    for row in ["{}", "[]", "{", r#"{"id":1}"#, r#"{"id":""}"#] {
        wrong(
            &["tenants", "add", "--row", row],
            "the row must be a JSON object with an id",
        );
    }
    let path = ["tenants", "add", "a", "--file", "nowhere/row.json"];
    wrong(&path, "error: nowhere/row.json: the row cannot be read: ");
    let output = run(&["audit"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("TENANTRY_ADMIN_TOKEN_FILE in the environment"),
        "{error}"
    );
}

#[test]
fn nobody_to_print_for_is_an_error() {
    let server = Administered::start();
    for args in [["tenants", "list"].as_slice(), &["usage", "--output=csv"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = tenantry(args);
        command.env("TENANTRY_ADMIN_URL", format!("http://{}", server.admin));
        command.env("TENANTRY_ADMIN_TOKEN_FILE", token_file());
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
        let output = child
            .expect("the program starts")
            .wait_with_output()
            .expect("it ends");
        let line = complains(output, 1);
        assert!(
            line.contains("cannot be written to standard output"),
            "{line}"
        );
    }
}
