//! What the log says of each request, and the id by which a client can ask about it.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;
use tenantry::state::{Answer, Entry, SessionStore, State};
use tenantry_conformance::{Exchange, Reply};
use tenantry_core::{
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
};

use crate::support::{
    client::{Connection, PATIENCE, ask, chat, get, open_session, with_header},
    database::{Database as _, Postgres, import},
    program::Program,
    server::{Setup, Way},
};

/// Stops a program and returns what its log says of requests.
fn records(program: Program) -> Vec<Value> {
    program.signal("TERM");
    let (status, _, log) = program.wait();
    assert!(status.success(), "{log}");
    let records = log.lines().map(serde_json::from_str);
    let mut records: Vec<Value> = records.collect::<Result<_, _>>().expect(&log);
    records.retain(|record| record["target"] == "tenantry::access");
    records
}

fn id_of(reply: &Reply) -> String {
    let mut ids = reply
        .headers
        .iter()
        .filter(|(name, _)| name == "x-request-id");
    let (_, id) = ids.next().expect("an id");
    assert!(ids.next().is_none(), "one id");
    id.clone()
}

#[test]
fn every_answer_has_an_id_and_the_log_has_it_too() {
    let program = Program::serve(&["--log=json", "--cors-origin=http://a.example"]);
    let address = program.address;
    let session = open_session(address, "acme");
    let preflight = Exchange {
        method: "OPTIONS".to_owned(),
        ..with_header(
            with_header(get("/chat"), "origin", "http://a.example"),
            "access-control-request-method",
            "POST",
        )
    };
    let head = Exchange {
        method: "HEAD".to_owned(),
        ..get("/")
    };
    let mut wanted = Vec::new();
    for (exchange, status, error) in [
        (chat("acme", &session, "hi"), 200, None),
        (get("/docs/swagger-ui.css"), 200, None),
        (preflight, 204, None),
        (head, 200, None),
        (get("/docs/"), 307, None),
        (get("/nothing"), 404, Some("not_found")),
        (get("/chat"), 405, Some("method_not_allowed")),
        (chat("nobody", &session, "hi"), 404, Some("unknown_tenant")),
        (chat("acme", "none", "hi"), 404, Some("unknown_session")),
        (chat("globex", &session, "hi"), 403, Some("foreign_session")),
        (Exchange::post("/chat", "{}"), 422, Some("validation")),
        (Exchange::post("/chat", "{"), 422, Some("invalid_json")),
        (
            Exchange::post("/chat", b"\xff".as_slice()),
            400,
            Some("unreadable_body"),
        ),
        (
            Exchange::post("/chat", "x".repeat(2 << 20)),
            413,
            Some("body_too_large"),
        ),
    ] {
        let reply = ask(address, &exchange);
        assert_eq!(reply.status, status, "{exchange:?}");
        wanted.push((id_of(&reply), status, error));
    }
    for (bytes, status, error) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "host_missing"),
        (
            format!(
                "GET / HTTP/1.1\r\nhost: h\r\na: {}\r\n\r\n",
                "x".repeat(70_000)
            ),
            431,
            "head_too_large",
        ),
        (
            "POST /chat HTTP/1.1\r\nhost: h\r\ncontent-length: 18446744073709551615\r\n\r\n"
                .to_owned(),
            413,
            "body_too_large",
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            400,
            "malformed_request",
        ),
    ] {
        let mut connection = Connection::open(address);
        connection.send(&bytes);
        let reply = connection.reply().expect("an answer");
        assert_eq!(reply.status, status, "{error}");
        wanted.push((id_of(&reply), status, Some(error)));
        assert!(connection.is_closed(), "{error}");
    }
    let records = records(program);
    assert_eq!(records.len(), wanted.len() + 1);
    for (record, (id, status, error)) in records.iter().skip(1).zip(&wanted) {
        assert_eq!(record["request_id"], id.as_str());
        assert_eq!(record["status"], *status);
        assert_eq!(record["error"].as_str(), *error, "{record}");
        assert_eq!(record["client"], "127.0.0.1");
    }
    let ids: BTreeSet<_> = wanted.iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), wanted.len());
}

