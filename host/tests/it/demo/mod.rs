//! A web page under /demo/: its files as they are sent, and what no request reaches.

mod folders;

use std::{
    fs,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use tenantry_conformance::{Exchange, Reply, replay};

use crate::support::{
    client::{Connection, Sockets, ask, ask_alike, get, with_header},
    program::Program,
    server::{Served, Setup, Way},
};

const INDEX: &str =
    "<!doctype html><title>A page</title><p>A page, a page, a page, a page, a page.";

/// A folder of this name that has these files.
fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("demo")
        .join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an old folder");
    }
    fs::create_dir_all(&folder).expect("a folder");
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
    folder
}

/// A folder with a page, and with these files.
fn page(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    folder(name, &[&[("index.html", INDEX.as_bytes())], files].concat())
}

fn start(way: Way, folder: PathBuf) -> Served {
    let mut setup = Setup::new(way);
    setup.task.demo = Some(folder);
    setup.start()
}

fn with_method(method: &str, exchange: Exchange) -> Exchange {
    Exchange {
        method: method.to_owned(),
        ..exchange
    }
}

fn assert_not_found(address: SocketAddr, target: &str) {
    for method in ["GET", "HEAD", "POST", "OPTIONS"] {
        let reply = ask(address, &with_method(method, get(target)));
        assert_eq!(reply.status, 404, "{method} {target}: {reply:?}");
        assert_eq!(reply.header("etag"), None);
        if method != "HEAD" {
            assert_eq!(reply.text(), r#"{"detail":"Not Found"}"#, "{target}");
        }
    }
}

fn unpacked(reply: &Reply) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut packed = GzDecoder::new(&*reply.body);
    packed.read_to_end(&mut plain).expect("gzip");
    plain
}

#[test]
fn each_kind_of_file_has_its_headers() {
    const KEPT: &str = "public, max-age=31536000, immutable";
    const ASKED: &str = "no-cache";
    let files = [
        ("index.html", "text/html; charset=utf-8", ASKED),
        (
            "sub/a-0123456789abcdef.HTML",
            "text/html; charset=utf-8",
            ASKED,
        ),
        ("app.js", "text/javascript; charset=utf-8", ASKED),
        ("app-0f3c9a1b.js", "text/javascript; charset=utf-8", KEPT),
        (
            "worker.0F3C9A1B2c.mjs",
            "text/javascript; charset=utf-8",
            KEPT,
        ),
        ("app-0f3c9a1.js", "text/javascript; charset=utf-8", ASKED),
        ("app0f3c9a1b.js", "text/javascript; charset=utf-8", ASKED),
        ("app-0f3c9a1g.js", "text/javascript; charset=utf-8", ASKED),
        ("0f3c9a1b/app.js", "text/javascript; charset=utf-8", ASKED),
        ("style.css", "text/css; charset=utf-8", ASKED),
        ("core.wasm", "application/wasm", ASKED),
        ("sub/sub/core-0123456789.wasm", "application/wasm", KEPT),
        ("core-0123456789.wasm.map", "application/json", KEPT),
        ("data.json", "application/json", ASKED),
        ("logo.svg", "image/svg+xml", ASKED),
        ("logo.png", "image/png", ASKED),
        ("notes.txt", "text/plain; charset=utf-8", ASKED),
        ("unknown.kind", "application/octet-stream", ASKED),
        ("nothing", "application/octet-stream", ASKED),
        ("with blank-\u{e4}.txt", "text/plain; charset=utf-8", ASKED),
    ];
    let contents = files.map(|(name, ..)| (name, name.as_bytes()));
    let server = start(Way::Native, folder("kinds", &contents));
    for (name, content_type, cache_control) in files {
        let target = name.replace(' ', "%20").replace('\u{e4}', "%C3%a4");
        for target in [
            format!("/demo/{target}"),
            format!("/demo/{target}?v=1"),
            format!("/%64emo%2F{}", target.replace('/', "%2f")),
            format!("http://other.example/demo/{target}"),
        ] {
            let reply = ask(server.address, &get(&target));
            assert_eq!(reply.status, 200, "{target}");
            assert_eq!(reply.body, name.as_bytes(), "{target}");
            assert_eq!(reply.header("content-type"), Some(content_type), "{name}");
            let cached = reply.header("cache-control");
            assert_eq!(cached, Some(cache_control), "{name}");
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(reply.header("vary"), Some("accept-encoding"));
            let policy = content_type.starts_with("text/html");
            let policy = policy.then_some("frame-ancestors 'none'");
            assert_eq!(reply.header("content-security-policy"), policy, "{name}");
        }
    }
}

