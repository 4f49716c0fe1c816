//! Files that may be open: connections get what the system's limit leaves, and no more.

use std::{io::ErrorKind, time::Duration};

use tenantry_conformance::Exchange;

use crate::support::{
    admin::token_file,
    client::{Connection, PATIENCE, ask, get},
    database::{Database as _, Sqlite, import},
    program::{Program, with_files},
};

/// The number behind `name=` in a line of the log.
fn number(line: &str, name: &str) -> usize {
    let (_, rest) = line.split_once(name).expect(line);
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).expect(line)
}

#[test]
fn more_connections_than_open_files_allow_wait_and_disturb_nobody() {
    let database = Sqlite::new();
    import(&database, "tenants.jsonl");
    let (state, token) = (database.state(), token_file().display().to_string());
    let program = Program::start(with_files(
        384,
        &[
            "serve",
            "--listen=127.0.0.1:0",
            "--threads=2",
            "--idle-timeout=1h",
            "--state",
            &state,
            "--admin=127.0.0.1:0",
            "--admin-token-file",
            &token,
        ],
    ));
    let warning = program.wait_for_line("fewer connections than --max-connections says");
    let start = program.wait_for_line("max_buffered=");
    let bound = number(&start, "max_connections=");
    assert_eq!(number(&warning, "max_connections="), bound);
    assert_eq!(number(&warning, "open_files="), 384);
    assert!((16..300).contains(&bound), "{bound}");
    let admin = program.admin_address();
    let metrics = ask(admin, &get("/metrics")).text();
    assert!(metrics.contains(&format!("\ntenantry_connections_max {bound}\n")));

    let mut open: Vec<_> = (0..bound)
        .map(|_| Connection::open(program.address))
        .collect();
    let mut waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut connection = Connection::open(program.address);
            connection.send_exchange(&get("/"));
            connection
        })
        .collect();
    // Every connection is served that is open, sandboxes and the database have their files, and
    // so have those who ask whether the server lives.
    let session = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
    for connection in &mut open {
        for (exchange, status) in [(&get("/"), 200), (&session, 200)] {
            let reply = connection.exchange(exchange).expect("an answer");
            assert_eq!(reply.status, status, "{}", reply.text());
        }
    }
    let mut probes: Vec<_> = (0..100).map(|_| Connection::open(admin)).collect();
    for probe in &mut probes {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(probe.exchange(&get(path)).expect("an answer").status, 200);
        }
    }
    for connection in &waiting {
        let stream = connection.stream();
        let moment = Duration::from_millis(20);
        stream.set_read_timeout(Some(moment)).expect("a socket");
        let error = stream.peek(&mut [0]).expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    }
    drop(open);
    for connection in &mut waiting {
        assert_eq!(connection.reply().expect("an answer").status, 200);
    }
    drop((waiting, probes));
    program.signal("TERM");
    let (status, _, log) = program.wait();
    assert!(status.success(), "{log}");
    assert!(!log.contains("no connection could be accepted"), "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
}

#[test]
fn a_start_that_leaves_next_to_no_connections_is_refused() {
    let mut command = with_files(80, &["serve", "--listen=127.0.0.1:0", "--threads=1"]);
    let output = command.output().expect("the program runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("the system lets this process have 80 open files, and it needs at least"),
        "{message}"
    );
    assert!(message.contains("(ulimit -n)"), "{message}");
    assert!(output.stdout.is_empty(), "the port was bound");
}
