//! SQLite on a disk that is full while the server runs, met by every kind of write.

use std::{
    collections::BTreeMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tenantry_conformance::Exchange;

use crate::support::{
    admin::{authorized, put},
    client::{PATIENCE, ask, chat, get, session_id},
    database::import_into,
    disk::SmallDisk,
    program::Program,
};

/// A server whose database is on a small disk, and what it has acknowledged.
struct Trial {
    disk: SmallDisk,
    server: Option<Program>,
    sessions: Vec<(&'static str, String)>,
    welcomes: BTreeMap<&'static str, String>,
    chats: u64,
    changes: usize,
}

impl Trial {
    fn start() -> Option<Self> {
        let disk = SmallDisk::new("3m")?;
        import_into(&state(&disk), "tenants.jsonl");
        let mut trial = Self {
            server: None,
            disk,
            sessions: Vec::new(),
            welcomes: BTreeMap::new(),
            chats: 0,
            changes: 0,
        };
        trial.run();
        Some(trial)
    }

    /// Starts the server, which does not run.
    fn run(&mut self) {
        self.server = Some(super::kills::serve_state(&state(&self.disk)));
    }

    fn server(&self) -> &Program {
        self.server.as_ref().expect("it runs")
    }

    /// Opens a session; notes it where it is acknowledged.
    fn open(&mut self, tenant: &'static str) -> u16 {
        let open = Exchange::post("/session", format!(r#"{{"tenant_id":"{tenant}"}}"#));
        let reply = ask(self.server().address, &open);
        if reply.status == 200 {
            self.sessions.push((tenant, session_id(&reply)));
        }
        reply.status
    }

    /// Changes a tenant; notes it where it is acknowledged.
    fn change(&mut self, tenant: &'static str, welcome: &str) -> u16 {
        let row = format!(r#"{{"id":"{tenant}","name":"n","welcome":"{welcome}"}}"#);
        let admin = self.server().admin_address();
        let status = ask(admin, &authorized(put(tenant, &row))).status;
        if status == 200 {
            self.welcomes.insert(tenant, welcome.to_owned());
            self.changes += 1;
        }
        status
    }

    /// Chats once in every acknowledged session.
    fn chat_in_all(&mut self) {
        for (tenant, id) in &self.sessions {
            let reply = ask(self.server().address, &chat(tenant, id, "hi"));
            assert_eq!(reply.status, 200, "a session of {tenant} is lost");
            self.chats += 1;
        }
    }

    /// Repeats something until it is acknowledged.
    fn until_acknowledged(&mut self, mut attempt: impl FnMut(&mut Self) -> u16) {
        let end = Instant::now() + PATIENCE;
        while attempt(self) != 200 {
            assert!(Instant::now() < end, "never acknowledged");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What is acknowledged is in the file, as another process reads it.
    fn assert_written(&self) {
        let path = self.disk.join("t.db");
        let sessions = number(&path, "SELECT count(*) FROM sessions");
        // A commit whose answer was lost may have written more.
        assert!(sessions >= self.sessions.len() as u64, "{sessions}");
        let changes = number(&path, "SELECT count(*) FROM audit WHERE action = 'put'");
        assert!(changes >= self.changes as u64, "{changes}");
        for (tenant, welcome) in &self.welcomes {
            let found = format!(
                "SELECT count(*) FROM tenants WHERE id = '{tenant}' \
                 AND json_extract(line, '$.welcome') = '{welcome}'"
            );
            assert_eq!(number(&path, &found), 1, "{tenant} has not {welcome}");
        }
    }
}

fn state(disk: &SmallDisk) -> String {
    format!("sqlite:{}", disk.join("t.db").display())
}

/// A number of a database, asked by a connection of its own.
fn number(path: &Path, statement: &str) -> u64 {
    use sqlx::{ConnectOptions as _, Connection as _};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    runtime.expect("a runtime").block_on(async {
        let mut connection = options.connect().await.expect("a database");
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        let number: i64 = sqlx::query_scalar(statement)
            .fetch_one(&mut connection)
            .await
            .expect("a number");
        connection.close().await.expect("closed");
        number.unsigned_abs()
    })
}

/// The disk is full, several times, and every kind of write meets it.
fn fill(trial: &mut Trial) {
    for round in 0..3 {
        trial.disk.fill();
        let mut refused = 0;
        for n in 0..8 {
            refused += u32::from(trial.open("acme") == 503);
            refused += u32::from(trial.change("globex", &format!("full {round} {n}")) == 503);
            let admin = trial.server().admin_address();
            let revoke = Exchange {
                method: "DELETE".to_owned(),
                ..get("/tenants/initech/sessions")
            };
            refused += u32::from(ask(admin, &authorized(revoke)).status == 503);
        }
        assert!(refused > 0, "the disk was not full");
        // Uses of sessions and usage are written once a second.
        trial.chat_in_all();
        thread::sleep(Duration::from_millis(1200));
        trial.disk.empty();
        trial.until_acknowledged(|trial| trial.open("acme"));
        for _ in 0..5 {
            assert_eq!(trial.open("acme"), 200);
        }
        let welcome = format!("room again {round}");
        trial.until_acknowledged(|trial| trial.change("globex", &welcome));
        trial.assert_written();
    }
}

#[test]
fn what_was_answered_is_in_the_file_after_the_disk_was_full_and_a_kill() {
    let Some(mut trial) = Trial::start() else {
        return;
    };
    trial.open("acme");
    fill(&mut trial);
    trial.server().signal("KILL");
    trial.server = None;
    trial.run();
    trial.chat_in_all();
    trial.assert_written();
    let row = ask(
        trial.server().admin_address(),
        &authorized(get("/tenants/globex")),
    );
    let row: Value = serde_json::from_slice(&row.body).expect("JSON");
    assert_eq!(
        row["row"]["welcome"].as_str(),
        Some(&*trial.welcomes["globex"])
    );
}

#[test]
fn usage_is_whole_after_the_disk_was_full_and_a_stop() {
    let Some(mut trial) = Trial::start() else {
        return;
    };
    trial.open("acme");
    fill(&mut trial);
    let server = trial.server.take().expect("it runs");
    server.signal("TERM");
    let (status, _, log) = server.wait();
    assert!(status.success(), "{log}");
    assert!(!log.contains("usage was lost"), "{log}");
    trial.assert_written();
    let chats = "SELECT sum(chats) FROM usage WHERE step = 1440";
    assert_eq!(number(&trial.disk.join("t.db"), chats), trial.chats);
}

#[test]
fn usage_that_a_full_disk_does_not_take_before_the_stop_is_said_to_be_lost() {
    let Some(mut trial) = Trial::start() else {
        return;
    };
    trial.open("acme");
    trial.disk.fill();
    trial.chat_in_all();
    let server = trial.server.take().expect("it runs");
    server.signal("TERM");
    let (_, _, log) = server.wait();
    let path = trial.disk.join("t.db");
    trial.disk.empty();
    let chats = number(
        &path,
        "SELECT coalesce(sum(chats), 0) FROM usage WHERE step = 1440",
    );
    // A write may fit into room that the file had already.
    assert!(
        chats == trial.chats || log.contains("usage was lost"),
        "{log}"
    );
}
