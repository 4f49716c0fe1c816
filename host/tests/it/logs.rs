//! The log: what is in it, what never is, and that nobody waits for it.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;
use tenantry_conformance::Exchange;

use crate::support::{
    client::{Connection, ask, chat, get, open_session},
    program::{Program, tenantry},
};

/// Stops the program and returns its log.
fn log_of(program: Program) -> String {
    program.signal("TERM");
    let (status, _, log) = program.wait();
    assert!(status.success(), "{log}");
    log
}

/// The lines of a log in JSON.
fn records(log: &str) -> Vec<Value> {
    let record = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
    log.lines().map(record).collect()
}

fn about_requests(log: &str) -> Vec<Value> {
    let mut records = records(log);
    records.retain(|record| record["target"] == "tenantry::access");
    records
}

#[test]
fn each_request_is_a_record_of_what_it_was_and_came_to() {
    let program = Program::serve(&["--log=json"]);
    let address = program.address;
    let session = open_session(address, "acme");
    let requests = [
        (chat("acme", &session, "hi"), 200, Some("acme")),
        (chat("globex", &session, "hi"), 403, Some("globex")),
        (chat("nobody", &session, "hi"), 404, None),
        (Exchange::post("/session", "{"), 422, None),
        (get("/?a=b"), 200, None),
        (get("/docs/swagger-ui.css"), 200, None),
        (get("/no%20where"), 404, None),
    ];
    for (exchange, status, _) in &requests {
        assert_eq!(ask(address, exchange).status, *status);
    }
    let records = about_requests(&log_of(program));
    assert_eq!(records.len(), requests.len() + 1);
    let mut ids = BTreeSet::new();
    for (record, (exchange, status, tenant)) in records.iter().skip(1).zip(&requests) {
        assert_eq!(record["level"], "INFO");
        assert_eq!(record["method"], exchange.method.as_str());
        let path = exchange.target.split('?').next();
        assert_eq!(record["path"].as_str(), path);
        assert_eq!(record["status"], *status);
        assert_eq!(record["tenant"].as_str(), *tenant);
        assert!(record["duration_us"].is_u64(), "{record}");
        let id = record["request_id"].as_str().expect("a request id");
        assert!(ids.insert(id.to_owned()), "{id} is used twice");
        let time = record["timestamp"].as_str().expect("a time");
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    }
}

#[test]
fn the_text_form_says_the_same() {
    let program = Program::serve(&["--log=text"]);
    let session = open_session(program.address, "acme");
    ask(program.address, &chat("globex", &session, "hi"));
    let log = log_of(program);
    let mut lines = log.lines().filter(|line| line.contains("tenantry::access"));
    let line = lines.nth(1).expect("a line about the second request");
    for part in [
        " INFO ",
        " request_id=",
        " method=\"POST\"",
        " path=\"/chat\"",
        " tenant=\"globex\"",
        " status=403",
        " duration_us=",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!log.contains('\x1b'), "no colours where nobody sees them");
}

