//! Real proxies in front of the program, with connections to it that they use again: whatever
//! request a client thinks up, proxy and server agree where it ends, and on whose answer is whose.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    client::{Connection, PATIENCE, get, with_header},
    database::Folder,
    ports::free_port,
    program::Program,
};

/// A proxy that runs in front of a server.
struct Proxy {
    child: Child,
    address: SocketAddr,
    folder: Folder,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is such a program; where `variable` says that there must be, there is.
#[expect(clippy::print_stderr, reason = "what a test could not try")]
fn has_program(name: &str, variable: &str) -> bool {
    let is_there = Command::new(name).arg("-v").output().is_ok();
    if !is_there {
        let must = std::env::var_os(variable).is_some();
        assert!(!must, "there is no {name}");
        eprintln!("skipped: {name} is not installed");
    }
    is_there
}

impl Proxy {
    fn start(configuration: &str, port: u16, folder: Folder, command: &mut Command) -> Self {
        fs::write(folder.join("proxy.conf"), configuration).expect("a file");
        let log = fs::File::create(folder.join("log")).expect("a file");
        let errors = fs::File::create(folder.join("errors")).expect("a file");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let proxy = Self {
            child: child.spawn().expect("it starts"),
            address,
            folder,
        };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let errors = fs::read_to_string(proxy.folder.join("errors"));
            assert!(start.elapsed() < PATIENCE, "it does not listen: {errors:?}");
            thread::sleep(Duration::from_millis(10));
        }
        proxy
    }

    /// HAProxy, which uses connections for every client again.
    fn haproxy(server: SocketAddr) -> Option<Self> {
        if !has_program("haproxy", "TENANTRY_TEST_HAPROXY") {
            return None;
        }
        let (port, folder) = (free_port(), Folder::new());
        let configuration = format!(
            "global\n    log stdout format raw local0\n\
             defaults\n    mode http\n    timeout connect 2s\n    timeout client 10s\n    \
             timeout server 10s\n    log global\n    \
             log-format \"%HM %HP %ST %[var(txn.sent)]\"\n\
             frontend f\n    bind 127.0.0.1:{port}\n    default_backend b\n\
             unique-id-format %{{+X}}o%Ts-%rt-haproxy\n    \
             http-request set-header x-request-id %[unique-id]\n    \
             http-request set-header x-forwarded-for 203.0.113.7\n    \
             http-request set-var(txn.sent) str(sent)\n    \
             http-response set-header x-proxy-id %[unique-id]\n\
             backend b\n    http-reuse always\n    server s {server}\n"
        );
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(folder.join("proxy.conf"));
        Some(Self::start(&configuration, port, folder, &mut command))
    }

    /// nginx, which keeps one connection.
    fn nginx(server: SocketAddr) -> Option<Self> {
        if !has_program("nginx", "TENANTRY_TEST_NGINX") {
            return None;
        }
        let (port, folder) = (free_port(), Folder::new());
        let place = folder.0.display();
        let configuration = format!(
            "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n\
             events {{ }}\n\
             http {{\n\
             log_format short '$request_method $uri $status $upstream_status';\n\
             access_log {place}/log short;\n\
             client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
             fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
             upstream up {{ server {server}; keepalive 1; }}\n\
             server {{ listen 127.0.0.1:{port}; location / {{\n\
             proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection '';\n\
             proxy_set_header X-Request-ID $request_id; proxy_request_buffering off;\n\
             proxy_set_header X-Forwarded-For 203.0.113.7;\n\
             add_header X-Proxy-ID $request_id always;\n\
             }} }} }}\n"
        );
        let mut command = Command::new("nginx");
        command
            .arg("-c")
            .arg(folder.join("proxy.conf"))
            .arg("-p")
            .arg(&folder.0);
        Some(Self::start(&configuration, port, folder, &mut command))
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

