//! Who may do what: roles of PostgreSQL, files of SQLite, and places that can't be written.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use super::broken::sql;
use crate::support::{
    admin::{authorized, put, request, token_file},
    client::{ask, chat, get, open_session},
    database::{Database, Folder, Postgres, Sqlite, import},
    program::{Program, run, workspace},
};

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The statements that docs/databases.md has for a role that serves.
fn documented_rights() -> Vec<String> {
    let text = fs::read_to_string(workspace().join("docs/databases.md")).expect("a page");
    let (_, rest) = text.split_once("```sql\n").expect("statements");
    let (statements, _) = rest.split_once("```").expect("an end");
    let statements = statements.split_inclusive(';').map(str::trim);
    let statements = statements.filter(|statement| !statement.is_empty());
    statements.map(str::to_owned).collect()
}

#[test]
fn a_role_with_the_documented_rights_imports_serves_and_exports() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let state = database
        .state()
        .replace("tenantry:secret", "tenantry_app:hush");
    database.sql("CREATE ROLE tenantry_app LOGIN PASSWORD 'hush'");
    // Without the schema it can do nothing, and says who can.
    let refused = run(&["migrate", "--state", &state]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        error(&refused).contains("this role lacks a right"),
        "{}",
        error(&refused)
    );
    let migrated = run(&["migrate", "--state", &database.state()]);
    assert!(migrated.status.success(), "{}", error(&migrated));
    for statement in documented_rights() {
        database.sql(&statement);
    }
    // It could make no table.
    let made = database.query("SELECT has_schema_privilege('tenantry_app', 'public', 'CREATE')");
    assert_eq!(made, "f\n");
    let imported = run(&["import", "--state", &state, "tenants.jsonl"]);
    assert!(imported.status.success(), "{}", error(&imported));
    // The schema is current: there is nothing to do.
    let migrated = run(&["migrate", "--state", &state]);
    assert!(migrated.status.success(), "{}", error(&migrated));
    let server = super::kills::serve_state(&state);
    let session = open_session(server.address, "acme");
    assert_eq!(
        ask(server.address, &chat("acme", &session, "hi")).status,
        200
    );
    // Everything that an operator does.
    let admin = server.admin_address();
    let ask = |exchange| ask(admin, &authorized(exchange)).status;
    let row = r#"{"id":"umbrella","name":"n","welcome":"w"}"#;
    assert_eq!(ask(put("umbrella", row)), 201);
    for step in ["suspend", "resume", "archive"] {
        let target = format!("/tenants/umbrella/{step}");
        assert_eq!(ask(request("POST", &target)), 200, "{step}");
    }
    assert_eq!(ask(request("DELETE", "/tenants/umbrella")), 204);
    assert_eq!(ask(request("DELETE", "/tenants/acme/sessions")), 200);
    for target in ["/usage?step=day", "/audit", "/readyz"] {
        assert_eq!(ask(get(target)), 200, "{target}");
    }
    server.signal("TERM");
    let (status, _, log) = server.wait();
    assert!(status.success() && !log.contains("ERROR"), "{log}");
    let exported = run(&["export", "--state", &state]);
    assert!(exported.status.success(), "{}", error(&exported));
}

#[test]
fn connections_say_whose_they_are_and_the_library_says_nothing() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let state = database.state();
    import(&database, "tenants.jsonl");
    let names = |count: &str| {
        let statement = format!(
            "SELECT DISTINCT application_name FROM pg_stat_activity \
             WHERE application_name LIKE '{count}'"
        );
        database.query(&statement)
    };
    let listening = "SELECT application_name FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    let server = Program::serve(&["--state", &state, "--engine", "native"]);
    open_session(server.address, "acme");
    let name = names("tenantry %");
    assert!(name.ends_with(&format!("/{}\n", server.id())), "{name}");
    assert_eq!(database.query(listening), name);
    // A name of the operator's own is kept.
    drop(server);
    let state = format!("{state}?application_name=chat&sslmode=prefer&connect_timeout=hush");
    let server = Program::serve(&["--state", &state, "--engine", "native"]);
    open_session(server.address, "acme");
    assert_eq!(names("chat"), "chat\n");
    assert_eq!(database.query(listening), "chat\n");
    let log = server.log();
    // What is not known is named, without its value.
    assert!(
        log.contains(r#"the parameter "connect_timeout" of the URL is not known"#),
        "{log}"
    );
    assert!(!log.contains("hush") && !log.contains("sqlx"), "{log}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn files_are_for_their_owner_alone_and_a_wider_one_is_named() {
    let database = Sqlite::new();
    import(&database, "tenants.jsonl");
    let server = super::kills::serve(&database);
    open_session(server.address, "acme");
    let mut files = 0;
    for entry in fs::read_dir(&database.0.0).expect("a folder") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 4);
    assert!(!server.log().contains("chmod"), "{}", server.log());
    server.signal("TERM");
    assert!(server.wait().0.success());

    let path = database.path();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    let server = super::kills::serve(&database);
    let line = server.wait_for_line("chmod 600");
    let name = path.display().to_string();
    assert!(line.contains(&name) && line.contains("mode 0644"), "{line}");
    drop(server);
    let exported = run(&["export", "--state", &database.state()]);
    assert!(
        error(&exported).contains("has mode 0644"),
        "{}",
        error(&exported)
    );
    // One that `serve` makes is its owner's, too.
    let folder = Folder::new();
    let state = format!("sqlite:{}", folder.join("a.db").display());
    let token = token_file().display().to_string();
    let more = [
        "--state-create",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        &token,
    ];
    let _server = Program::serve(&[&["--state", &state], &more[..]].concat());
    assert_eq!(mode(&folder.join("a.db")), 0o600);
    assert_eq!(mode(&folder.join("a.db.lock")), 0o600);
}

