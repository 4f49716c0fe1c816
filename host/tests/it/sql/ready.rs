//! /readyz is true while writes work, and false while they can't.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use tenantry_conformance::Exchange;

use crate::support::{
    admin::{authorized, put},
    client::{PATIENCE, ask, open_session},
    database::{Database, Folder, Postgres, Sqlite, import, import_into},
    disk::SmallDisk,
    early::Early,
    front::Front,
};

fn open() -> Exchange {
    Exchange::post("/session", r#"{"tenant_id":"acme"}"#)
}

/// A change of a tenant by the admin API; its status.
fn change(server: &Early) -> u16 {
    let row = r#"{"id":"globex","name":"n","welcome":"w"}"#;
    ask(server.admin, &authorized(put("globex", row))).status
}

fn serve(state: &str) -> Early {
    let mut server = Early::serve(state, &["--store-timeout", "2s"]);
    server.wait_for_address();
    server.wait_until_ready();
    server
}

/// Waits until the server is not ready because of this store, for this reason.
fn wait_for_obstacle(server: &mut Early, store: &str, why: &str) {
    server.until(why, |server| {
        let (_, obstacles) = server.readiness();
        let mut obstacles = obstacles.iter();
        let is_there = obstacles.any(|(what, text)| what == store && text.contains(why));
        is_there.then_some(())
    });
}

#[test]
fn a_full_disk_is_an_obstacle_until_there_is_room() {
    let Some(disk) = SmallDisk::new("8m") else {
        return;
    };
    let state = format!("sqlite:{}", disk.join("a.db").display());
    import_into(&state, "tenants.jsonl");
    let mut server = serve(&state);
    let address = server.wait_for_address();
    for _ in 0..2 {
        disk.fill();
        // At once, and not when the last write is long ago.
        let (is_ready, obstacles) = server.readiness();
        assert!(!is_ready);
        let (store, why) = &obstacles[0];
        assert!(
            store == "sqlite" && why.contains("its disk is full"),
            "{why}"
        );
        disk.empty();
        server.wait_until_ready();
        assert_eq!(ask(address, &open()).status, 200);
    }
}

/// A write that came to nothing is an obstacle until PostgreSQL has room for rows again, whatever
/// it says of itself.
#[test]
fn a_full_disk_of_postgresql_is_an_obstacle_until_there_is_room() {
    let Some(disk) = SmallDisk::new("160m") else {
        return;
    };
    let Some(database) = Postgres::start_on(&disk) else {
        return;
    };
    import(&database, "tenants.jsonl");
    // Sessions are swept all the time: transactions that find nothing to change prove nothing.
    let args = ["--store-timeout", "2s", "--session-ttl", "30s"];
    let mut server = Early::serve(&database.state(), &args);
    let address = server.wait_for_address();
    server.wait_until_ready();
    disk.fill();
    let deadline = Instant::now() + PATIENCE;
    // Some more sessions have room in what the table has already.
    while ask(address, &open()).status == 200 {
        assert!(Instant::now() < deadline, "the disk is not full");
    }
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        let (is_ready, _) = server.readiness();
        assert!(!is_ready || ask(address, &open()).status == 200);
        thread::sleep(Duration::from_millis(100));
    }
    disk.empty();
    server.wait_until_ready();
    assert_eq!(ask(address, &open()).status, 200);
}

/// What the system says of a disk's room is not all: a quota, or a fault, shows only where
/// something is written.
#[test]
fn a_database_that_cannot_be_written_is_an_obstacle() {
    let database = Sqlite::new();
    import(&database, "tenants.jsonl");
    let mut server = serve(&database.state());
    let address = server.wait_for_address();
    let path = database.path();
    let (locked, is_locked) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    // Somebody else writes, and does not end.
    let holder = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        runtime.expect("a runtime").block_on(async {
            use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
            let mut connection = options.connect().await.expect("a database");
            connection.execute("BEGIN IMMEDIATE").await.expect("a lock");
            locked.send(()).expect("somebody waits");
            released.recv().expect("somebody waits");
            connection.execute("ROLLBACK").await.expect("a transaction");
            connection.close().await.expect("closed");
        });
    });
    is_locked.recv().expect("a lock");
    server.until("not ready", |server| (!server.readiness().0).then_some(()));
    assert_eq!(ask(address, &open()).status, 503);
    release.send(()).expect("it waits");
    holder.join().expect("it ends");
    server.wait_until_ready();
    server.until("a session", |_| {
        (ask(address, &open()).status == 200).then_some(())
    });
}

