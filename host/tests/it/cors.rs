//! Pages of other origins: which answers they may read, and that nobody else notices.

use std::time::Duration;

use tenantry::server::Origin;
use tenantry_conformance::{Exchange, Outcome, Reply, Runner, Wire, replay};

use crate::support::{
    client::{Connection, Sockets, ask, ask_alike, chat, get, message, open_session, with_header},
    program::{Program, run, tenantry},
    server::{Setup, Way},
    stores::SilentDirectory,
};

const PAGE: &str = "https://a.example";

fn setup(way: Way, origins: &[&str]) -> Setup {
    let mut setup = Setup::new(way);
    let origins = origins.iter().map(|text| text.parse().expect("an origin"));
    setup.task.cors_origins = origins.collect();
    setup
}

fn from(origin: &str, exchange: Exchange) -> Exchange {
    with_header(exchange, "origin", origin)
}

fn preflight(origin: &str, target: &str) -> Exchange {
    let options = Exchange {
        method: "OPTIONS".to_owned(),
        ..get(target)
    };
    let options = with_header(options, "access-control-request-method", "POST");
    let options = with_header(options, "access-control-request-headers", "content-type");
    from(origin, options)
}

/// Names and values of the headers that are there for pages of other origins.
fn cors_headers(reply: &Reply) -> Vec<(&str, &str)> {
    let headers = reply.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
    let mut headers: Vec<_> = headers
        .filter(|(name, _)| name.starts_with("access-control-") || *name == "vary")
        .collect();
    headers.sort_unstable();
    headers
}

fn assert_readable(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(
        cors_headers(reply),
        [
            ("access-control-allow-origin", PAGE),
            (
                "access-control-expose-headers",
                "ratelimit, ratelimit-policy, retry-after, x-request-id"
            ),
            ("vary", "origin"),
        ],
        "{status}"
    );
}

/// Sends what it is given as a page of another origin would.
struct Page {
    sockets: Sockets,
    /// Answers that it may read.
    readable: usize,
}

impl Runner for Page {
    fn send(&mut self, wire: &Wire) -> Outcome {
        let mut wire = wire.clone();
        let (Wire::Message(exchange) | Wire::Framed(exchange, _)) = &mut wire else {
            return self.sockets.send(&wire);
        };
        // Some of them come from elsewhere.
        let is_other = |(name, _): &(String, _)| !name.eq_ignore_ascii_case("origin");
        exchange.headers.retain(is_other);
        *exchange = from(PAGE, std::mem::take(exchange));
        let outcome = self.sockets.send(&wire);
        match &outcome {
            // The message was not HTTP, so nobody knows whose it was.
            Outcome::Reply(reply) if (reply.status, reply.body.len()) == (400, 0) => {}
            Outcome::Reply(reply) => {
                assert_readable(reply, reply.status);
                self.readable += 1;
            }
            Outcome::Skip(_) | Outcome::Broken(_) => {}
        }
        outcome
    }
}

#[test]
fn a_page_of_an_allowed_origin_gets_every_recorded_answer_and_may_read_it() {
    for way in Way::ALL {
        let server = setup(way, &["https://b.example", PAGE]).start();
        let mut page = Page {
            sockets: Sockets(server.address),
            readable: 0,
        };
        let report = replay(&mut page);
        report.assert_passed();
        assert_eq!(report.skipped, []);
        assert!(page.readable > 100, "{}", page.readable);
    }
}

#[test]
fn answers_of_the_server_itself_may_be_read() {
    let mut setup = setup(Way::Native, &[PAGE]);
    setup.task.server.max_body = 1000;
    setup.task.server.body_timeout = Duration::from_millis(50);
    let server = setup.start();
    let too_large = from(PAGE, Exchange::post("/chat", "x".repeat(1001)));
    assert_readable(&ask(server.address, &too_large), 413);

    let bytes = message(&from(PAGE, Exchange::post("/chat", "{}")));
    let mut connection = Connection::open(server.address);
    connection.send(&bytes[..bytes.len() - 1]);
    assert_readable(&connection.reply().expect("an answer"), 408);

    let mut connection = Connection::open(server.address);
    connection.send(format!(
        "POST /chat HTTP/1.1\r\nhost: a\r\norigin: {PAGE}\r\ntransfer-encoding: chunked\r\n\r\nno size\r\n"
    ));
    assert_readable(&connection.reply().expect("an answer"), 400);

    assert_readable(&ask(server.address, &from(PAGE, get("/chat/"))), 307);
}