/// Mounts a folder to be read only while something is done.
fn read_only(folder: &Path, work: impl FnOnce() + std::panic::UnwindSafe) {
    let mount = |args: &[&str]| {
        let done = Command::new("mount").args(args).arg(folder).output();
        done.is_ok_and(|done| done.status.success())
    };
    let path = folder.display().to_string();
    if !mount(&["--bind", &path]) {
        assert!(std::env::var_os("CI").is_none(), "no folder can be mounted");
        return;
    }
    let is_read_only = mount(&["-o", "remount,bind,ro"]);
    let done = std::panic::catch_unwind(work);
    let unmounted = Command::new("umount").arg(folder).status();
    assert!(unmounted.expect("umount runs").success() && is_read_only);
    done.expect("it went well");
}

#[test]
fn an_export_reads_a_place_that_cannot_be_written_where_it_can_be_read_whole() {
    let database = Sqlite::new();
    import(&database, "tenants.jsonl");
    let file = fs::read(workspace().join("tenants.jsonl")).expect("a file");
    let export = || run(&["export", "--state", &database.state()]);
    read_only(&database.0.0, || {
        let exported = export();
        assert!(exported.status.success(), "{}", error(&exported));
        assert_eq!(exported.stdout, file);
    });
    // Only the file.
    fs::set_permissions(database.path(), fs::Permissions::from_mode(0o400)).expect("a mode");
    assert_eq!(export().stdout, file);
    fs::set_permissions(database.path(), fs::Permissions::from_mode(0o600)).expect("a mode");

    // A copy as a crash leaves it: what was changed last is in the log.
    let server = super::kills::serve(&database);
    let row = r#"{"id":"umbrella","name":"n","welcome":"w"}"#;
    assert_eq!(
        ask(server.admin_address(), &authorized(put("umbrella", row))).status,
        201
    );
    let copy = Folder::new();
    for suffix in ["", "-wal"] {
        let mut from = database.path().into_os_string();
        from.push(suffix);
        fs::copy(from, copy.join(&format!("a.db{suffix}"))).expect("a copy");
    }
    drop(server);
    let state = format!("sqlite:{}", copy.join("a.db").display());
    read_only(&copy.0, || {
        let exported = run(&["export", "--state", &state]);
        assert_eq!(exported.status.code(), Some(1));
        assert!(exported.stdout.is_empty());
        assert!(
            error(&exported).contains("it cannot be read whole"),
            "{}",
            error(&exported)
        );
    });
    // Where files can be made, it is read, with what is in the log.
    let exported = run(&["export", "--state", &state]);
    assert!(exported.status.success(), "{}", error(&exported));
    assert!(String::from_utf8_lossy(&exported.stdout).contains("umbrella"));
}

#[test]
fn an_export_that_fails_leaves_the_file_as_it_was() {
    let database = Sqlite::new();
    import(&database, "tenants.jsonl");
    let file = database.0.join("tenants.jsonl");
    fs::write(&file, "kept\n").expect("a file");
    let path = file.display().to_string();
    sql(&database, "UPDATE _sqlx_migrations SET checksum = x'00'");
    let exported = run(&["export", "--state", &database.state(), &path]);
    assert_eq!(exported.status.code(), Some(1), "{}", error(&exported));
    assert_eq!(fs::read_to_string(&file).expect("a file"), "kept\n");
    // Nothing else is left there.
    let left = fs::read_dir(&database.0.0)
        .expect("a folder")
        .map(|entry| entry.expect("one"));
    let left = left.filter(|entry| entry.file_name().to_string_lossy().contains("jsonl"));
    assert_eq!(left.count(), 1);
}
