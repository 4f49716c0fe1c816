//! Which hosts a request may be for: a page of somebody else's name gets nothing.

use std::net::SocketAddr;

use crate::support::{
    admin::{TOKEN, problem, token_file},
    client::{Connection, ask, get, with_header},
    program::{Program, run},
};

fn serve(args: &[&str]) -> (Program, SocketAddr) {
    let token = token_file().to_str().expect("UTF-8");
    let own = [
        "--engine=native",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        token,
    ];
    let server = Program::serve(&[&own[..], args].concat());
    server.wait_until_ready();
    let admin = server.admin_address();
    (server, admin)
}

/// The status of a request with these lines behind its target and version.
fn status(admin: SocketAddr, start: &str, headers: &str) -> u16 {
    let mut connection = Connection::open(admin);
    connection.send(format!(
        "{start}\r\n{headers}authorization: Bearer {TOKEN}\r\n\r\n"
    ));
    let reply = connection.reply().expect("an answer");
    if reply.status >= 400 {
        problem(&reply);
    }
    reply.status
}

#[test]
fn a_host_is_an_address_or_localhost_or_a_name_of_the_flag() {
    let (_server, admin) = serve(&["--admin-host=Tenantry-1,other.example."]);
    let (_bare, unnamed) = serve(&[]);
    let port = admin.port();
    for (host, named, bare) in [
        (format!("127.0.0.1:{port}"), 200, 200),
        ("10.1.2.3".to_owned(), 200, 200),
        ("[::1]:9001".to_owned(), 200, 200),
        ("localhost".to_owned(), 200, 200),
        ("LOCALHOST.:1".to_owned(), 200, 200),
        ("tenantry-1:9001".to_owned(), 200, 421),
        ("TENANTRY-1".to_owned(), 200, 421),
        ("other.example".to_owned(), 200, 421),
        ("rebound.example".to_owned(), 421, 421),
        ("localhost.rebound.example".to_owned(), 421, 421),
        ("tenantry-1.rebound.example".to_owned(), 421, 421),
        ("127.0.0.1.rebound.example".to_owned(), 421, 421),
        ("2130706433".to_owned(), 421, 421),
        ("admin@localhost".to_owned(), 400, 400),
        ("localhost:x".to_owned(), 400, 400),
        ("[::1".to_owned(), 400, 400),
        (String::new(), 400, 400),
    ] {
        // Of every route: with a token and without one, there or not.
        for (path, known) in [
            ("/tenants", 200),
            ("/healthz", 200),
            ("/readyz", 200),
            ("/metrics", 200),
            ("/nowhere", 404),
        ] {
            for (admin, expected) in [(admin, named), (unnamed, bare)] {
                let expected = if expected == 200 { known } else { expected };
                let start = format!("GET {path} HTTP/1.1");
                let found = status(admin, &start, &format!("host: {host}\r\n"));
                assert_eq!(found, expected, "{path} {host}");
            }
        }
    }
    let reply = ask(unnamed, &with_header(get("/metrics"), "host", "tenantry-1"));
    assert_eq!(problem(&reply), (421, "misdirected".into()));
    let text = reply.text();
    assert!(text.contains("--admin-host tenantry-1"), "{text}");
}

#[test]
fn a_host_is_given_once_and_the_target_has_a_say() {
    let (_server, admin) = serve(&[]);
    let good = "host: localhost\r\n";
    for (start, headers, expected) in [
        ("GET /healthz HTTP/1.1", "", 400),
        (
            "GET /healthz HTTP/1.1",
            "host: localhost\r\nhost: localhost\r\n",
            400,
        ),
        (
            "GET /healthz HTTP/1.1",
            "host: localhost\r\nhost: rebound.example\r\n",
            400,
        ),
        // Balancers check with HTTP/1.0 and no host; no browser does.
        ("GET /healthz HTTP/1.0", "", 200),
        ("GET /healthz HTTP/1.0", good, 200),
        ("GET /healthz HTTP/1.0", "host: rebound.example\r\n", 421),
        (
            "GET /healthz HTTP/1.0",
            "host: localhost\r\nhost: localhost\r\n",
            400,
        ),
        ("GET http://localhost/healthz HTTP/1.1", good, 200),
        ("GET http://rebound.example/healthz HTTP/1.1", good, 421),
        (
            "GET http://localhost/healthz HTTP/1.1",
            "host: rebound.example\r\n",
            421,
        ),
        ("GET http://me@localhost/healthz HTTP/1.1", good, 400),
    ] {
        assert_eq!(status(admin, start, headers), expected, "{start} {headers}");
    }
}

#[test]
fn a_name_that_no_host_has_stops_the_start() {
    let token = token_file().to_str().expect("UTF-8");
    for name in ["http://tenantry-1", "tenantry-1:9001", "10.0.0.1", "*"] {
        let output = run(&["serve", "--admin-token-file", token, "--admin-host", name]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("it must be a host name such as"), "{error}");
    }
    let output = run(&["serve", "--admin-host", "tenantry-1"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("--admin-token-file"), "{error}");
}