#[test]
fn a_line_has_the_bytes_of_both_bodies_and_what_the_client_calls_itself() {
    let program = Program::serve(&["--log=json", "--engine=native"]);
    let session = open_session(program.address, "acme");
    let request = with_header(chat("acme", &session, "hi"), "user-agent", "curl/8.1 (x)");
    let reply = ask(program.address, &request);
    let long = with_header(get("/nothing"), "user-agent", &"a\u{202e}".repeat(2000));
    ask(program.address, &long);
    let asset = ask(program.address, &get("/docs/swagger-ui.css"));
    let records = records(program);
    let chat = &records[1];
    assert_eq!(chat["user_agent"], "curl/8.1 (x)");
    let sent = request.body.expect("a body").len();
    assert_eq!(chat["bytes_in"], sent);
    assert_eq!(chat["bytes_out"], reply.body.len());
    assert!(chat["error"].is_null() && chat["store"].is_null());
    let user_agent = records[2]["user_agent"].as_str().expect("a text");
    assert!(
        user_agent.starts_with(r"a\xe2\x80\xaea\xe2"),
        "{user_agent}"
    );
    assert!(user_agent.len() <= 4 * 256 && user_agent.is_ascii());
    assert!(records[0]["user_agent"].is_null());
    assert_eq!(records[3]["bytes_out"], asset.body.len());
}

#[test]
fn only_a_trusted_proxy_is_believed_whom_a_request_is_from_and_what_it_is_called() {
    let asked = |address: SocketAddr| {
        let request = with_header(get("/nothing"), "x-request-id", "proxy-1");
        let request = with_header(request, "x-forwarded-for", "203.0.113.9, 10.0.0.1");
        id_of(&ask(address, &request))
    };
    let trusting = Program::serve(&["--log=json", "--trusted-proxy=127.0.0.1,10.0.0.0/8"]);
    assert_eq!(asked(trusting.address), "proxy-1");
    let records_of = |program| records(program).remove(0);
    let record = records_of(trusting);
    assert_eq!(record["request_id"], "proxy-1");
    assert_eq!(record["client"], "203.0.113.9");

    for args in [
        &["--log=json"][..],
        &["--log=json", "--trusted-proxy=10.0.0.0/8"],
    ] {
        let program = Program::serve(args);
        let id = asked(program.address);
        assert_ne!(id, "proxy-1");
        let record = records_of(program);
        assert_eq!(record["request_id"], id.as_str());
        assert_eq!(record["client"], "127.0.0.1");
    }
}

#[test]
fn an_id_that_is_none_is_not_passed_on() {
    let program = Program::serve(&["--log=json", "--trusted-proxy=127.0.0.1"]);
    let long = "x".repeat(129);
    for bad in ["", "a b", "a\u{85}b", "\"a\"", "<script>", &long] {
        let reply = ask(program.address, &with_header(get("/"), "x-request-id", bad));
        let id = id_of(&reply);
        assert!(id != bad && id.len() < 30, "{id}");
    }
    let twice = with_header(
        with_header(get("/"), "x-request-id", "a"),
        "x-request-id",
        "b",
    );
    let id = id_of(&ask(program.address, &twice));
    assert!(id != "a" && id != "b", "{id}");
}