/// A request that one side may read otherwise than the other: its headers, and what is behind
/// them. It always has another request in it.
fn ambiguous() -> Vec<String> {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunks = format!("0\r\n\r\n{smuggled}");
    let len = chunks.len();
    let mut requests = Vec::new();
    let mut add = |line: &str, headers: &str, body: &str| {
        requests.push(format!("{line}\r\n{headers}\r\n\r\n{body}"));
    };
    let post = "POST /session HTTP/1.1\r\nHost: h";
    for encoding in [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding\0: chunked",
        "tRANSFER-eNCODING: cHUNKED",
    ] {
        // Alone, and with a length that ends behind the other request, or before it.
        add(post, encoding, &chunks);
        for length in [len, 5] {
            let length = format!("Content-Length: {length}");
            add(post, &format!("{length}\r\n{encoding}"), &chunks);
            add(post, &format!("{encoding}\r\n{length}"), &chunks);
        }
        add("POST /session HTTP/1.0\r\nHost: h", encoding, &chunks);
        add("GET / HTTP/1.1\r\nHost: h", encoding, &chunks);
    }
    for length in [
        "0\r\nContent-Length: 38",
        "38\r\nContent-Length: 0",
        "0, 38",
        "0,0",
        "+0",
        "-0",
        "-1",
        "0x0",
        "0 ",
        "\t0",
        "00",
        "0\n",
        "",
        "18446744073709551616",
        "18446744073709551615",
        "4294967296",
    ] {
        for line in [
            post,
            "GET / HTTP/1.1\r\nHost: h",
            "GET / HTTP/1.0\r\nHost: h",
        ] {
            add(line, &format!("Content-Length: {length}"), smuggled);
        }
        add(post, &format!("Content-Length : {length}"), smuggled);
    }
    for chunks in [
        "0;a=b\r\n\r\n",
        "0;a=\"\r\n\r\n\"\r\n\r\n",
        "0\n\n",
        "0\r\n\n",
        "0;\n\r\n\r\n",
        "0 \r\n\r\n",
        "00000000000000000\r\n\r\n",
        "10000000000000000\r\n\r\n",
        "0x0\r\n\r\n",
        "+0\r\n\r\n",
        "-0\r\n\r\n",
        "\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}\r0\r\n\r\n",
        "0\r\nContent-Length: 38\r\n\r\n",
        "0\r\nHost: other\r\n\r\n",
    ] {
        add(
            post,
            "Transfer-Encoding: chunked",
            &format!("{chunks}{smuggled}"),
        );
    }
    for line in [
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        "GET / HTTP/1.0\r\nConnection: keep-alive",
        "GET / HTTP/1.1\nHost: h",
        "GET /\x0b HTTP/1.1\r\nHost: h",
        "GET  / HTTP/1.1\r\nHost: h",
        "GET http://other/ HTTP/1.1\r\nHost: h",
        "POST /session HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 38",
        "POST /nothing HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 38",
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 38",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: content-length\r\nContent-Length: 38",
        "POST /session HTTP/1.1\r\nHost: h\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked",
        "HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 38",
    ] {
        add(line, "X: y", smuggled);
        add(line, "X: y", &chunks);
    }
    requests
}

/// What is answered to a request of any kind, until nothing more comes.
fn answers(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut connection = Connection::open(address);
    connection.send(request);
    let mut stream = connection.stream();
    let mut answers = Vec::new();
    let mut part = [0; 16 << 10];
    // Longer where nothing has come yet: both sides may have much to do.
    let mut wait = Duration::from_millis(400);
    loop {
        stream.set_read_timeout(Some(wait)).expect("a socket");
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return answers,
            Ok(read) => answers.extend_from_slice(&part[..read]),
        }
        wait = Duration::from_millis(30);
    }
}

/// Each answer that has both ids must have the same one twice.
fn assert_own(answers: &[u8], request: &str) {
    let text = String::from_utf8_lossy(answers).to_ascii_lowercase();
    let ids = |name: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (own, of_server) = (ids("x-proxy-id: "), ids("x-request-id: "));
    // What the proxy answers by itself has none of the server's.
    // hyper's refusals have an id of the server's own: it has read no header.
    let is_empty = text.starts_with("http/1.1 400") && text.contains("content-length: 0");
    let is_refused = is_empty || text.starts_with("http/1.1 413");
    for id in of_server {
        assert!(is_refused || own.contains(&id), "{request:?}: {text}");
    }
}