#[test]
fn the_page_is_under_the_slash_and_without_it_sent_there() {
    for way in [Way::Tenant, Way::Native] {
        let server = start(way, page("slash", &[]));
        for target in ["/demo/", "/demo/?x=1", "/demo/index.html", "/%64emo/"] {
            let reply = ask(server.address, &get(target));
            assert_eq!(
                (reply.status, reply.text()),
                (200, INDEX.to_owned()),
                "{target}"
            );
        }
        for (target, location) in [
            ("/demo", "/demo/"),
            ("/demo?", "/demo/"),
            ("/demo?x=1&y=%20a{b", "/demo/?x=1&y=%20a%7Bb"),
        ] {
            for method in ["GET", "HEAD"] {
                let reply = ask(server.address, &with_method(method, get(target)));
                assert_eq!(reply.status, 307, "{target}");
                assert_eq!(reply.header("location"), Some(location));
                assert_eq!(reply.header("content-length"), Some("0"));
            }
        }
    }
}

#[test]
fn other_methods_are_refused() {
    let server = start(Way::Native, page("methods", &[]));
    let mut connection = Connection::open(server.address);
    for target in ["/demo", "/demo/", "/demo/index.html"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"] {
            let mut exchange = with_method(method, get(target));
            exchange.body = Some(b"a body that nobody reads".to_vec());
            let reply = connection.exchange(&exchange).expect("an answer");
            assert_eq!(reply.status, 405, "{method} {target}");
            assert_eq!(reply.header("allow"), Some("GET, HEAD"));
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(reply.text(), r#"{"detail":"Method Not Allowed"}"#);
        }
    }
}

#[test]
fn files_are_compressed_where_that_is_wanted_and_of_use() {
    let script = "let x = 1;\n".repeat(1000);
    let mut dense = Vec::new();
    for n in 0..1000_u32 {
        dense.extend_from_slice(
            &n.wrapping_mul(2_654_435_761)
                .rotate_left(n % 32)
                .to_le_bytes(),
        );
    }
    let files = [
        ("app.js", script.as_bytes()),
        ("dense.png", &dense),
        ("empty.txt", b""),
    ];
    let server = start(Way::Native, page("gzip", &files));
    for (name, content) in files {
        let target = format!("/demo/{name}");
        let ask = |method, encoding| {
            let exchange = with_method(method, get(&target));
            ask(
                server.address,
                &with_header(exchange, "accept-encoding", encoding),
            )
        };
        let plain = ask("GET", "identity");
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.body, content);
        let packed = ask("GET", "br, gzip");
        if name == "app.js" {
            assert_eq!(packed.header("content-encoding"), Some("gzip"));
            assert_eq!(unpacked(&packed), content);
            assert!(packed.body.len() < content.len() / 10);
            assert_ne!(packed.header("etag"), plain.header("etag"));
        } else {
            assert_eq!(packed.header("etag"), plain.header("etag"));
            assert_eq!(packed.body, plain.body);
        }
        for (encoding, whole) in [("identity", plain), ("gzip", packed)] {
            let head = ask("HEAD", encoding);
            let length = whole.body.len().to_string();
            assert_eq!(head.header("content-length"), Some(&*length));
            assert_eq!(head.status, 200);
            let differs = |name: &str| ["date", "x-request-id"].contains(&name);
            for (name, value) in whole.headers.iter().filter(|(name, _)| !differs(name)) {
                assert_eq!(head.header(name), Some(&**value), "{target} {name}");
            }
        }
    }
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    let script = "let x = 1;\n".repeat(1000);
    let other = "let x = 2;\n".repeat(1000);
    let files = [("a.js", script.as_bytes()), ("b.js", other.as_bytes())];
    let server = start(Way::Native, page("tags", &files));
    let ask = |method, name: &str, encoding, known: Option<&str>| {
        let exchange = with_method(method, get(&format!("/demo/{name}")));
        let exchange = with_header(exchange, "accept-encoding", encoding);
        ask(
            server.address,
            &match known {
                Some(known) => with_header(exchange, "if-none-match", known),
                None => exchange,
            },
        )
    };
    let tag_of = |name, encoding| {
        let reply = ask("GET", name, encoding, None);
        let tag = reply.header("etag").expect("a tag").to_owned();
        assert!(
            tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10,
            "{tag}"
        );
        tag
    };
    let (plain, packed) = (tag_of("a.js", "identity"), tag_of("a.js", "gzip"));
    assert_eq!(tag_of("a.js", "gzip"), packed);
    assert_ne!(tag_of("b.js", "identity"), plain);
    for (encoding, tag, other) in [("identity", &plain, &packed), ("gzip", &packed, &plain)] {
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            format!("{other},{tag}"),
            "*".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let reply = ask(method, "a.js", encoding, Some(&known));
                assert_eq!(reply.status, 304, "{encoding} {known}");
                assert_eq!(reply.header("etag"), Some(&**tag));
                assert_eq!(reply.header("vary"), Some("accept-encoding"));
                assert_eq!(reply.header("cache-control"), Some("no-cache"));
                for name in ["content-length", "content-type", "content-encoding"] {
                    assert_eq!(reply.header(name), None);
                }
            }
        }
        for known in [
            other.as_str(),
            tag.trim_matches('"'),
            "",
            "\"\"",
            "W/",
            "**",
        ] {
            let reply = ask("GET", "a.js", encoding, Some(known));
            assert_eq!(reply.status, 200, "{encoding} {known}");
            assert!(!reply.body.is_empty());
        }
    }
    // Nothing follows the head of such an answer: the next one does.
    let mut connection = Connection::open(server.address);
    for status in [304, 304, 200] {
        let exchange = with_header(get("/demo/a.js"), "accept-encoding", "identity");
        let known = if status == 304 { &*plain } else { "\"x\"" };
        let reply = connection.exchange(&with_header(exchange, "if-none-match", known));
        assert_eq!(reply.expect("an answer").status, status);
    }
}