/// The lines that this process logs.
fn captured() -> &'static Arc<Mutex<Vec<u8>>> {
    static LINES: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    LINES.get_or_init(|| {
        let lines = Arc::<Mutex<Vec<u8>>>::default();
        let writer = Arc::clone(&lines);
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || Lines(Arc::clone(&writer)))
            .finish();
        // No other test of this process has one.
        tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
        lines
    })
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line about the request with that id.
fn line_about(id: &str) -> Value {
    let start = Instant::now();
    loop {
        let text = String::from_utf8(captured().lock().clone()).expect("UTF-8");
        let mut lines = text
            .lines()
            .filter(|line| line.contains("tenantry::access"));
        if let Some(line) = lines.find(|line| line.contains(id)) {
            return serde_json::from_str(line).expect("JSON");
        }
        assert!(start.elapsed() < PATIENCE, "no line about {id}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sessions whose disk is full, now or later.
struct Full {
    is_later: bool,
}

impl Full {
    fn answer<'a, T: Send + 'a>(&'a self, failed: T) -> Answer<'a, T> {
        if !self.is_later {
            return Answer::Now(failed);
        }
        Answer::Later(Box::pin(async {
            tokio::task::yield_now().await;
            failed
        }))
    }
}

impl SessionStore for Full {
    fn open<'a>(&'a self, _: &'a Entry, _: SessionId) -> Answer<'a, Result<(), OpenError>> {
        self.answer(Err(Unavailable.into()))
    }

    fn owner<'a>(&'a self, _: &'a Entry, _: SessionId) -> Answer<'a, Result<Owner, Unavailable>> {
        self.answer(Err(Unavailable))
    }

    fn trouble(&self) -> Option<Arc<str>> {
        Some("the disk is full\u{2028}\x1b[31m".into())
    }
}

#[test]
fn each_503_says_which_store_failed_and_why() {
    captured();
    for way in Way::ALL {
        for is_later in [false, true] {
            let setup = Setup::new(way);
            let state = State {
                sessions: Box::new(Full { is_later }),
                ..setup.state()
            };
            let server = setup.start_with(state.watched());
            let filler = "x".repeat(100_000);
            let large = format!(r#"{{"tenant_id":"acme","filler":"{filler}"}}"#);
            let id = "6f9619ff-8b86-4d11-b42d-00c04fc964ff";
            for exchange in [
                Exchange::post("/session", r#"{"tenant_id":"acme"}"#),
                // On the thread beside the worker.
                Exchange::post("/session", large),
                chat("acme", id, "hi"),
            ] {
                // Not the first alone.
                for _ in 0..3 {
                    let reply = ask(server.address, &exchange);
                    assert_eq!(reply.status, 503);
                    assert!(!reply.text().contains("disk"));
                    let line = line_about(&id_of(&reply));
                    assert_eq!(line["error"], "unavailable", "{line}");
                    assert_eq!(line["store"], "sessions", "{line}");
                    let why = line["why"].as_str().expect("a reason");
                    assert_eq!(why, r"the disk is full\xe2\x80\xa8\x1b[31m");
                }
                // What came before it is not told of what needs no store.
                let reply = ask(server.address, &get("/"));
                let line = line_about(&id_of(&reply));
                assert!(line["store"].is_null() && line["why"].is_null(), "{line}");
            }
        }
    }
}

#[test]
fn a_503_after_a_store_was_silent_names_it() {
    captured();
    let mut setup = Setup::new(Way::Native);
    setup.task.server.request_timeout = Duration::from_millis(50);
    let state = State {
        tenants: Box::new(crate::support::stores::SilentDirectory),
        ..setup.state()
    };
    let server = setup.start_with(state.watched());
    let reply = ask(server.address, &get("/"));
    assert_eq!(reply.status, 503);
    let line = line_about(&id_of(&reply));
    assert_eq!(line["error"], "timeout");
    assert_eq!(line["store"], "tenants");
    assert_eq!(line["why"], "it did not answer in time");
}

#[test]
fn a_real_database_that_is_away_is_named_by_every_503() {
    let Some(database) = Postgres::start() else {
        return;
    };
    import(&database, "tenants.jsonl");
    let state = database.state();
    let program = Program::serve(&["--log=json", "--state", &state, "--engine=native"]);
    open_session(program.address, "acme");
    database.stop("immediate");
    let mut ids = BTreeSet::new();
    for _ in 0..8 {
        let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
        let reply = ask(program.address, &open);
        assert_eq!(reply.status, 503);
        ids.insert(id_of(&reply));
    }
    program.wait_for_log("\"status\":503", 8);
    program.signal("KILL");
    let (_, _, log) = program.wait();
    let records = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let about = records.filter(|record: &Value| {
        let id = record["request_id"].as_str();
        record["target"] == "tenantry::access" && id.is_some_and(|id| ids.contains(id))
    });
    let about: Vec<_> = about.collect();
    assert_eq!(about.len(), 8, "{log}");
    for record in about {
        assert_eq!(record["store"], "sessions", "{record}");
        assert_eq!(record["error"], "unavailable", "{record}");
    }
}