/// Requests that were passed on: by method and path with status, how many.
type Counts = BTreeMap<String, usize>;

/// What the proxy says that it has passed on. Refusals are together: some of those have no method
/// on the other side.
fn passed_on(log: &Path) -> Counts {
    let text = fs::read_to_string(log).expect("a log");
    let mut counts = Counts::new();
    for line in text.lines() {
        let parts: Vec<_> = line.split(' ').collect();
        if let [method, path, status, sent] = parts[..]
            && sent != "-"
            && !sent.is_empty()
        {
            // HAProxy says that it has sent it, nginx what was answered.
            let status = if sent == "sent" { status } else { sent };
            let request = match status {
                "400" | "413" => "refused".to_owned(),
                _ => format!("{method} {path} {status}"),
            };
            *counts.entry(request).or_default() += 1;
        }
    }
    counts
}

/// What the server says that it was asked.
fn asked(log: &str) -> Counts {
    let mut counts = Counts::new();
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        // The proxy has given up a request in the middle; its client had.
        if record["target"] != "tenantry::access" || record["error"] == "body_broken" {
            continue;
        }
        let part = |name: &str| record[name].as_str().unwrap_or("?").to_owned();
        let request = match record["status"].as_u64() {
            Some(400 | 413) => "refused".to_owned(),
            _ => format!("{} {} {}", part("method"), part("path"), record["status"]),
        };
        *counts.entry(request).or_default() += 1;
    }
    counts
}

fn no_request_is_smuggled(start: impl Fn(SocketAddr) -> Option<Proxy>) {
    let program = Program::serve(&[
        "--log=json",
        "--engine=native",
        "--threads=1",
        "--trusted-proxy=127.0.0.1",
    ]);
    let Some(proxy) = start(program.address) else {
        return;
    };
    let mut tried = 0;
    for (n, request) in ambiguous().iter().enumerate() {
        assert_own(&answers(proxy.address, request), request);
        // Whoever comes next on the connection that was used gets an answer of its own.
        let path = format!("/canary-{n}");
        let canary = with_header(get(&path), "x-any", "z");
        let reply = Connection::open(proxy.address).exchange(&canary);
        let reply = reply.unwrap_or_else(|error| panic!("{request:?}: {error}"));
        assert_eq!(reply.status, 404, "{request:?}");
        assert_eq!(reply.text(), r#"{"detail":"Not Found"}"#, "{request:?}");
        let id = reply.header("x-request-id").map(str::to_ascii_lowercase);
        let own = reply.header("x-proxy-id").map(str::to_ascii_lowercase);
        assert!(id.is_some() && id == own, "{request:?}: {id:?} {own:?}");
        tried += 1;
    }
    assert!(tried > 200, "{tried}");
    // The server was asked what the proxy has passed on, and nothing else.
    let start = Instant::now();
    loop {
        let log = program.log();
        let (passed_on, asked) = (passed_on(&proxy.log()), asked(&log));
        let differences: Vec<_> = asked
            .iter()
            .filter(|(request, count)| {
                let passed_on = passed_on.get(*request).copied().unwrap_or(0);
                // A client that did not wait may have had the proxy forget an answer, but not
                // a request.
                passed_on < **count
            })
            .map(|(request, count)| format!("{request}: {count}, {:?}", passed_on.get(request)))
            .collect();
        if differences.is_empty() && asked.len() > tried {
            // Each canary once, and the client is whom the proxy says.
            assert!(log.contains(r#""client":"203.0.113.7""#));
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{differences:#?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn no_request_is_smuggled_through_haproxy() {
    no_request_is_smuggled(Proxy::haproxy);
}

#[test]
fn no_request_is_smuggled_through_nginx() {
    no_request_is_smuggled(Proxy::nginx);
}
