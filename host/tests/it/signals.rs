//! Signals that a server lives through, whatever it is doing and wherever its state is.

use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tenantry_conformance::Exchange;

use crate::support::{
    admin::private_file,
    client::{Connection, ask, get, message, open_session, with_header},
    database::{Database as _, Folder, Sqlite, import},
    program::{Program, tenantry},
};

/// Signals that must not end a server.
const HARMLESS: [&str; 4] = ["HUP", "USR1", "USR2", "PIPE"];

/// With a database, and a token file that is to be read again.
fn serve(database: &Sqlite, tokens: Option<&Path>) -> Program {
    import(database, "tenants.jsonl");
    let state = database.state();
    let tokens = tokens.map(|path| path.to_str().expect("UTF-8").to_owned());
    let mut args = vec!["--state", &state, "--threads=1", "--engine=native"];
    if let Some(tokens) = &tokens {
        args.extend(["--admin=127.0.0.1:0", "--admin-token-file", tokens]);
    }
    Program::serve(&args)
}

fn with_token(token: &str) -> Exchange {
    with_header(get("/tenants"), "authorization", &format!("Bearer {token}"))
}

#[test]
fn a_hangup_with_a_database_and_without_tokens_says_that_nothing_is_read() {
    let database = Sqlite::new();
    let server = serve(&database, None);
    let session = open_session(server.address, "acme");
    for times in 1..=3 {
        server.signal("HUP");
        server.wait_for_log("SIGHUP: there is nothing to read again", times);
    }
    let chat = crate::support::client::chat("acme", &session, "hi");
    assert_eq!(ask(server.address, &chat).status, 200);
    server.signal("TERM");
    let (status, _, log) = server.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn admin_tokens_are_read_again_at_a_hangup_and_a_bad_file_changes_none() {
    let (old, new) = ["an-old-token-of-tests", "a-new-token-of-tests"].into();
    let path = private_file("tokens-that-change", old);
    let database = Sqlite::new();
    let server = serve(&database, Some(&path));
    let admin = server.admin_address();
    let status = |token: &str| ask(admin, &with_token(token)).status;
    assert_eq!((status(old), status(new)), (200, 401));

    // Both for a while, then the new one alone.
    private_file("tokens-that-change", format!("{new}\n{old}\n"));
    server.signal("HUP");
    server.wait_for_log("admin tokens reloaded", 1);
    assert_eq!((status(old), status(new)), (200, 200));
    private_file("tokens-that-change", new);
    server.signal("HUP");
    server.wait_for_log("admin tokens reloaded", 2);
    assert_eq!((status(old), status(new)), (401, 200));

    // Whatever is wrong with the file, the tokens stay, and the log says why.
    let stay = "the admin tokens stay as they were";
    for (round, (text, why)) in [
        ("short", "an admin token has 5 characters"),
        ("", "an admin token has 0 characters"),
        ("three words are-too-many-here", "a line has an admin token"),
        (
            "na\u{1}me a-token-that-is-long",
            "a line has an admin token",
        ),
        (&"x".repeat(5000), "larger than 4096 bytes"),
    ]
    .into_iter()
    .enumerate()
    {
        private_file("tokens-that-change", text);
        server.signal("HUP");
        server.wait_for_log(stay, round + 1);
        let line = server.log();
        let line = line.lines().rfind(|line| line.contains(stay));
        assert!(line.is_some_and(|line| line.contains(why)), "{line:?}");
        assert_eq!((status(old), status(new)), (401, 200));
    }
    fs::remove_file(&path).expect("it is there");
    server.signal("HUP");
    server.wait_for_log("the admin token file cannot be read", 1);
    let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    server.signal("HUP");
    server.wait_for_log("but a pipe, which could not be read again", 1);
    assert_eq!((status(old), status(new)), (401, 200));
    fs::remove_file(&path).expect("it is there");
    private_file("tokens-that-change", old);
    server.signal("HUP");
    server.wait_for_log("admin tokens reloaded", 3);
    assert_eq!((status(old), status(new)), (200, 401));
    let log = server.log();
    assert!(!log.contains(old) && !log.contains(new), "{log}");
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status();
    assert!(sent.expect("kill runs").success());
}

/// The store is opened for as long as its server says nothing.
#[test]
fn no_signal_ends_a_server_that_opens_its_database() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    let state = format!("postgres://tenantry:secret@127.0.0.1:{port}/postgres");
    let mut command = tenantry(&["serve", "--listen=127.0.0.1:0", "--state", &state]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let (mut connection, _) = silent.accept().expect("it asks for its database");
    let mut byte = [0];
    connection.read_exact(&mut byte).expect("a first byte");
    for name in HARMLESS {
        signal(&child, name);
    }
    std::thread::sleep(Duration::from_millis(200));
    let ended = child.try_wait().expect("it was started");
    child.kill().expect("it runs");
    child.wait().expect("it was started");
    assert_eq!(ended, None);
}

#[test]
fn no_signal_ends_a_server_that_serves_or_drains() {
    let database = Sqlite::new();
    let server = serve(&database, None);
    for name in HARMLESS {
        server.signal(name);
    }
    server.wait_for_log("SIGHUP: there is nothing to read again", 1);
    let body = r#"{"tenant_id":"acme"}"#;
    let request = Exchange {
        method: "POST".to_owned(),
        target: "/session".to_owned(),
        body: Some(body.into()),
        ..with_header(get("/"), "content-type", "application/json")
    };
    let bytes = message(&request);
    let (first, last) = bytes.split_at(bytes.len() - 1);
    let mut connection = Connection::open(server.address);
    connection.send(first);
    // The server has begun to read the request once it answers another one.
    assert_eq!(ask(server.address, &get("/")).status, 200);
    server.signal("TERM");
    server.wait_for_line("stopping: open requests are answered");
    for name in HARMLESS {
        server.signal(name);
    }
    std::thread::sleep(Duration::from_millis(100));
    connection.send(last);
    assert_eq!(connection.reply().expect("an answer").status, 200);
    let (status, _, log) = server.wait();
    assert!(status.success(), "{log}");
}

/// A service manager that listens where `NOTIFY_SOCKET` says.
#[cfg(target_os = "linux")]
#[test]
fn systemd_is_told_of_the_start_each_reload_and_the_stop() {
    use std::os::unix::net::UnixDatagram;

    let folder = Folder::new();
    let path = folder.join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket
        .set_read_timeout(Some(crate::support::client::PATIENCE))
        .expect("a timeout");
    let next = || {
        let mut text = vec![0; 4096];
        let length = socket.recv(&mut text).expect("news");
        text.truncate(length);
        String::from_utf8(text).expect("text")
    };
    let mut command = tenantry(&["serve", "--listen=127.0.0.1:0", "--threads=1"]);
    command.env("NOTIFY_SOCKET", &path);
    let server = Program::start(command);
    let address = server.address;
    assert_eq!(
        next(),
        format!("READY=1\nSTATUS=serving 3 tenants on {address}\n")
    );
    for _ in 0..2 {
        server.signal("HUP");
        let news = next();
        let since = news.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let since: Option<u64> = since.and_then(|since| since.trim_end().parse().ok());
        assert!(since.is_some_and(|since| since > 0), "{news}");
        assert_eq!(next(), "READY=1\n");
    }
    server.signal("TERM");
    let stopping = "STOPPING=1\nSTATUS=stopping: open requests are answered\n";
    assert_eq!(next(), stopping);
    let (status, _, log) = server.wait();
    assert!(status.success(), "{log}");

    // Nobody listens: the server serves all the same.
    drop(socket);
    let mut command = tenantry(&["serve", "--listen=127.0.0.1:0", "--threads=1"]);
    command.env("NOTIFY_SOCKET", &path);
    let server = Program::start(command);
    server.wait_for_line("systemd cannot be told how this server is");
    assert_eq!(ask(server.address, &get("/")).status, 200);
}