#[test]
fn no_secret_is_ever_logged_at_any_level() {
    for form in ["text", "json"] {
        let form = format!("--log={form}");
        let program = Program::serve(&[&form, "--log-filter=trace", "--max-body=4KiB"]);
        let address = program.address;
        let session = open_session(address, "acme");
        let mut said = chat("acme", &session, "s3cret-message");
        let header = |name: &str| (name.to_owned(), b"s3cret-header".to_vec());
        said.headers
            .extend([header("authorization"), header("cookie"), header("x-any")]);
        let large = "s3cret-large ".repeat(1000);
        for exchange in [
            said,
            chat("globex", &session, "s3cret-message"),
            get("/?token=s3cret-query"),
            get(&format!("/session/?session_id={session}")),
            Exchange::post("/session", r#"{"tenant_id":"s3cret-tenant"}"#),
            Exchange::post("/session", r#"{"tenant_id":"s3cret"#),
            Exchange::post("/session", large),
        ] {
            ask(address, &exchange);
        }
        let mut broken = Connection::open(address);
        broken.send("GET /?s3cret HTTP/1.1\r\ns3cret header\r\n\r\n");
        let _ = broken.reply();
        let log = log_of(program);
        assert!(log.contains("tenantry::access"), "{log}");
        assert!(!log.contains("s3cret"), "{log}");
        assert!(!log.contains(&session), "{log}");
        assert!(!log.contains("reversed"), "an answer is logged: {log}");
    }
}

#[test]
fn a_failing_sandbox_is_explained_to_the_log_and_not_to_the_client() {
    let program = Program::serve(&["--log=json", "--sandbox-memory=2MiB", "--threads=1"]);
    let session = open_session(program.address, "globex");
    let long = chat("globex", &session, &"s3cret".repeat(170_000));
    let reply = ask(program.address, &long);
    assert_eq!(reply.status, 500);
    assert_eq!(reply.text(), "Internal Server Error");
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let next = ask(program.address, &chat("globex", &session, "hi"));
    assert_eq!(next.status, 200);
    let log = log_of(program);
    assert!(!log.contains("s3cret"));
    let records = records(&log);
    let mut faults = records.iter().filter(|record| record["level"] == "ERROR");
    let fault = faults.next().expect("the fault is logged");
    assert!(faults.next().is_none(), "{log}");
    assert_eq!(fault["message"], "a sandbox failed");
    assert_eq!(fault["tenant"], "globex");
    assert_eq!(
        fault["reason"],
        "the guest wanted more memory than it may have"
    );
    let request = records.iter().find(|record| record["status"] == 500);
    let request = request.expect("the request is logged");
    assert_eq!(request["request_id"], fault["request_id"]);
    assert_eq!(request["error"], "sandbox_failed");
    // With it a client's complaint leads to the reason.
    assert_eq!(reply.header("x-request-id"), fault["request_id"].as_str());
}

#[test]
fn odd_rows_are_warned_about_at_the_start() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("logs-odd.jsonl");
    let rows = "{\"id\":null}\n{\"id\":\"a\",\"name\":\"A\",\"welcome\":\"w\"}\n\
                {\"id\":\"a\",\"name\":\"B\",\"welcome\":\"w\"}\n";
    std::fs::write(&path, rows).expect("a file can be written");
    let path = path.to_str().expect("UTF-8");
    let log = log_of(Program::serve(&["--log=json", "--tenants", path]));
    let records = records(&log);
    let warnings = records.iter().filter(|record| record["level"] == "WARN");
    let messages = warnings.filter_map(|record| record["message"].as_str());
    let messages: Vec<_> = messages.collect();
    assert_eq!(messages.len(), 2, "{log}");
    assert!(messages[0].starts_with(&format!("{path}:1: id: ")), "{log}");
    assert!(messages[1].starts_with(&format!("{path}:2: id: ")), "{log}");
    let start = records
        .iter()
        .find(|record| record["message"] == "listening");
    assert_eq!(start.expect("the start is logged")["tenants"], 1);
}

#[test]
fn the_filter_says_what_is_logged() {
    for (filter, has_access, has_start) in [
        ("info", true, true),
        ("off", false, false),
        ("warn", false, false),
        ("info,tenantry::access=off", false, true),
        ("off,tenantry::access=info", true, false),
    ] {
        let program = Program::serve(&["--log-filter", filter, "--engine=native"]);
        assert_eq!(ask(program.address, &get("/")).status, 200);
        let log = log_of(program);
        assert_eq!(
            log.contains("tenantry::access"),
            has_access,
            "{filter}: {log}"
        );
        assert_eq!(log.contains("listening"), has_start, "{filter}: {log}");
    }
}

#[test]
fn lines_are_whole_however_many_threads_write_them() {
    const CLIENTS: usize = 8;
    const EACH: usize = 250;
    let program = Program::serve(&["--log=json", "--threads=4", "--engine=native"]);
    let address = program.address;
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for n in 0..EACH {
                    let path = format!("/{client}-{n}-{}", "x".repeat(n));
                    let reply = connection.exchange(&get(&path)).expect("an answer");
                    assert_eq!(reply.status, 404);
                }
            });
        }
    });
    let records = about_requests(&log_of(program));
    let paths: BTreeSet<_> = records
        .iter()
        .map(|record| record["path"].as_str())
        .collect();
    assert_eq!(paths.len(), CLIENTS * EACH);
    assert_eq!(records.len(), CLIENTS * EACH);
}

