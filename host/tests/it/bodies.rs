//! Bodies: how large they may be, and what becomes of those that nobody reads.

use std::io::{ErrorKind, Read, Write};

use tenantry_conformance::{Exchange, Reply};

use crate::support::{
    client::{Connection, chat, get, open_session},
    server::{Served, Setup, Way},
};

const MIB: usize = 1 << 20;

fn serve() -> Served {
    Setup::new(Way::Tenant).start()
}

/// A JSON text of this many bytes that opens a session.
fn json_of(bytes: usize) -> String {
    let start = r#"{"tenant_id":"acme","filler":""#;
    format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2))
}

/// A POST /session whose body comes in chunks of 10,000 bytes.
fn chunked(body: &str) -> Vec<u8> {
    let mut request =
        b"POST /session HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.as_bytes().chunks(10_000) {
        request.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[track_caller]
fn assert_too_large(reply: Result<Reply, String>) {
    let reply = reply.expect("an answer");
    assert_eq!(reply.status, 413);
    assert_eq!(reply.text(), r#"{"detail":"Request body too large"}"#);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("connection"), Some("close"));
}

#[test]
fn a_body_may_have_as_many_bytes_as_the_settings_say_and_not_one_more() {
    for max_body in [100, 70_000, MIB] {
        let mut setup = Setup::new(Way::Tenant);
        setup.task.server.max_body = max_body;
        let server = setup.start();
        let mut connection = Connection::open(server.address);
        for _ in 0..2 {
            let reply = connection.exchange(&Exchange::post("/session", json_of(max_body)));
            assert_eq!(reply.expect("an answer").status, 200, "{max_body}");
            connection.send_all(chunked(&json_of(max_body)));
            assert_eq!(connection.reply().expect("an answer").status, 200);
        }
        let too_large = json_of(max_body + 1);
        assert_too_large(connection.exchange(&Exchange::post("/session", &*too_large)));
        assert!(connection.is_closed_gently());

        let mut connection = Connection::open(server.address);
        connection.send_all(chunked(&too_large));
        assert_too_large(connection.reply());
        assert!(connection.is_closed_gently());
    }
}

#[test]
fn a_length_that_is_too_large_is_refused_before_the_body_comes() {
    let server = serve();
    for length in ["1048577", "9999999999999999999", "18446744073709551613"] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let mut connection = Connection::open(server.address);
            connection.send_all(format!(
                "POST /chat HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n{expect}\r\n"
            ));
            let reply = connection.reply();
            assert!(reply.as_ref().is_ok_and(|reply| !reply.continued));
            assert_too_large(reply);
        }
    }
}

#[test]
fn chunks_that_become_too_large_are_refused_before_the_last_one_comes() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    connection.send_all("POST /chat HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    connection.send_all(chunk.repeat(17));
    assert_too_large(connection.reply());
}

#[test]
fn a_client_that_sends_all_of_a_large_body_first_can_read_the_answer() {
    let server = serve();
    let body = " ".repeat(6 * MIB);
    for _ in 0..5 {
        let mut connection = Connection::open(server.address);
        connection.send_all(format!(
            "POST /chat HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n",
            body.len()
        ));
        connection.send_all(&body);
        assert_too_large(connection.reply());
        assert!(connection.is_closed_gently());

        let mut connection = Connection::open(server.address);
        connection.send_all(chunked(&body));
        assert_too_large(connection.reply());
        assert!(connection.is_closed_gently());
    }
}

