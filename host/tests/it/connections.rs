//! What a connection does from one request to the next.

use tenantry_conformance::{Exchange, Reply};

use crate::support::{
    client::{Connection, chat, get, open_session},
    server::{Served, Setup, Way},
};

fn serve() -> Served {
    Setup::new(Way::Tenant).start()
}

fn session() -> Exchange {
    Exchange::post("/session", r#"{"tenant_id":"acme"}"#)
}

/// A POST /session with this body, in this many bytes.
fn post(headers: &str, body: &str) -> String {
    format!("POST /session HTTP/1.1\r\nhost: h\r\n{headers}\r\n{body}")
}

#[track_caller]
fn assert_ok(reply: Result<Reply, String>) -> Reply {
    let reply = reply.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    for _ in 0..3 {
        let reply = assert_ok(connection.exchange(&session()));
        assert_eq!(reply.header("connection"), None);
        let reply = connection.exchange(&get("/nothing")).expect("an answer");
        assert_eq!(reply.status, 404);
        let reply = connection.exchange(&Exchange::post("/session", "{"));
        assert_eq!(reply.expect("an answer").status, 422);
    }
}

#[test]
fn a_connection_ends_when_its_client_says_so() {
    let server = serve();
    for value in ["close", "Close", "keep-alive, close"] {
        let mut connection = Connection::open(server.address);
        connection.send(format!(
            "GET / HTTP/1.1\r\nhost: h\r\nconnection: {value}\r\n\r\n"
        ));
        let reply = assert_ok(connection.reply());
        assert_eq!(reply.header("connection"), Some("close"), "{value}");
        assert!(connection.is_closed(), "{value}");
    }
}

#[test]
fn nothing_is_answered_after_the_last_request() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    connection.send(
        "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\nGET /nothing HTTP/1.1\r\nhost: h\r\n\r\n",
    );
    assert_ok(connection.reply());
    assert_eq!(connection.rest().expect("the end"), b"");
}

#[test]
fn a_client_that_sends_on_after_its_last_request_can_read_the_answer() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    connection.send_all("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    for _ in 0..20 {
        connection.send_all("GET / HTTP/1.1\r\nhost: h\r\n\r\n".repeat(500));
    }
    assert_ok(connection.reply());
    assert!(connection.is_closed_gently());
}

#[test]
fn a_client_of_http_1_0_is_served_once_unless_it_asks_for_more() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    connection.send("GET / HTTP/1.0\r\n\r\n");
    assert_ok(connection.reply());
    assert!(connection.is_closed());

    let mut connection = Connection::open(server.address);
    for _ in 0..2 {
        connection.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        let reply = assert_ok(connection.reply());
        assert_eq!(reply.header("connection"), Some("keep-alive"));
    }
    connection.send("GET / HTTP/1.0\r\n\r\n");
    assert_ok(connection.reply());
    assert!(connection.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = serve();
    let id = open_session(server.address, "acme");
    let mut connection = Connection::open(server.address);
    let mut requests = Vec::new();
    for n in 0..200 {
        let request = chat("acme", &id, &format!("<{n:03}>"));
        requests.extend(crate::support::client::message(&request));
        requests.extend(b"GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n");
        requests.extend(b"HEAD /docs HTTP/1.1\r\nhost: h\r\n\r\n");
    }
    connection.send(requests);
    for n in 0..200 {
        let reply = assert_ok(connection.reply());
        assert!(reply.text().contains(&format!("<{n:03}>")));
        assert_eq!(connection.reply().expect("an answer").status, 404);
        assert_ok(connection.head_reply());
    }
}

#[test]
fn a_good_answer_is_sent_although_nonsense_follows() {
    let server = serve();
    for nonsense in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n", "\0"] {
        let mut connection = Connection::open(server.address);
        connection.send(post(
            "content-length: 20\r\n",
            &format!(r#"{{"tenant_id":"acme"}}{nonsense}"#),
        ));
        assert_ok(connection.reply());
        let reply = connection.reply().expect("an answer to nonsense");
        assert_eq!(reply.status, 400, "{nonsense:?}");
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(connection.is_closed());
    }
}

