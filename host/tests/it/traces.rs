//! Traces, as a collector gets them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use parking_lot::Mutex;
use prost::Message as _;
use tenantry::{
    state::State,
    traces::{TraceSettings, Traces},
};
use tenantry_conformance::{Exchange, Reply};
use tenantry_misbehaving_component::MISBEHAVING;

use crate::support::{
    client::{PATIENCE, ask, chat, get, open_session, with_header},
    later::{a_moment, later},
    program::{Program, tenantry},
    server::{Served, Setup, Way},
};

/// Where a batch was sent, and its bytes.
type Batch = (String, Vec<u8>);

/// Stands in for a collector: takes what is sent, and decodes it.
struct Collector {
    address: SocketAddr,
    batches: Arc<Mutex<Vec<Batch>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let batches = Arc::default();
        let taken = Arc::clone(&batches);
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&taken);
                thread::spawn(move || take(stream, &taken));
            }
        });
        Self { address, batches }
    }

    fn spans(&self) -> Vec<Span> {
        let batches = self.batches.lock();
        let requests = batches.iter().map(|(_, bytes)| {
            let request = ExportTraceServiceRequest::decode(bytes.as_slice());
            request.expect("a request of the protocol")
        });
        let resources = requests.flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

/// What spans say of the process that they are from.
fn resources(collector: &Collector) -> Vec<BTreeMap<String, String>> {
    let batches = collector.batches.lock();
    let requests = batches.iter().map(|(_, bytes)| {
        let request = ExportTraceServiceRequest::decode(bytes.as_slice());
        request.expect("a request of the protocol")
    });
    let spans = requests.flat_map(|request| request.resource_spans);
    let resources = spans.filter_map(|spans| spans.resource);
    let attributes = resources.map(|resource| {
        let attributes = resource.attributes.into_iter();
        let texts = attributes.filter_map(|attribute| match attribute.value?.value? {
            Value::StringValue(text) => Some((attribute.key, text)),
            _ => None,
        });
        texts.collect()
    });
    attributes.collect()
}

fn take(stream: TcpStream, taken: &Mutex<Vec<(String, Vec<u8>)>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        taken.lock().push((path, body));
        let mut stream = &stream;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .ok()?;
    }
}

fn traces(collector: SocketAddr, ratio: f64) -> Arc<Traces> {
    let collector = format!("http://{collector}").parse();
    let settings = TraceSettings {
        collector: collector.expect("a URL"),
        ratio,
    };
    Arc::new(Traces::start(&settings).expect("a URL to send to"))
}

/// A server whose stores are elsewhere, and whose traces go there.
fn start(setup: Setup, traces: &Arc<Traces>) -> Served {
    let state = State {
        traces: Some(Arc::clone(traces)),
        ..later(setup.state(), &a_moment())
    };
    setup.start_with(state.watched())
}

/// All spans, once everything was sent.
fn spans(collector: &Collector, traces: &Traces) -> Vec<Span> {
    traces.stop(PATIENCE);
    collector.spans()
}

fn text(span: &Span, name: &str) -> Option<String> {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

fn children<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    let is_child =
        |span: &&Span| span.parent_span_id == parent.span_id && span.trace_id == parent.trace_id;
    spans.iter().filter(is_child).collect()
}

fn named(spans: &[Span], name: &str) -> Vec<Span> {
    let named = spans.iter().filter(|span| span.name == name);
    named.cloned().collect()
}