#[test]
fn files_that_are_deleted_or_replaced_are_noticed_and_nothing_is_acknowledged() {
    for (name, replace) in [("", false), ("", true), ("-wal", false), ("-shm", false)] {
        let database = Sqlite::new();
        import(&database, "tenants.jsonl");
        let mut server = serve(&database.state());
        let address = server.wait_for_address();
        let session = open_session(address, "acme");
        let mut file = database.path().into_os_string();
        file.push(name);
        let kept = database.0.join("kept");
        fs::rename(&file, &kept).expect("a file");
        if replace {
            fs::copy(&kept, &file).expect("a copy");
        }
        // A session is acknowledged where it can be found again: not even before it is seen
        // that the file has gone.
        assert_eq!(ask(address, &open()).status, 503, "{name:?} {replace}");
        wait_for_obstacle(&mut server, "sqlite", "while it is open");
        // SQLite makes a log anew that is not there.
        let said = match (name, replace) {
            ("", false) => "was deleted or moved while it is open: nothing is written",
            ("", true) => "was replaced while it is open: nothing is written",
            _ => "while it is open: nothing is written",
        };
        server.wait_for_log(said);
        assert_eq!(ask(address, &open()).status, 503, "{name:?} {replace}");
        assert_eq!(change(&server), 503, "{name:?} {replace}");
        // What is in memory is answered.
        let chat = crate::support::client::chat("acme", &session, "hi");
        assert_eq!(ask(address, &chat).status, 200);
        // It is said once.
        thread::sleep(Duration::from_millis(2500));
        assert_eq!(server.log().matches(said).count(), 1, "{}", server.log());
        // Back where it was, all is well.
        fs::rename(&kept, &file).expect("a file");
        server.wait_until_ready();
        server.until("a session", |_| {
            (ask(address, &open()).status == 200).then_some(())
        });
        assert_eq!(change(&server), 200);
    }
}

#[test]
fn a_disk_that_is_read_only_from_now_on_is_an_obstacle() {
    let folder = Folder::new();
    let state = format!("sqlite:{}", folder.join("a.db").display());
    let mount = |args: &[&str]| {
        let done = std::process::Command::new("mount")
            .args(args)
            .arg(&folder.0)
            .output();
        done.is_ok_and(|done| done.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=8m", "tenantry-test"]) {
        assert!(std::env::var_os("CI").is_none(), "no disk can be mounted");
        return;
    }
    let done = std::panic::catch_unwind(|| {
        import_into(&state, "tenants.jsonl");
        let mut server = serve(&state);
        let address = server.wait_for_address();
        // Open files that can be written keep a disk as it is; the system's own faults do not
        // ask. A second view of it stands for them.
        let bind = |args: &[&str]| assert!(mount(args), "{args:?}");
        let path = folder.0.display().to_string();
        bind(&["--bind", &path]);
        bind(&["-o", "remount,bind,ro"]);
        wait_for_obstacle(&mut server, "sqlite", "read only");
        let unmounted = std::process::Command::new("umount").arg(&folder.0).status();
        assert!(unmounted.expect("umount runs").success());
        server.wait_until_ready();
        assert_eq!(ask(address, &open()).status, 200);
    });
    for _ in 0..2 {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&folder.0)
            .output();
    }
    done.expect("it went well");
}

#[test]
fn postgresql_that_takes_no_writes_is_an_obstacle() {
    let Some(database) = Postgres::start() else {
        return;
    };
    import(&database, "tenants.jsonl");
    let mut server = serve(&database.state());
    let address = server.wait_for_address();
    for (setting, is_ready) in [("on", false), ("off", true)] {
        database.sql(&format!(
            "ALTER SYSTEM SET default_transaction_read_only = {setting}"
        ));
        database.sql("SELECT pg_reload_conf()");
        if is_ready {
            server.wait_until_ready();
            assert_eq!(ask(address, &open()).status, 200);
        } else {
            wait_for_obstacle(&mut server, "postgres", "takes no writes");
            assert_eq!(ask(address, &open()).status, 503);
        }
    }
}

/// A balancer leads to the standby while the primary is down, and back.
#[test]
fn a_server_is_ready_only_while_it_reaches_the_primary() {
    let Some(primary) = Postgres::start() else {
        return;
    };
    import(&primary, "tenants.jsonl");
    let standby = primary.standby();
    let Some(balancer) = Front::balancer(&primary, &standby) else {
        return;
    };
    let mut server = serve(&primary.url_by(balancer.port));
    let address = server.wait_for_address();
    assert_eq!(ask(address, &open()).status, 200);
    for _ in 0..2 {
        primary.stop("fast");
        wait_for_obstacle(&mut server, "postgres", "it is a standby");
        assert_eq!(ask(address, &open()).status, 503);
        primary.run();
        server.wait_until_ready();
        // From then on writes work, all of them.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            let before = server.readiness().0;
            let status = ask(address, &open()).status;
            assert!(!before || status == 200, "ready, and {status}");
            assert!(start.elapsed() < PATIENCE);
        }
        assert_eq!(change(&server), 200);
    }
}
