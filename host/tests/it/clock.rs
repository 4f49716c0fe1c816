//! The program while the system's clock is set: with libfaketime, which sets that of one process.

#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use tenantry_conformance::Exchange;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::support::{
    admin::{authorized, patch, token_file},
    client::{PATIENCE, ask, chat, get, open_session},
    database::{Database as _, Sqlite, import},
    program::{Program, tenantry},
};

/// The library, wherever Debian has it for this machine.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a system");
    let folders = folders.filter_map(|entry| Some(entry.ok()?.path()));
    let files = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let mut files = files.chain([PathBuf::from("/usr/lib/faketime/libfaketimeMT.so.1")]);
    files
        .find(|file| file.exists())
        .expect("there is no libfaketime: `cargo xtask test` installs it (package faketime)")
}

/// A database, and what its server's clock is ahead.
struct Setting {
    database: Sqlite,
    offset: PathBuf,
}

impl Setting {
    fn new() -> Self {
        let database = Sqlite::new();
        import(&database, "tenants.jsonl");
        let offset = database.0.join("offset");
        let setting = Self { database, offset };
        setting.set("+0");
        setting
    }

    /// Sets the clock: `+2d` is two days ahead of the real one.
    fn set(&self, offset: &str) {
        // It may be read at any moment.
        let new = self.offset.with_extension("new");
        fs::write(&new, offset).expect("a file");
        fs::rename(new, &self.offset).expect("it is there");
    }

    fn serve(&self) -> Program {
        let state = self.database.state();
        let tokens = token_file().to_str().expect("UTF-8");
        let mut command = tenantry(&[
            "serve",
            "--listen=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--admin-token-file",
            tokens,
            "--state",
            &state,
            "--session-ttl=1h",
            "--threads=1",
            "--engine=native",
        ]);
        self.fake(&mut command);
        Program::start(command)
    }

    fn fake(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &self.offset)
            .env("FAKETIME_NO_CACHE", "1")
            // No step moves that one.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
}

fn stop(server: Program) {
    server.signal("TERM");
    let (status, _, log) = server.wait();
    assert!(status.success(), "{log}");
}

/// How many days a time is ahead of now.
fn days_ahead(time: &Value) -> i64 {
    let time = time.as_str().expect("a time");
    let time = OffsetDateTime::parse(time, &Rfc3339).expect("RFC 3339");
    let ahead = time - OffsetDateTime::from(SystemTime::now());
    // The test itself takes a while.
    (ahead.whole_hours() + 12).div_euclid(24)
}

fn json(program: &Program, exchange: Exchange) -> Value {
    let reply = ask(program.admin_address(), &authorized(exchange));
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// Waits until there is usage in a minute that is so many days ahead.
fn wait_for_usage(program: &Program, days: i64) {
    let end = Instant::now() + PATIENCE;
    loop {
        let usage = json(program, get("/usage?step=minute"));
        let rows = usage["usage"].as_array().expect("rows");
        if rows.iter().any(|row| days_ahead(&row["start"]) == days) {
            return;
        }
        assert!(Instant::now() < end, "{usage}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_alive(program: &Program, session: &str) -> bool {
    let status = ask(program.address, &chat("acme", session, "hi")).status;
    assert!([200, 404].contains(&status), "{status}");
    status == 200
}

#[test]
fn a_server_lives_through_steps_of_the_clock_and_writes_down_the_time_that_it_shows() {
    let setting = Setting::new();
    let server = setting.serve();
    let session = open_session(server.address, "acme");
    for (n, (offset, days)) in [("+2d", 2), ("-3d", -3), ("+0", 0)].into_iter().enumerate() {
        setting.set(offset);
        assert!(is_alive(&server, &session), "{offset}");
        let change = format!(r#"{{"welcome":"Hello {n}"}}"#);
        let told = json(&server, patch("acme", &change));
        assert_eq!(days_ahead(&told["changed"]), days);
        wait_for_usage(&server, days);
    }
    server.wait_for_log("the clock was set forward by", 2);
    server.wait_for_log("the clock was set back by", 1);
    let audit = json(&server, get("/audit?tenant=acme"));
    let records = audit["records"].as_array().expect("records");
    let days: Vec<_> = records
        .iter()
        .map(|record| days_ahead(&record["at"]))
        .collect();
    assert_eq!(days, [2, -3, 0]);
    stop(server);
    let server = setting.serve();
    assert!(is_alive(&server, &session));
}

#[test]
fn a_start_with_a_wrong_clock_ends_no_session_for_good() {
    let setting = Setting::new();
    let server = setting.serve();
    let session = open_session(server.address, "acme");
    stop(server);
    setting.set("+2d");
    let server = setting.serve();
    assert!(!is_alive(&server, &session), "as if two days had passed");
    let later = open_session(server.address, "acme");
    stop(server);
    // Set right: one was used a moment ago, the other one will have been.
    setting.set("+0");
    let server = setting.serve();
    assert!(is_alive(&server, &session));
    assert!(is_alive(&server, &later));
}

#[test]
fn the_library_that_sets_clocks_does_so() {
    let setting = Setting::new();
    setting.set("+2d");
    let mut date = Command::new("date");
    setting.fake(date.args(["--utc", "+%Y-%m-%dT%H:%M:%SZ"]));
    let output = date.output().expect("date runs");
    let date = String::from_utf8(output.stdout).expect("text");
    assert_eq!(days_ahead(&Value::from(date.trim())), 2);
    assert!(Path::new(&setting.offset).exists());
}