#[test]
fn a_request_is_a_span_and_so_are_its_sandbox_and_what_stores_elsewhere_are_asked() {
    for way in [Way::Tenant, Way::Native] {
        for size in [10, 100 << 10] {
            let collector = Collector::start();
            let traces = traces(collector.address, 1.0);
            let server = start(Setup::limited(way), &traces);
            let session = open_session(server.address, "globex");
            let message = "secret".repeat(size / 6 + 1);
            let reply = ask(server.address, &chat("globex", &session, &message));
            assert_eq!(reply.status, 200);
            ask(server.address, &get("/nowhere?secret=1"));
            let spans = spans(&collector, &traces);

            let chats = named(&spans, "POST /chat");
            let [chat] = chats.as_slice() else {
                panic!("{chats:?}");
            };
            assert_eq!(chat.kind(), SpanKind::Server);
            assert!(chat.parent_span_id.is_empty());
            assert!(chat.start_time_unix_nano < chat.end_time_unix_nano);
            for (name, value) in [
                ("http.request.method", "POST"),
                ("http.route", "/chat"),
                ("http.response.status_code", "200"),
                ("tenantry.tenant.id", "globex"),
            ] {
                assert_eq!(text(chat, name).as_deref(), Some(value), "{name}");
            }
            let below = children(&spans, chat);
            let names: BTreeSet<_> = below.iter().map(|span| &*span.name).collect();
            // Stores are asked from within the sandbox, and by the engine before it.
            let (own, asked) = match below.iter().find(|span| span.name == "sandbox") {
                Some(sandbox) => (names, children(&spans, sandbox)),
                None => (names, below.clone()),
            };
            match way {
                Way::Native => assert_eq!(
                    own,
                    ["tenants.find", "sessions.owner", "limiter.admit"].into()
                ),
                _ => {
                    assert_eq!(own, ["tenants.find", "sandbox"].into());
                    let asked: BTreeSet<_> = asked.iter().map(|span| &*span.name).collect();
                    assert_eq!(asked, ["sessions.owner", "limiter.admit"].into());
                }
            }
            let admit = named(&spans, "limiter.admit");
            assert_eq!(admit[0].kind(), SpanKind::Client);
            assert_eq!(
                text(&admit[0], "tenantry.store").as_deref(),
                Some("limiter")
            );

            let others = named(&spans, "GET other");
            assert_eq!(others.len(), 1);
            assert_eq!(text(&others[0], "tenantry.tenant.id"), None);
            // Neither what was said nor the key to a session is told.
            for (path, bytes) in &*collector.batches.lock() {
                assert_eq!(path, "/v1/traces");
                for secret in ["secret", &session] {
                    let found = bytes
                        .windows(secret.len())
                        .any(|part| part == secret.as_bytes());
                    assert!(!found, "{secret}");
                }
            }
        }
    }
}

#[test]
fn a_request_belongs_to_the_trace_that_it_names_unless_that_is_none() {
    let collector = Collector::start();
    let traces = traces(collector.address, 1.0);
    let server = start(Setup::new(Way::Native), &traces);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let ask_with = |target: &str, traceparent: &str| {
        let request = with_header(get(target), "traceparent", traceparent);
        assert_eq!(ask(server.address, &request).status, 200);
    };
    ask_with("/", &format!("00-{trace}-00f067aa0ba902b7-01"));
    // Its sender does not trace it.
    ask_with("/redoc", &format!("00-{trace}-00f067aa0ba902b7-00"));
    let malformed = [
        "",
        "x",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    ];
    for malformed in malformed {
        ask_with("/docs", malformed);
    }
    let spans = spans(&collector, &traces);
    let index = named(&spans, "GET /");
    assert_eq!(index.len(), 1);
    assert_eq!(hex(&index[0].trace_id), trace);
    assert_eq!(hex(&index[0].parent_span_id), "00f067aa0ba902b7");
    assert!(named(&spans, "GET /redoc").is_empty());
    let docs = named(&spans, "GET /docs");
    assert_eq!(docs.len(), malformed.len());
    for span in docs {
        assert_ne!(hex(&span.trace_id), trace);
        assert!(span.parent_span_id.is_empty());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_failure_is_told_as_one() {
    let collector = Collector::start();
    let traces = traces(collector.address, 1.0);
    let mut setup = Setup::new(Way::Tenant);
    setup.guest = &MISBEHAVING;
    let server = start(setup, &traces);
    let trap = chat("acme", "none", "misbehave=panic");
    assert_eq!(ask(server.address, &trap).status, 500);
    let spans = spans(&collector, &traces);
    for (name, kind) in [("POST /chat", "500"), ("sandbox", "trap")] {
        let spans = named(&spans, name);
        let status = spans[0].status.as_ref().expect("a status");
        assert_eq!(status.code(), StatusCode::Error, "{name}");
        assert_eq!(text(&spans[0], "error.type").as_deref(), Some(kind));
    }
}

#[test]
fn a_ratio_of_none_traces_those_that_come_with_a_trace() {
    let collector = Collector::start();
    let traces = traces(collector.address, 0.0);
    let server = start(Setup::new(Way::Native), &traces);
    ask(server.address, &get("/docs"));
    let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    ask(
        server.address,
        &with_header(get("/"), "traceparent", traced),
    );
    let spans = spans(&collector, &traces);
    let names: BTreeSet<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["GET /", "tenants.list"].into());
}

#[test]
fn a_collector_that_is_not_there_or_says_nothing_is_in_nobodys_way() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let [silent_address, gone_address] =
        [&silent, &gone].map(|listener| listener.local_addr().expect("an address"));
    drop(gone);
    for address in [silent_address, gone_address] {
        let traces = traces(address, 1.0);
        let server = start(Setup::new(Way::Native), &traces);
        let (sender, receiver) = mpsc::channel();
        let asked = server.address;
        thread::spawn(move || {
            // More spans than may wait.
            let mut connection = crate::support::client::Connection::open(asked);
            for _ in 0..20_000 {
                let reply = connection.exchange(&get("/nowhere"));
                assert_eq!(reply.expect("an answer").status, 404);
            }
            let _ = sender.send(());
        });
        let answered = receiver.recv_timeout(3 * PATIENCE);
        answered.expect("all requests are answered");
        let begin = Instant::now();
        traces.stop(Duration::from_millis(500));
        assert!(begin.elapsed() < PATIENCE);
    }
}