#[test]
fn no_request_forges_a_line() {
    let forged = "2026-01-01T00:00:00Z  INFO tenantry::access: status=200";
    for form in ["text", "json"] {
        let form = format!("--log={form}");
        let program = Program::serve(&[
            &form,
            "--log-filter=trace",
            "--engine=native",
            "--trusted-proxy=127.0.0.1",
        ]);
        let odd = format!("\u{85}{forged}\u{2028}\u{202e}\u{9b}31m\t\"\\");
        let headers = [
            "user-agent",
            "x-forwarded-for",
            "forwarded",
            "x-request-id",
            "host",
        ];
        let headers = headers.map(|name| format!("{name}: {odd}\r\n")).concat();
        let requests = [
            format!("GET /%0A{} HTTP/1.1", forged.replace(' ', "%20")),
            format!("GET /\n{forged} HTTP/1.1"),
            format!("GET /\r{forged} HTTP/1.1"),
            "GET /\u{85}next\u{2028}next\u{9b}31m HTTP/1.1".to_owned(),
            "GET /\x1b[31mred\x07 HTTP/1.1".to_owned(),
            "GET /\"tenant=\"acme HTTP/1.1".to_owned(),
            "GET /\u{202e}drawkcab HTTP/1.1".to_owned(),
            "G\u{1b}ET / HTTP/1.1".to_owned(),
        ];
        for request in &requests {
            let mut connection = Connection::open(program.address);
            connection.send(format!("{request}\r\nhost: h\r\nx: \u{85}\r\n\r\n"));
            connection.finish_sending();
            let _ = connection.reply();
        }
        let mut connection = Connection::open(program.address);
        connection.send(format!("GET /odd HTTP/1.1\r\n{headers}\r\n"));
        let reply = connection.reply().expect("an answer");
        assert_eq!(reply.status, 404);
        let log = log_of(program);
        let line = log.lines().find(|line| line.contains("/odd"));
        assert!(
            line.is_some_and(|line| line.contains("user_agent")),
            "{log}"
        );
        for line in log.lines() {
            let odd = |c: char| c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c);
            assert!(!line.contains(odd), "{line:?}");
            assert!(!line.starts_with(forged), "{line:?}");
            if form.ends_with("text") {
                // The time, the level, the part: ours.
                let mut words = line.split_whitespace();
                assert!(
                    words.next().is_some_and(|time| time.ends_with('Z')),
                    "{line:?}"
                );
                assert!(
                    words
                        .nth(1)
                        .is_some_and(|part| part.starts_with("tenantry::")),
                    "{line:?}"
                );
            }
        }
        if form.ends_with("json") {
            assert!(!about_requests(&log).is_empty());
        }
    }
}

#[test]
fn a_long_path_or_method_is_cut_in_the_log() {
    let program = Program::serve(&["--log=json", "--engine=native"]);
    let long = "x".repeat(20_000);
    let mut exchange = get(&format!("/{long}"));
    assert_eq!(ask(program.address, &exchange).status, 404);
    exchange.method = long.to_uppercase();
    exchange.target = "/".to_owned();
    assert_eq!(ask(program.address, &exchange).status, 405);
    let log = log_of(program);
    assert_eq!(about_requests(&log).len(), 2);
    assert!(log.len() < 4000, "{log}");
}

/// A server program; killed at the end of the test if it still runs.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server whose standard error is this.
fn serve_with(stderr: impl Into<Stdio>) -> (Running, SocketAddr) {
    let mut command: Command = tenantry(&["serve", "--listen=127.0.0.1:0", "--engine=native"]);
    let child = command.stdout(Stdio::piped()).stderr(stderr).spawn();
    let mut child = Running(child.expect("the program starts"));
    let mut line = Vec::new();
    let mut stdout = child.0.stdout.take().expect("a pipe");
    let mut byte = [0];
    while byte != *b"\n" {
        stdout.read_exact(&mut byte).expect("the address");
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).expect("UTF-8");
    (child, line.trim_end().parse().expect("an address"))
}

fn stop(mut child: Running) {
    let status = Command::new("kill")
        .args(["-s", "TERM", &child.0.id().to_string()])
        .status();
    assert!(status.expect("kill runs").success());
    let status = child.0.wait().expect("it was started");
    assert!(status.success(), "{status}");
}

/// More log than fits into a pipe.
fn ask_often(address: SocketAddr) {
    let mut connection = Connection::open(address);
    let path = format!("/{}", "x".repeat(400));
    for _ in 0..2000 {
        let reply = connection.exchange(&get(&path)).expect("an answer");
        assert_eq!(reply.status, 404);
    }
}

#[test]
fn nobody_waits_for_a_log_that_nobody_reads() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (child, address) = serve_with(writer);
    ask_often(address);
    stop(child);
    drop(reader);
}

#[test]
fn a_log_that_nobody_can_write_stops_nothing() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let (child, address) = serve_with(writer);
    ask_often(address);
    stop(child);
    // A disk that is full.
    if let Ok(mut full) = std::fs::OpenOptions::new().write(true).open("/dev/full")
        && full.write_all(b"x").is_err()
    {
        let (child, address) = serve_with(full);
        ask_often(address);
        stop(child);
    }
}
