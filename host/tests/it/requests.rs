//! Requests that are odd, malformed or malicious: each gets an answer below 500 or an end,
//! and none disturbs another.

use crate::support::{
    client::{Connection, ask, get},
    server::{Served, Setup, Way},
};

fn serve() -> Served {
    Setup::new(Way::Tenant).start()
}

/// The statuses of everything that is answered to `bytes` until the end.
#[track_caller]
fn statuses(server: &Served, bytes: impl AsRef<[u8]>) -> Vec<u16> {
    let mut connection = Connection::open(server.address);
    connection.send(&bytes);
    connection.finish_sending();
    let answers = connection.rest().expect("an end");
    let mut statuses = Vec::new();
    let mut left = &answers[..];
    while !left.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(end)) = head.parse(left) else {
            panic!("no answer: {}", String::from_utf8_lossy(left));
        };
        let length = head.headers.iter().find(|h| h.name == "content-length");
        let length = std::str::from_utf8(length.expect("a length").value).expect("digits");
        statuses.push(head.code.expect("a status"));
        left = &left[end + length.parse::<usize>().expect("a number")..];
    }
    statuses
}

#[track_caller]
fn assert_statuses(server: &Served, bytes: impl AsRef<[u8]>, wanted: &[u16]) {
    let shown = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    let shown: String = shown.chars().take(200).collect();
    assert_eq!(statuses(server, bytes), wanted, "{shown:?}");
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n";

#[test]
fn the_opening_of_http_2_is_answered_with_400() {
    let server = serve();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    for rest in [&b""[..], settings, &[0; 100_000]] {
        let mut connection = Connection::open(server.address);
        connection.send_all([preface, rest].concat());
        let reply = connection.reply().expect("an answer");
        assert_eq!(reply.status, 400);
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(reply.header("date").is_some());
        assert_eq!(reply.text(), "");
        assert!(connection.is_closed_gently());
    }
    // In pieces, and after a request.
    let mut connection = Connection::open(server.address);
    let reply = connection.exchange(&get("/")).expect("an answer");
    assert_eq!(reply.status, 200);
    let (first, second) = preface.split_at(20);
    connection.send(first);
    connection.send(second);
    assert_eq!(connection.reply().expect("an answer").status, 400);
    assert!(connection.is_closed());
}

#[test]
fn a_length_and_chunks_together_smuggle_nothing() {
    let server = serve();
    let body = "0\r\n\r\n";
    for headers in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 40\r\n",
        "content-length: 40\r\ntransfer-encoding: chunked\r\n",
    ] {
        let request = format!("POST /session HTTP/1.1\r\nhost: h\r\n{headers}\r\n{body}{SMUGGLED}");
        // Chunks win, and nothing on this connection is believed any more.
        assert_statuses(&server, request, &[422]);
    }
}

#[test]
fn lengths_that_are_none_are_refused() {
    let server = serve();
    for lengths in [
        "content-length: 0\r\ncontent-length: 5\r\n",
        "content-length: 0, 5\r\n",
        "content-length: +0\r\n",
        "content-length: -1\r\n",
        "content-length: 0x0\r\n",
        "content-length:\r\n",
        "content-length: 0 0\r\n",
        "content-length: 18446744073709551616\r\n",
        "content-length: 99999999999999999999999999\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\n{lengths}\r\n{SMUGGLED}");
        assert_statuses(&server, request, &[400]);
    }
    // The same length twice says the same.
    let twice = "content-length: 2\r\ncontent-length: 2\r\n";
    let request = format!("GET / HTTP/1.1\r\nhost: h\r\n{twice}\r\n{{}}{SMUGGLED}");
    assert_statuses(&server, request, &[200, 404]);
}