#[test]
fn without_a_collector_a_trace_is_passed_over() {
    let server = Setup::new(Way::Tenant).start();
    let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let plain = Exchange::post("/session", r#"{"tenant_id":"nobody"}"#);
    let request = with_header(plain.clone(), "traceparent", traced);
    let [plain, request] = [plain, request].map(|exchange| ask(server.address, &exchange));
    assert_eq!(plain.text(), request.text());
    assert_eq!(plain.status, request.status);
}

/// The program with traces, and these variables; asked once, and stopped.
fn traced_program(collector: &Collector, variables: &[(&str, &str)]) -> (String, Vec<Reply>) {
    let otlp = format!("http://{}", collector.address);
    let args = ["serve", "--listen=127.0.0.1:0", "--engine=native"];
    let more = ["--log=json", "--otlp", &otlp, "--otlp-sample=0"];
    let mut command = tenantry(&[args.as_slice(), &more].concat());
    command.env_remove("OTEL_SERVICE_NAME");
    command.env_remove("OTEL_RESOURCE_ATTRIBUTES");
    command.envs(variables.iter().copied());
    let program = Program::start(command);
    let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let replies = [with_header(get("/"), "traceparent", traced), get("/docs")]
        .iter()
        .map(|exchange| ask(program.address, exchange))
        .collect();
    program.signal("TERM");
    let (status, _, log) = program.wait();
    assert!(status.success(), "{log}");
    (log, replies)
}

#[test]
fn spans_say_which_service_and_which_instance_they_are_from() {
    let mut instances = BTreeSet::new();
    for (variables, name, version) in [
        (&[][..], "tenantry", env!("CARGO_PKG_VERSION")),
        (
            &[("OTEL_SERVICE_NAME", "chat-eu")],
            "chat-eu",
            env!("CARGO_PKG_VERSION"),
        ),
        (
            &[(
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=other,service.version=9,deployment.environment=test",
            )],
            "other",
            "9",
        ),
        (
            &[
                ("OTEL_SERVICE_NAME", "chat-eu"),
                (
                    "OTEL_RESOURCE_ATTRIBUTES",
                    "service.name=other,service.version=9",
                ),
            ],
            "chat-eu",
            "9",
        ),
    ] {
        let collector = Collector::start();
        traced_program(&collector, variables);
        let resources = resources(&collector);
        let resource = resources.first().expect("a batch");
        assert_eq!(resource["service.name"], name, "{resource:?}");
        assert_eq!(resource["service.version"], version, "{resource:?}");
        let instance = resource["service.instance.id"].clone();
        assert!(instances.insert(instance), "another process has this id");
        let environment = resource.get("deployment.environment").map(String::as_str);
        assert_eq!(environment, (name == "other").then_some("test"));
    }
    let collector = Collector::start();
    let own = [("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7")];
    traced_program(&collector, &own);
    assert_eq!(resources(&collector)[0]["service.instance.id"], "pod-7");
}

#[test]
fn a_trace_leads_to_the_log_and_the_log_to_the_trace() {
    let collector = Collector::start();
    let (log, replies) = traced_program(&collector, &[]);
    let spans = collector.spans();
    let [span] = named(&spans, "GET /").try_into().expect("one span");
    let id = replies[0].header("x-request-id");
    assert_eq!(text(&span, "tenantry.request.id").as_deref(), id);
    let records: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|record: &serde_json::Value| record["target"] == "tenantry::access")
        .collect();
    assert_eq!(records[0]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(records[0]["request_id"].as_str(), id);
    // What is not traced has none.
    assert!(records[1]["trace_id"].is_null(), "{}", records[1]);
}
