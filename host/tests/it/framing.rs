//! Requests that a proxy in front could read otherwise than the server does.

use crate::support::{
    client::Connection,
    server::{Served, Setup, Way},
};

fn serve() -> Served {
    Setup::new(Way::Tenant).start()
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n";

/// Sends a request, and another one behind it; it must be refused with this detail, and the
/// other one not be answered.
#[track_caller]
fn assert_refused(server: &Served, request: &str, detail: &str) {
    let mut connection = Connection::open(server.address);
    connection.send(format!("{request}{SMUGGLED}"));
    let reply = connection.reply().expect("an answer");
    assert_eq!(reply.status, 400, "{request:?}");
    assert_eq!(reply.text(), format!(r#"{{"detail":"{detail}"}}"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(reply.header("x-request-id").is_some());
    assert_eq!(connection.rest().expect("the end"), b"", "{request:?}");
}

#[track_caller]
fn assert_status(server: &Served, request: &str, status: u16) {
    let mut connection = Connection::open(server.address);
    connection.send(request);
    let reply = connection.reply().expect("an answer");
    assert_eq!(reply.status, status, "{request:?}: {}", reply.text());
}

#[test]
fn a_request_of_http_1_1_has_one_host() {
    let server = serve();
    for line in [
        "GET / HTTP/1.1",
        "GET /nothing HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET http://elsewhere/ HTTP/1.1",
        "GET /docs/swagger-ui.css HTTP/1.1",
    ] {
        assert_refused(
            &server,
            &format!("{line}\r\n\r\n"),
            "Host header is missing",
        );
    }
    for hosts in [
        "host: a\r\nhost: b",
        "host: a\r\nHost: a",
        "Host:\r\nhost: a",
    ] {
        for version in ["1.1", "1.0"] {
            let request = format!("GET / HTTP/{version}\r\n{hosts}\r\n\r\n");
            assert_refused(&server, &request, "Host header is repeated");
        }
    }
    // What it says is not looked at.
    for host in [
        "",
        "a b",
        "user@h",
        "[::1]:80",
        "EXAMPLE.com:8080",
        "a,b",
        "\u{e4}",
    ] {
        assert_status(
            &server,
            &format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            200,
        );
    }
    assert_status(&server, "GET / HTTP/1.0\r\n\r\n", 200);
    assert_status(&server, "GET / HTTP/1.0\r\nhost: h\r\n\r\n", 200);
}

#[test]
fn chunked_is_the_one_encoding_and_is_said_once() {
    let server = serve();
    let detail = "Transfer-Encoding is not chunked once";
    for encoding in [
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: ,chunked",
        "content-length: 5\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
    ] {
        for line in ["POST /session", "GET /", "POST /nothing"] {
            let request = format!("{line} HTTP/1.1\r\nhost: h\r\n{encoding}\r\n\r\n0\r\n\r\n");
            assert_refused(&server, &request, detail);
        }
    }
    let body = "14\r\n{\"tenant_id\":\"acme\"}\r\n0\r\n\r\n";
    for encoding in ["chunked", "Chunked", " \tchunked\t "] {
        let request = format!(
            "POST /session HTTP/1.1\r\nhost: h\r\ntransfer-encoding:{encoding}\r\n\r\n{body}"
        );
        assert_status(&server, &request, 200);
    }
}

#[test]
fn chunks_count_where_there_is_a_length_too_and_the_connection_ends() {
    let server = serve();
    let body = "14\r\n{\"tenant_id\":\"acme\"}\r\n0\r\n\r\n";
    for headers in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 500",
        "content-length: 20\r\ntransfer-encoding: chunked\r\ncontent-length: 30",
    ] {
        let mut connection = Connection::open(server.address);
        connection.send(format!(
            "POST /session HTTP/1.1\r\nhost: h\r\n{headers}\r\n\r\n{body}{SMUGGLED}"
        ));
        let reply = connection.reply().expect("an answer");
        assert_eq!(reply.status, 200, "{headers}: {}", reply.text());
        assert_eq!(reply.header("connection"), Some("close"), "{headers}");
        assert_eq!(connection.rest().expect("the end"), b"", "{headers}");
    }
}

#[test]
fn a_length_beyond_all_measure_is_too_large_and_one_that_is_none_is_malformed() {
    let server = serve();
    for (length, status) in [
        ("1048577", 413),
        ("18446744073709551613", 413),
        ("18446744073709551614", 413),
        ("18446744073709551615", 413),
        ("18446744073709551616", 400),
        ("+5", 400),
        ("-5", 400),
        ("5, 5", 400),
        ("5 5", 400),
        ("0x5", 400),
        ("5;a", 400),
        ("5\x0b", 400),
    ] {
        for body in ["", "hello", &"\n".repeat(200)] {
            let mut connection = Connection::open(server.address);
            connection.send(format!(
                "POST /session HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{body}"
            ));
            let reply = connection.reply().expect("an answer");
            assert_eq!(reply.status, status, "{length}");
            assert_eq!(reply.header("connection"), Some("close"), "{length}");
            assert!(reply.header("x-request-id").is_some(), "{length}");
            let detail = match status {
                413 => r#"{"detail":"Request body too large"}"#,
                _ => "",
            };
            assert_eq!(reply.text(), detail, "{length}");
            assert!(connection.is_closed(), "{length}");
        }
    }
}