#[test]
fn no_request_leaves_the_folder() {
    let outside = folder("outside", &[("secret.txt", b"secret")]);
    let name = outside.to_str().expect("UTF-8").to_owned();
    let files: [(&str, &[u8]); 4] = [
        ("sub/a.txt", b"a"),
        (".hidden", b"secret"),
        (".git/config", b"secret"),
        ("sub/.env", b"secret"),
    ];
    let server = start(Way::Native, page("inside", &files));
    assert_eq!(ask(server.address, &get("/demo/sub/a.txt")).body, b"a");
    for target in [
        "/demo/../Cargo.toml",
        "/demo/../outside/secret.txt",
        "/demo/sub/../../outside/secret.txt",
        "/demo/%2e%2e/outside/secret.txt",
        "/demo/%2e%2e%2foutside%2fsecret.txt",
        "/demo/..%5coutside%5csecret.txt",
        "/demo/..\\outside\\secret.txt",
        "/demo/%252e%252e/outside/secret.txt",
        "/demo/sub/%2e%2e/index.html",
        "/demo/./index.html",
        "/demo//index.html",
        "/demo/%2findex.html",
        "/demo//",
        "/demo/sub//a.txt",
        "/demo/sub%5ca.txt",
        "/demo/sub\\a.txt",
        "/demo/sub/a.txt/",
        "/demo/sub/a.txt%00",
        "/demo/%00",
        "/demo/index.html%00.txt",
        "/demo/INDEX.html",
        "/demo/index.html%20",
        "/demo/index.html.",
        "/demo/index.html::$DATA",
        "/demo/%ff",
        "/demo/sub",
        "/demo/sub/",
        "/demo/.hidden",
        "/demo/.git/config",
        "/demo/sub/.env",
        "/demo/etc/passwd",
        "/demo//etc/passwd",
        "/demo/%2fetc%2fpasswd",
        "/demo/C:/Windows/win.ini",
        "/demoindex.html",
        "/demo.",
        "/Demo/",
        "/demo%2520",
        "//demo/",
        "/../demo/",
        "/index.html",
    ] {
        assert_not_found(server.address, target);
    }
    assert_not_found(server.address, &format!("/demo/{name}/secret.txt"));
    assert_not_found(
        server.address,
        &format!("/demo/{}/secret.txt", name.replace('/', "%2F")),
    );
}

#[test]
fn what_changes_in_the_folder_later_changes_no_answer() {
    let folder = page("later", &[]);
    let server = start(Way::Native, folder.clone());
    fs::write(folder.join("index.html"), "changed").expect("a file");
    fs::write(folder.join("new.html"), "new").expect("a file");
    assert_eq!(ask(server.address, &get("/demo/")).text(), INDEX);
    assert_not_found(server.address, "/demo/new.html");
    fs::remove_dir_all(folder).expect("a folder");
    assert_eq!(ask(server.address, &get("/demo/")).text(), INDEX);
}

#[test]
fn the_contract_is_the_same_beside_a_page() {
    for way in [Way::Tenant, Way::Native] {
        let server = start(way, page("contract", &[]));
        let report = replay(&mut Sockets(server.address));
        report.assert_passed();
        assert_eq!(report.skipped, []);
    }
}

#[test]
fn without_the_flag_there_is_no_page() {
    let server = Setup::new(Way::Native).start();
    for target in ["/demo", "/demo/", "/demo/index.html"] {
        assert_not_found(server.address, target);
        let other = ask_alike(server.address, &get("/nowhere"));
        assert_eq!(ask_alike(server.address, &get(target)), other);
    }
}

/// Memory that a process has, in bytes.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let (_, behind) = status.split_once("VmRSS:").expect("its memory");
    let kib = behind.split_whitespace().next().expect("a number");
    kib.parse::<usize>().expect("a number") << 10
}

#[cfg(target_os = "linux")]
#[test]
fn slow_clients_of_a_large_file_share_it() {
    const FILE: usize = 16 << 20;
    let file = vec![b'x'; FILE];
    let folder = page("slow", &[("large.wasm", &file)]);
    let demo = folder.to_str().expect("UTF-8");
    let server = Program::serve(&["--engine=native", "--threads=1", "--demo", demo]);
    let before = resident(server.id());
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let mut connection = Connection::open(server.address);
            connection.send_exchange(&get("/demo/large.wasm"));
            // It has come to be answered.
            connection.stream().peek(&mut [0]).expect("an answer");
            connection
        })
        .collect();
    let after = resident(server.id());
    assert!(after < before + 2 * FILE, "{before} became {after}");
    for mut connection in slow {
        let reply = connection.reply().expect("an answer");
        assert!(reply.body == file);
    }
}
