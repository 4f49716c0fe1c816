//! What `tenantry tenants`, `audit` and `usage` say where they cannot do what they are to do.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::Stdio,
    thread,
};

use super::commands::{ROW, complains, prints, with};
use crate::support::{
    admin::{Administered, TOKEN, private_file, token_file},
    program::{run, tenantry},
};

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