#[test]
fn a_good_answer_is_not_held_back_until_the_next_request_is_complete() {
    let server = serve();
    let next = "GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n";
    for cut in 1..next.len() {
        let (begun, rest) = next.split_at(cut);
        let mut connection = Connection::open(server.address);
        connection.send(format!("GET / HTTP/1.1\r\nhost: h\r\n\r\n{begun}"));
        assert_ok(connection.reply());
        connection.send(rest);
        assert_eq!(connection.reply().expect("an answer").status, 404, "{cut}");
    }
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let server = serve();
    let request = post("content-length: 20\r\n", r#"{"tenant_id":"acme"}"#);
    let mut connection = Connection::open(server.address);
    for byte in request.bytes() {
        connection.send([byte]);
    }
    assert_ok(connection.reply());
    for cut in 1..request.len() {
        let (first, second) = request.split_at(cut);
        connection.send(first);
        connection.send(second);
        assert_ok(connection.reply());
    }
}

#[test]
fn a_client_that_has_closed_its_side_gets_all_its_answers() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    let request = post("content-length: 20\r\n", r#"{"tenant_id":"acme"}"#);
    connection.send(request.repeat(50));
    connection.finish_sending();
    for _ in 0..50 {
        assert_ok(connection.reply());
    }
    assert!(connection.is_closed());
}

#[test]
fn a_request_that_is_cut_off_ends_its_connection() {
    let server = serve();
    let request = post("content-length: 20\r\n", r#"{"tenant_id":"acme"}"#);
    for cut in 0..request.len() {
        let mut connection = Connection::open(server.address);
        connection.send(&request[..cut]);
        connection.finish_sending();
        // Where the head is complete there may be an answer, but never a good one.
        let answer = connection.rest().expect("the end");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{cut}: {answer}"
        );
    }
    let sessions = Connection::open(server.address).exchange(&session());
    assert_ok(sessions);
}

#[test]
fn a_body_that_is_cut_off_opens_no_session() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    // Complete as JSON, but not as a body.
    connection.send(post("content-length: 21\r\n", r#"{"tenant_id":"acme"}"#));
    connection.finish_sending();
    let reply = connection.reply().expect("an answer");
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(connection.is_closed());
}

#[test]
fn chunked_bodies_are_put_together() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    let chunked = |chunks: &str| post("transfer-encoding: chunked\r\n", chunks);
    for chunks in [
        "14\r\n{\"tenant_id\":\"acme\"}\r\n0\r\n\r\n",
        "A\r\n{\"tenant_i\r\na\r\nd\":\"acme\"}\r\n0\r\n\r\n",
        "00014\r\n{\"tenant_id\":\"acme\"}\r\n000\r\n\r\n",
        "14;name=value;flag\r\n{\"tenant_id\":\"acme\"}\r\n0;last\r\n\r\n",
        "14\r\n{\"tenant_id\":\"acme\"}\r\n0\r\nchecksum: 1\r\nother: 2\r\n\r\n",
    ] {
        connection.send(chunked(chunks));
        let reply = connection.reply().expect("an answer");
        assert_eq!(reply.status, 200, "{chunks:?}: {}", reply.text());
    }
    // No body, in chunks.
    connection.send(chunked("0\r\n\r\n"));
    let reply = connection.reply().expect("an answer");
    assert!(reply.text().contains(r#""type":"missing","loc":["body"]"#));
    connection.send(post("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"));
    assert_eq!(connection.reply().expect("an answer").status, 422);
}

#[test]
fn a_body_is_asked_for_only_where_it_is_read() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    connection.send(post("content-length: 20\r\nexpect: 100-Continue\r\n", ""));
    let mut continued = [0; 25];
    std::io::Read::read_exact(&mut connection.stream(), &mut continued).expect("permission");
    assert_eq!(&continued, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.send(r#"{"tenant_id":"acme"}"#);
    assert!(!assert_ok(connection.reply()).continued);

    for (line, status) in [
        ("POST /nothing", 404),
        ("PUT /session", 405),
        ("GET /", 200),
        ("POST /session/", 307),
        ("GET /redoc/redoc.standalone.js", 200),
    ] {
        let mut connection = Connection::open(server.address);
        connection.send(format!(
            "{line} HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\nexpect: 100-continue\r\n\r\n"
        ));
        let reply = connection.reply().expect("an answer");
        assert_eq!((reply.status, reply.continued), (status, false), "{line}");
        // Whether the body follows is not known: what comes next is no request.
        assert_eq!(reply.header("connection"), Some("close"), "{line}");
        assert!(connection.is_closed(), "{line}");
    }
}

#[test]
fn a_client_that_expects_something_else_is_served() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    for expect in ["", "200-ok", "100-continue, 200-ok"] {
        let headers = format!("content-length: 20\r\nexpect: {expect}\r\n");
        connection.send(post(&headers, r#"{"tenant_id":"acme"}"#));
        let reply = assert_ok(connection.reply());
        assert!(!reply.continued, "{expect}");
        // Nor does it matter where the body is not read.
        connection.send(format!(
            "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\nexpect: {expect}\r\n\r\n{{}}"
        ));
        assert_ok(connection.reply());
    }
    // Nothing is expected where there is no body.
    connection.send("GET / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n\r\n");
    assert!(!assert_ok(connection.reply()).continued);
    assert_ok(connection.exchange(&get("/")));
}

#[test]
fn requests_to_upgrade_are_served_as_they_are() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    for upgrade in ["websocket", "h2c", "TLS/1.0"] {
        let headers = format!(
            "connection: upgrade\r\nupgrade: {upgrade}\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\ncontent-length: 20\r\n"
        );
        connection.send(post(&headers, r#"{"tenant_id":"acme"}"#));
        let reply = assert_ok(connection.reply());
        assert_eq!(reply.header("upgrade"), None);
        assert_ok(connection.exchange(&get("/")));
    }
}

#[test]
fn answers_have_a_date_and_do_not_name_the_server() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    let names = |reply: &Reply| {
        let names = reply.headers.iter().map(|(name, _)| name.clone());
        names.collect::<Vec<_>>().join(" ")
    };
    let reply = assert_ok(connection.exchange(&get("/")));
    assert_eq!(
        names(&reply),
        "content-type x-request-id content-length date"
    );
    let date = reply.header("date").expect("a date");
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");

    let reply = connection.exchange(&get("/chat")).expect("an answer");
    assert_eq!(
        names(&reply),
        "allow content-type x-request-id content-length date"
    );
    let reply = connection.exchange(&get("/chat/")).expect("an answer");
    assert_eq!(names(&reply), "location x-request-id content-length date");
    connection.send("nonsense\r\n\r\n");
    let reply = connection.reply().expect("an answer");
    assert_eq!(names(&reply), "x-request-id connection content-length date");
}

#[test]
fn an_answer_to_head_has_the_length_of_the_body_that_it_leaves_out() {
    let server = serve();
    let mut connection = Connection::open(server.address);
    for target in [
        "/",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/docs/oauth2-redirect",
        "/docs/swagger-ui.css",
        "/nothing",
        "/chat",
        "/chat/",
    ] {
        let full = connection.exchange(&get(target)).expect("an answer");
        let head = connection.exchange(&Exchange {
            method: "HEAD".to_owned(),
            ..get(target)
        });
        // A body would be taken for the next answer's head.
        let head = head.expect("an answer");
        assert_eq!(head.status, full.status, "{target}");
        let length = full.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(&*length), "{target}");
        assert_eq!(head.header("content-type"), full.header("content-type"));
    }
}