#[test]
fn a_refusal_by_a_limit_may_be_read_with_its_headers() {
    let mut setup = setup(Way::Tenant, &[PAGE]);
    setup.task.rules.limits = true;
    setup.tenants = r#"{"id":"acme","name":"A","welcome":"w","limits":{"chat_per_10s":1}}"#.into();
    let server = setup.start();
    let session = open_session(server.address, "acme");
    for status in [200, 429] {
        let reply = ask(server.address, &from(PAGE, chat("acme", &session, "hi")));
        assert_readable(&reply, status);
        assert!(reply.header("ratelimit").is_some());
        assert_eq!(reply.header("retry-after").is_some(), status == 429);
    }
}

#[test]
fn a_store_that_is_silent_and_a_sandbox_that_fails_may_be_read() {
    let mut silent = setup(Way::Native, &[PAGE]);
    silent.task.server.request_timeout = Duration::from_millis(50);
    let state = tenantry::state::State {
        tenants: Box::new(SilentDirectory),
        ..silent.state()
    };
    let server = silent.start_with(state);
    assert_readable(&ask(server.address, &from(PAGE, get("/"))), 503);

    let failing = Setup {
        guest: &tenantry_misbehaving_component::MISBEHAVING,
        ..setup(Way::Tenant, &[PAGE])
    };
    let server = failing.start();
    let reply = ask(server.address, &from(PAGE, get("/?misbehave=panic")));
    assert_readable(&reply, 500);
}

#[test]
fn a_browser_that_asks_first_is_told_what_a_page_may_send() {
    let server = setup(Way::Native, &[PAGE]).start();
    for target in ["/session", "/chat", "/", "/docs", "/no/such/path", "*"] {
        let reply = ask(server.address, &preflight(PAGE, target));
        assert_eq!(reply.status, 204, "{target}");
        assert_eq!(reply.header("content-length"), None);
        assert_eq!(reply.header("content-type"), None);
        assert_eq!(
            cors_headers(&reply),
            [
                ("access-control-allow-headers", "content-type"),
                ("access-control-allow-methods", "GET, HEAD, POST"),
                ("access-control-allow-origin", PAGE),
                (
                    "access-control-expose-headers",
                    "ratelimit, ratelimit-policy, retry-after, x-request-id"
                ),
                ("access-control-max-age", "86400"),
                ("vary", "origin"),
            ]
        );
    }
    // It asks for no permission: an OPTIONS like any other.
    let options = Exchange {
        method: "OPTIONS".to_owned(),
        ..get("/chat")
    };
    let reply = ask(server.address, &from(PAGE, options));
    assert_readable(&reply, 405);
    assert_eq!(reply.header("allow"), Some("POST"));
}

#[test]
fn a_connection_goes_on_after_a_preflight() {
    let server = setup(Way::Native, &[PAGE]).start();
    let mut connection = Connection::open(server.address);
    let mut with_body = preflight(PAGE, "/chat");
    with_body.body = Some(b"a body that nobody reads".to_vec());
    for exchange in [preflight(PAGE, "/chat"), with_body] {
        let reply = connection.exchange(&exchange).expect("an answer");
        assert_eq!(reply.status, 204);
    }
    let reply = connection.exchange(&from(PAGE, get("/")));
    assert_readable(&reply.expect("an answer"), 200);
}

/// Requests of every kind, as a page would send them, and their preflights.
fn requests(origin: &str) -> Vec<Exchange> {
    let mut requests = Vec::new();
    for target in [
        "/",
        "/session",
        "/chat",
        "/docs",
        "/nowhere",
        "/chat/",
        "/docs/swagger-ui.css",
    ] {
        requests.push(preflight(origin, target));
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE"] {
            let exchange = Exchange {
                method: method.to_owned(),
                ..get(target)
            };
            requests.push(from(origin, exchange));
        }
    }
    requests
}

fn without_origin(exchange: &Exchange) -> Exchange {
    let mut exchange = exchange.clone();
    let is_kept = |(name, _): &(String, Vec<u8>)| name == "connection";
    exchange.headers.retain(is_kept);
    exchange
}

#[test]
fn without_the_flag_an_origin_changes_no_byte() {
    for way in [Way::Tenant, Way::Native] {
        let server = setup(way, &[]).start();
        for exchange in requests(PAGE) {
            let answer = ask_alike(server.address, &exchange);
            let plain = ask_alike(server.address, &without_origin(&exchange));
            assert_eq!(answer, plain, "{exchange:?}");
            assert!(!answer.contains("access-control"), "{answer}");
            assert!(!answer.contains("204 No Content"), "{answer}");
        }
    }
}

