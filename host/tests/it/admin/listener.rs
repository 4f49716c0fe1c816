//! The listener itself: its token, its bounds, its log and its end.

use std::{net::TcpListener, process::Output, sync::Arc, time::Duration};

use serde_json::Value;
use tenantry::{
    admin::{Admin, Settings, Tokens},
    server,
};
use tenantry_conformance::Exchange;

use crate::support::{
    admin::{Administered, TOKEN, authorized, private_file, problem, put, request, token_file},
    client::{Connection, ask, get, message, open_session, with_header},
    database::{Database, Sqlite},
    program::{Program, run, tenantry},
    server::{Setup, Way},
};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn nothing_is_answered_without_the_token() {
    let server = Administered::start();
    for target in [
        "/tenants",
        "/openapi.json",
        "/nowhere",
        "/tenants/acme/suspend",
    ] {
        let exchange = get(target);
        let reply = ask(server.admin, &exchange);
        assert_eq!(problem(&reply), (401, "unauthorized".into()), "{target}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        for value in [
            "Bearer another-token-than-it-is",
            &format!("Bearer {TOKEN}x"),
            &format!("Bearer {}", &TOKEN[1..]),
        ] {
            let reply = ask(
                server.admin,
                &with_header(exchange.clone(), "authorization", value),
            );
            assert_eq!(problem(&reply).0, 401, "{value}");
            let expected = Some(r#"Bearer error="invalid_token""#);
            assert_eq!(reply.header("www-authenticate"), expected);
        }
        for value in [TOKEN, &format!("Basic {TOKEN}"), "Bearer", "Bearer "] {
            let reply = ask(
                server.admin,
                &with_header(exchange.clone(), "authorization", value),
            );
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{value}");
        }
    }
    let any_case = with_header(get("/tenants"), "authorization", &format!("bearer {TOKEN}"));
    assert_eq!(ask(server.admin, &any_case).status, 200);
    // The service knows nothing of it.
    assert_eq!(
        ask(server.service, &authorized(get("/tenants"))).status,
        404
    );
}

#[test]
fn a_file_that_gives_no_token_stops_the_start() {
    let long = "x".repeat(5000);
    for (name, text, part) in [
        ("empty", "", "has 0 characters and must have at least 16"),
        ("blank", " \n\t\n", "has 0 characters"),
        ("short", "  fifteen-letters\n", "has 15 characters"),
        ("inside", "sixteen letters, and blanks", "no white space"),
        ("named", "sixteen fifteen-letters", "has 15 characters"),
        (
            "second",
            "a-sixteen-letters-token\nsixteen",
            "has 7 characters",
        ),
        (
            "beyond",
            "sixteen-lettérs-and-more",
            "letters, digits and signs of ASCII",
        ),
        ("long", &long, "larger than 4096 bytes"),
    ] {
        let path = private_file(&format!("token-{name}"), text);
        let path = path.to_str().expect("UTF-8");
        for args in [
            [
                "serve",
                "--listen=127.0.0.1:0",
                "--engine=native",
                "--admin-token-file",
                path,
            ]
            .as_slice(),
            &["tenants", "list", "--admin-token-file", path],
        ] {
            let output = run(args);
            let message = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{name}: {message}");
            assert!(
                message.starts_with(&format!("error: {path}: ")),
                "{message}"
            );
            assert!(message.contains(part), "{message}");
            assert!(!message.contains("sixteen"), "{message}");
        }
    }
    for path in ["nowhere/token", "."] {
        let output = run(&["serve", "--admin-token-file", path]);
        assert_eq!(output.status.code(), Some(2));
        let wanted = format!("error: {path}: the admin token file cannot be read: ");
        assert!(stderr(&output).starts_with(&wanted), "{}", stderr(&output));
    }
}

/// Several people, each with a token, and one who changes to a new one.
#[test]
fn the_audit_says_whose_token_it_was() {
    let lines = "alice  alices-token-for-tests\n\nbob bobs-token-for-tests\n\
                 bob bobs-next-token-for-tests\n  a-token-without-a-name \n";
    let tokens = private_file("token-several", lines);
    let tokens = tokens.to_str().expect("UTF-8");
    let state = Sqlite::new();
    let server = Program::serve(&[
        "--engine=native",
        "--state",
        &state.state(),
        "--state-create",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        tokens,
    ]);
    let admin = server.admin_address();
    let by =
        |token: &str, exchange| with_header(exchange, "authorization", &format!("Bearer {token}"));
    for (n, token) in [
        "alices-token-for-tests",
        "bobs-next-token-for-tests",
        "a-token-without-a-name",
        "bobs-token-for-tests",
    ]
    .iter()
    .enumerate()
    {
        let row = format!(r#"{{"id":"acme","name":"n","welcome":"{n}"}}"#);
        let reply = ask(admin, &by(token, put("acme", &row)));
        assert!([200, 201].contains(&reply.status), "{}", reply.text());
    }
    let nobody = by("nobodys-token-for-tests", get("/audit"));
    assert_eq!(ask(admin, &nobody).status, 401);
    // The commands use the first one.
    let args = ["audit", "--output", "json", "--admin-token-file", tokens];
    let server = format!("http://{admin}");
    let output = run(&[&args[..], &["--server", &server]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let audit: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let who = audit.as_array().into_iter().flatten();
    let who: Vec<_> = who.map(|record| &record["who"]).collect();
    assert_eq!(who, ["alice", "bob", "admin", "bob"]);
}

#[cfg(unix)]
#[test]
fn a_token_that_other_users_may_read_stops_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = private_file("token-exposed", TOKEN);
    for mode in [0o604, 0o602, 0o666] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, mode).expect("a file of one's own");
        let output = run(&["serve", "--admin-token-file", path.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("chmod 600"), "{}", stderr(&output));
    }
}

#[test]
fn an_admin_address_without_a_token_or_in_use_is_refused() {
    let output = run(&["serve", "--admin", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("--admin-token-file"),
        "{}",
        stderr(&output)
    );
    let token = token_file().to_str().expect("UTF-8");
    let output = run(&["serve", "--admin=nonsense", "--admin-token-file", token]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("write it as 127.0.0.1:9001"),
        "{}",
        stderr(&output)
    );

    let occupied = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = occupied.local_addr().expect("an address").to_string();
    let output = run(&[
        "serve",
        "--listen=127.0.0.1:0",
        "--engine=native",
        "--admin",
        &address,
        "--admin-token-file",
        token,
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let wanted = format!("{address} cannot be listened on for the admin API; --admin names");
    assert!(stderr(&output).contains(&wanted), "{}", stderr(&output));
}

#[test]
fn the_log_has_routes_and_tenants_and_no_secret() {
    let token = token_file().to_str().expect("UTF-8");
    let program = Program::serve(&[
        "--engine=native",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        token,
        "--log=json",
        "--log-filter=trace",
    ]);
    let admin = program.admin_address();
    let session = open_session(program.address, "acme");
    let asks = [
        (get("/tenants/acme/sessions"), 200),
        (
            request("DELETE", &format!("/tenants/acme/sessions/{session}")),
            204,
        ),
        (get(&format!("/sessions/{session}?s3cret")), 404),
        (put("acme", "s3cret-body"), 400),
        (put("acme", r#"{"name":"s3cret","welcome":"w"}"#), 409),
    ];
    let mut ids = Vec::new();
    for (exchange, status) in &asks {
        let reply = ask(admin, &authorized(exchange.clone()));
        assert_eq!(reply.status, *status, "{}", reply.text());
        ids.push(reply.header("x-request-id").expect("an id").to_owned());
    }
    ask(
        admin,
        &with_header(
            get("/tenants"),
            "authorization",
            "Bearer s3cret-of-somebody",
        ),
    );
    program.signal("TERM");
    let (status, _, log) = program.wait();
    assert!(status.success(), "{log}");
    for secret in [&*session, "s3cret", TOKEN] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
    let records = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let records: Vec<Value> = records
        .filter(|record: &Value| {
            record["target"] == "tenantry::admin" && record["route"].is_string()
        })
        .collect();
    let of = |id: &str| records.iter().find(|record| record["request_id"] == id);
    let first = of(&ids[0]).expect("a record");
    assert_eq!(first["method"], "GET");
    assert_eq!(first["route"], "/tenants/{id}/sessions");
    assert_eq!(first["tenant"], "acme");
    assert_eq!(first["status"], 200);
    assert!(first["duration_us"].is_u64());
    assert_eq!(
        of(&ids[1]).expect("a record")["route"],
        "/tenants/{id}/sessions/{session}"
    );
    assert!(of(&ids[2]).is_none(), "an unknown path has no route");
}

#[test]
fn without_a_token_there_is_no_admin_api() {
    let program = Program::serve(&["--engine=native", "--log=json"]);
    program.signal("TERM");
    let (_, _, log) = program.wait();
    assert!(!log.contains("tenantry::admin"), "{log}");
}

#[test]
fn tenants_of_a_file_are_told_and_not_changed() {
    let token = token_file().to_str().expect("UTF-8");
    let args = [
        "--engine=native",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        token,
    ];
    let program = Program::serve(&args);
    let admin = program.admin_address();
    let told = ask(admin, &authorized(get("/tenants/acme")));
    let told: Value = serde_json::from_slice(&told.body).expect("JSON");
    assert!(told.get("created").is_none(), "{told}");
    for exchange in [
        put("acme", r#"{"name":"n","welcome":"w"}"#),
        request("POST", "/tenants/acme/suspend"),
        request("DELETE", "/tenants/acme"),
    ] {
        let reply = ask(admin, &authorized(exchange));
        assert_eq!(problem(&reply), (409, "read-only".into()));
        let text = reply.text();
        assert!(
            text.contains("those of tenants.jsonl: edit that file"),
            "{text}"
        );
        assert!(text.contains("--state"), "{text}");
    }
    // In the environment, the same.
    let mut command = tenantry(&["serve", "--listen=127.0.0.1:0", "--engine=native"]);
    command.env("TENANTRY_ADMIN", "127.0.0.1:0");
    command.env("TENANTRY_ADMIN_TOKEN_FILE", token);
    let program = Program::start(command);
    assert_eq!(
        ask(program.admin_address(), &authorized(get("/tenants"))).status,
        200
    );
}

#[test]
fn a_slow_or_silent_client_is_cut_off_and_keeps_nobody_out() {
    let settings = Settings {
        max_connections: 2,
        head_timeout: Duration::from_millis(100),
        request_timeout: Duration::from_millis(300),
        ..Settings::default()
    };
    let server = Administered::with(Way::Native, settings, |_| {});
    // Two connections that say nothing are all that there may be.
    let mut silent = [(); 2].map(|()| Connection::open(server.admin));
    assert_eq!(server.ask(&get("/tenants")).status, 200);
    for connection in &mut silent {
        assert!(connection.is_closed());
    }
    // One that was answered, and is idle since.
    let mut idle = Connection::open(server.admin);
    let first = idle
        .exchange(&authorized(get("/tenants")))
        .expect("an answer");
    assert_eq!(first.status, 200);
    assert!(idle.is_closed());
    // A body that never ends.
    let bytes = message(&authorized(put("acme", "{}")));
    let mut slow = Connection::open(server.admin);
    slow.send(&bytes[..bytes.len() - 1]);
    assert_eq!(problem(&slow.reply().expect("an answer")).0, 503);
    // A head that is too large.
    let long = Exchange {
        headers: vec![("x".to_owned(), vec![b'x'; 100 << 10])],
        ..get("/tenants")
    };
    assert_eq!(ask(server.admin, &long).status, 431);
    // A body that breaks off.
    let mut broken = Connection::open(server.admin);
    broken.send(&bytes[..bytes.len() - 1]);
    broken.finish_sending();
    drop(broken);
    assert_eq!(server.json(&get("/tenants/acme"), 200)["version"], 1);
}

#[test]
fn it_answers_while_the_server_drains_and_ends_with_it() {
    let mut server = Administered::start();
    let mut kept = Connection::open(server.admin);
    let exchange = authorized(get("/tenants"));
    kept.exchange(&exchange).expect("an answer");
    server.server.shutdown.drain();
    server.server.join();
    assert_eq!(server.ask(&get("/tenants")).status, 200);
    server.running.take().expect("it runs").stop();
    assert!(kept.is_closed());
    assert!(std::net::TcpStream::connect(server.admin).is_err());
}

#[test]
fn a_request_under_way_is_answered_before_the_end_and_cut_off_by_a_stop_at_once() {
    use std::sync::atomic::Ordering;
    for at_once in [false, true] {
        let mut server = Administered::start();
        server.store.is_silent.store(true, Ordering::SeqCst);
        let mut connection = Connection::open(server.admin);
        let bytes = message(&authorized(put("acme", r#"{"name":"n","welcome":"w"}"#)));
        let (first, last) = bytes.split_at(bytes.len() - 1);
        connection.send(first);
        // It is in the server's hands once another one is answered behind it.
        assert_eq!(ask(server.admin, &get("/")).status, 401);
        let running = server.running.take().expect("it runs");
        let shutdown = server.server.shutdown.clone();
        let stop = std::thread::spawn(move || running.stop());
        if at_once {
            shutdown.now();
            stop.join().expect("it stops");
            assert!(connection.reply().is_err());
        } else {
            server.store.is_silent.store(false, Ordering::SeqCst);
            connection.send(last);
            assert_eq!(connection.reply().expect("an answer").status, 200);
            stop.join().expect("it stops");
        }
    }
}

#[test]
fn routes_that_need_no_token_are_answered_beside_the_others() {
    let setup = Setup::new(Way::Native);
    let listener = server::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let tokens = Tokens::read(token_file()).expect("a token");
    let state = Arc::new(setup.state());
    let routes = axum::Router::new().route("/ping", axum::routing::get(async || "pong"));
    let api = Admin::new(listener, Settings::default(), tokens, state).with_open_routes(routes);
    let server = setup.start();
    let running = api.start(server.shutdown.clone()).expect("a thread");
    let reply = ask(address, &get("/ping"));
    assert_eq!((reply.status, reply.text()), (200, "pong".to_owned()));
    assert!(reply.header("x-request-id").is_some());
    let reply = ask(address, &request("POST", "/ping"));
    assert_eq!(problem(&reply), (405, "method-not-allowed".into()));
    assert_eq!(reply.header("allow"), Some("GET,HEAD"));
    assert_eq!(ask(address, &get("/ping/")).status, 401);
    assert_eq!(ask(address, &authorized(get("/tenants"))).status, 200);
    running.stop();
}