#[test]
fn a_body_without_end_is_not_read_without_end() {
    let server = serve();
    for request in [
        "POST /chat HTTP/1.1\r\nhost: h\r\ncontent-length: 9999999999999\r\n\r\n",
        "POST /nothing HTTP/1.1\r\nhost: h\r\ncontent-length: 9999999999999\r\n\r\n",
    ] {
        let connection = Connection::open(server.address);
        let mut stream = connection.stream();
        stream.write_all(request.as_bytes()).expect("a request");
        // What is taken before the connection breaks: the bounds, and what is on its way.
        let mut sent = 0;
        let error = loop {
            match stream.write(&[b' '; 64 << 10]) {
                Ok(bytes) => sent += bytes,
                Err(error) => break error,
            }
            assert!(sent < 64 * MIB, "{request}");
        };
        let broken = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(broken.contains(&error.kind()), "{error}");
    }
}

#[test]
fn bodies_that_nobody_wants_do_not_break_the_connection() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    for size in [1, 100, 100_000, 3 * MIB] {
        for (method, target, status) in [
            ("GET", "/", 200),
            ("GET", "/docs/swagger-ui.css", 200),
            ("POST", "/nothing", 404),
            ("PUT", "/chat", 405),
            ("POST", "/chat/", 307),
        ] {
            let request = Exchange {
                method: method.to_owned(),
                ..Exchange::post(target, vec![b'G'; size])
            };
            let reply = connection.exchange(&request).expect("an answer");
            assert_eq!(reply.status, status, "{method} {target}");
            assert_eq!(reply.header("connection"), None);

            let chunks = chunked(&"G".repeat(size));
            let line_end = chunks.iter().position(|&byte| byte == b'\r');
            let rest = &chunks[line_end.expect("a line")..];
            connection.send_all(format!("{method} {target} HTTP/1.1"));
            connection.send_all(rest);
            assert_eq!(connection.reply().expect("an answer").status, status);
        }
    }
    let reply = connection.exchange(&get("/")).expect("an answer");
    assert_eq!(reply.status, 200);
}

#[test]
fn pipelined_requests_with_bodies_that_nobody_wants_are_all_answered() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    let request = "GET /docs HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nGET";
    connection.send_all(request.repeat(300));
    for _ in 0..300 {
        assert_eq!(connection.reply().expect("an answer").status, 200);
    }
}

#[test]
fn a_client_that_sends_and_never_reads_is_not_listened_to_any_more() {
    let server = serve();
    for request in [
        "HEAD / HTTP/1.1\r\nhost: h\r\n\r\n",
        "HEAD / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx",
        "HEAD / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx",
    ] {
        let connection = Connection::open(server.address);
        let mut stream = connection.stream();
        let patience = std::time::Duration::from_secs(1);
        stream.set_write_timeout(Some(patience)).expect("a socket");
        let many = request.repeat(1000);
        let mut sent = 0;
        // Its answers fill the buffers of the system, and not the server's memory.
        while let Ok(bytes) = stream.write(many.as_bytes()) {
            sent += bytes;
            assert!(sent < 64 * MIB, "{request}");
        }
        // Once it does read, it is listened to again.
        let mut answers = vec![0; MIB];
        stream.read_exact(&mut answers).expect("answers");
    }
}

#[test]
fn a_large_answer_reaches_a_client_that_reads_slowly() {
    let server = serve();
    let id = open_session(server.address, "globex");
    // In capitals, two bytes become six.
    let message = "\u{390}".repeat(500_000);
    let mut connection = Connection::open(server.address);
    connection.send_exchange(&chat("globex", &id, &message));
    let mut stream = connection.stream();
    let mut answer = Vec::new();
    let mut piece = [0; 50_000];
    while !answer.ends_with(b"\"mock\":true}") {
        let read = stream.read(&mut piece).expect("more of the answer");
        assert_ne!(read, 0, "the answer is cut off");
        answer.extend(&piece[..read]);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(answer.len() > 3_000_000 - 1000, "{}", answer.len());
    let upper = "\u{399}\u{308}\u{301}".repeat(500_000);
    let answer = String::from_utf8(answer).expect("UTF-8");
    assert!(answer.contains(&upper));
    let reply = connection.exchange(&get("/")).expect("an answer");
    assert_eq!(reply.status, 200);
}