#[test]
fn with_the_flag_other_origins_and_none_get_what_they_get_without_it() {
    let with = setup(Way::Native, &[PAGE, "http://localhost:5173"]).start();
    let without = setup(Way::Native, &[]).start();
    for origin in [
        "https://b.example",
        "https://A.example",
        "http://a.example",
        "https://a.example:8443",
        "https://a.example.evil.example",
        "https://evil.a.example",
        "https://a.example/",
        "http://localhost",
        "null",
        "*",
        "",
    ] {
        for exchange in requests(origin) {
            let wanted = ask_alike(without.address, &exchange);
            assert_eq!(ask_alike(with.address, &exchange), wanted, "{exchange:?}");
            let plain = without_origin(&exchange);
            assert_eq!(ask_alike(with.address, &plain), wanted, "{plain:?}");
        }
    }
}

#[test]
fn any_origin_may_be_allowed() {
    for origins in [&["*"][..], &[PAGE, "*"]] {
        let server = setup(Way::Native, origins).start();
        for origin in [PAGE, "http://localhost:5173", "null"] {
            for exchange in [
                from(origin, get("/")),
                from(origin, get("/x")),
                preflight(origin, "/chat"),
            ] {
                let reply = ask(server.address, &exchange);
                let allowed = reply.header("access-control-allow-origin");
                assert_eq!(allowed, Some("*"));
                // The answer is the same to all of them.
                assert_eq!(reply.header("vary"), None);
                assert_eq!(reply.header("access-control-allow-credentials"), None);
            }
        }
        let reply = ask(server.address, &get("/"));
        assert_eq!(cors_headers(&reply), []);
    }
}

#[test]
fn pages_of_files_have_the_origin_null() {
    let server = setup(Way::Native, &["null"]).start();
    for exchange in [from("null", get("/")), preflight("null", "/chat")] {
        let reply = ask(server.address, &exchange);
        let allowed = reply.header("access-control-allow-origin");
        assert_eq!(allowed, Some("null"));
        assert_eq!(reply.header("vary"), Some("origin"));
    }
    let reply = ask(server.address, &from(PAGE, get("/")));
    assert_eq!(cors_headers(&reply), []);
}

#[test]
fn an_answer_that_varies_already_says_both() {
    let server = setup(Way::Native, &[PAGE]).start();
    for encoding in ["gzip", "identity"] {
        let exchange = from(PAGE, get("/docs/swagger-ui.css"));
        let exchange = with_header(exchange, "accept-encoding", encoding);
        let reply = ask(server.address, &exchange);
        let vary = cors_headers(&reply);
        let vary = vary.iter().filter(|(name, _)| *name == "vary");
        assert!(vary.eq(&[("vary", "accept-encoding, origin")]), "{reply:?}");
    }
}

#[test]
fn an_origin_is_kept_as_browsers_write_it() {
    for (text, kept) in [
        ("https://a.example", "https://a.example"),
        (" HTTPS://A.Example ", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("null", "null"),
    ] {
        match text.parse() {
            Ok(Origin::Named(name)) => assert_eq!(name, kept, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!("*".parse(), Ok(Origin::Any));
}

#[test]
fn what_is_no_origin_is_refused_at_the_start() {
    for text in [
        "",
        "a.example",
        "//a.example",
        "https://",
        "https://a.example/",
        "https://a.example/path",
        "https://a.example?query",
        "https://a.example#part",
        "https://me@a.example",
        "https://*.a.example",
        "https://a.example:",
        "https://a.example:65536",
        "https://a.example:+1",
        "https://a b.example",
        "https://ä.example",
        "https://[::1",
        "https://[::g]",
        "1a://a.example",
        "http:a.example",
        "https://a.example https://b.example",
        "nul",
        "**",
    ] {
        let output = run(&["serve", "--tenants=none.jsonl", "--cors-origin", text]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text:?}: {message}");
        assert!(message.contains("'--cors-origin <ORIGIN>'"), "{message}");
        assert!(message.contains(text), "{message}");
        let wanted = "it must be scheme://host or scheme://host:port, without a path";
        assert!(message.contains(wanted), "{text:?}: {message}");
    }
}

#[test]
fn origins_may_be_given_several_times_and_in_the_environment() {
    let several = [
        "--engine=native",
        "--cors-origin",
        PAGE,
        "--cors-origin=null",
    ];
    let mut command = tenantry(&["serve", "--listen=127.0.0.1:0", "--engine=native"]);
    command.env("TENANTRY_CORS_ORIGIN", format!("null, {PAGE}"));
    for server in [Program::serve(&several), Program::start(command)] {
        for (origin, is_allowed) in [(PAGE, true), ("null", true), ("https://b.example", false)] {
            let reply = ask(server.address, &from(origin, get("/")));
            let allowed = reply.header("access-control-allow-origin");
            assert_eq!(allowed, is_allowed.then_some(origin));
        }
    }
}