#[test]
fn transfer_encodings_other_than_chunked_are_refused() {
    let server = serve();
    for coding in [
        "gzip",
        "chunked, gzip",
        "identity",
        "",
        "xchunked",
        "chunked;",
    ] {
        let request = format!(
            "POST /session HTTP/1.1\r\nhost: h\r\ntransfer-encoding: {coding}\r\n\r\n{SMUGGLED}"
        );
        assert_statuses(&server, request, &[400]);
    }
    let request =
        format!("POST /session HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    assert_statuses(&server, request, &[400]);
}

#[test]
fn malformed_chunks_are_refused() {
    let server = serve();
    for chunks in [
        "x\r\n",
        "-1\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}x0\r\n\r\n",
        "3\r\n{}\r\n0\r\n\r\n",
        "11111111111111111\r\n{}\r\n0\r\n\r\n",
        "2\n{}\n0\n\n",
        "2;\n{}\r\n0\r\n\r\n",
    ] {
        let request = format!(
            "POST /session HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{SMUGGLED}"
        );
        assert_statuses(&server, request, &[400]);
    }
}

#[test]
fn malformed_headers_are_refused() {
    let server = serve();
    for header in [
        "a: b\r\n folded: c",
        "a: b\r\n\tfolded",
        " a: b",
        ": b",
        "a",
        "a : b",
        "a b: c",
        "a\0: b",
        "a: b\0c",
        "a: b\x07c",
        "a: b\x7fc",
        "a: b\rc",
        "ä: b",
        "(a): b",
    ] {
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\n{header}\r\n\r\n{SMUGGLED}");
        assert_statuses(&server, request, &[400]);
    }
    let odd = b"\r\n\r\nGET / HTTP/1.1\r\na:\r\nb:\t\xe4\xff \r\nHOST: x\r\n\r\n";
    assert_statuses(&server, odd, &[200]);
}

#[test]
fn malformed_request_lines_are_refused() {
    let server = serve();
    for line in [
        "",
        "GET",
        "GET /",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/3.0",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET / HTTP/1.1 x",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        " GET / HTTP/1.1",
        "G@T / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET http:// HTTP/1.1",
        // What the parser of targets does not take.
        "GET /< HTTP/1.1",
        "GET /> HTTP/1.1",
        "GET /` HTTP/1.1",
        "GET /?\" HTTP/1.1",
    ] {
        let statuses = statuses(&server, format!("{line}\r\nhost: h\r\n\r\n{SMUGGLED}"));
        assert_eq!(statuses, [400], "{line:?}");
    }
}

#[test]
fn targets_come_in_all_their_forms() {
    let server = serve();
    for (line, status) in [
        ("GET http://elsewhere/ HTTP/1.1", 200),
        ("GET http://elsewhere:99/docs?x HTTP/1.1", 200),
        ("GET http://elsewhere HTTP/1.1", 200),
        ("GET https://user@elsewhere/nothing HTTP/1.1", 404),
        ("OPTIONS * HTTP/1.1", 404),
        ("GET * HTTP/1.1", 404),
        ("GET /#fragment HTTP/1.1", 200),
        ("GET /docs?query#fragment HTTP/1.1", 200),
        ("GET /?a=b&c={}|^[] HTTP/1.1", 200),
        ("GET //elsewhere/ HTTP/1.1", 404),
        ("GET /%zz%00 HTTP/1.1", 404),
        ("GET elsewhere HTTP/1.1", 404),
        ("CONNECT elsewhere:443 HTTP/1.1", 404),
        ("CONNECT / HTTP/1.1", 405),
        ("BREW / HTTP/1.1", 405),
        ("get / HTTP/1.1", 405),
    ] {
        let request = format!("{line}\r\nhost: h\r\n\r\n");
        assert_statuses(&server, request, &[status]);
    }
}

#[test]
fn a_connection_survives_a_request_for_a_tunnel() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    connection.send("CONNECT elsewhere:443 HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(connection.reply().expect("an answer").status, 404);
    let reply = connection.exchange(&get("/")).expect("an answer");
    assert_eq!(reply.status, 200);
}

#[test]
fn a_head_may_have_as_many_bytes_as_the_settings_say_and_not_one_more() {
    for max_head in [8 << 10, 16 << 10, 50_000, 1 << 20] {
        let mut setup = Setup::new(Way::Native);
        setup.task.server.max_head = max_head;
        let server = setup.start();
        let with_bytes = |bytes: usize| {
            let start = "GET / HTTP/1.1\r\nhost: h\r\na: ";
            let filler = "x".repeat(bytes - start.len() - 4);
            format!("{start}{filler}\r\n\r\n")
        };
        let mut connection = Connection::open(server.address);
        for _ in 0..2 {
            connection.send(with_bytes(max_head));
            let reply = connection.reply().expect("an answer");
            assert_eq!(reply.status, 200, "{max_head}");
        }
        connection.send(with_bytes(max_head + 1));
        let reply = connection.reply().expect("an answer");
        assert_eq!(reply.status, 431, "{max_head}");
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(connection.is_closed());
    }
}

#[test]
fn a_client_that_is_still_sending_its_head_can_read_that_it_is_too_large() {
    let server = serve();
    let header = format!("a: {}\r\n", "x".repeat(1000));
    let mut connection = Connection::open(server.address);
    connection.send_all("GET / HTTP/1.1\r\n");
    for _ in 0..4000 {
        connection.send_all(&header);
    }
    assert_eq!(connection.reply().expect("an answer").status, 431);
    assert!(connection.is_closed_gently());
}

#[test]
fn headers_without_number_are_refused() {
    let server = serve();
    let with_headers =
        |n: usize| format!("GET / HTTP/1.1\r\nhost:h\r\n{}\r\n", "a:b\r\n".repeat(n));
    assert_statuses(&server, with_headers(255), &[200]);
    assert_statuses(&server, with_headers(256), &[431]);
    assert_statuses(&server, with_headers(10_000), &[431]);
}

#[test]
fn trailers_and_extensions_without_end_are_refused() {
    let server = serve();
    let start = "POST /session HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    let trailer = format!("a: {}\r\n", "x".repeat(1000));
    for endless in [
        format!("0\r\n{}\r\n", trailer.repeat(1000)),
        format!("0;{}\r\n\r\n", "x".repeat(1_000_000)),
    ] {
        assert_statuses(&server, format!("{start}{endless}"), &[400]);
    }
}

#[test]
fn long_targets_are_served_up_to_the_bound() {
    let server = serve();
    let long = |bytes| format!("/{}", "x".repeat(bytes));
    assert_eq!(ask(server.address, &get(&long(60_000))).status, 404);
    assert_eq!(ask(server.address, &get(&long(65_600))).status, 431);

    let mut setup = Setup::new(Way::Native);
    setup.task.server.max_head = 1 << 20;
    let server = setup.start();
    assert_eq!(ask(server.address, &get(&long(65_533))).status, 404);
    assert_eq!(ask(server.address, &get(&long(65_534))).status, 414);
}
