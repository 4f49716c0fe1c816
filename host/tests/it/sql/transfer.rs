//! From a tenants file into a database and back, with the program.

use std::{fs, process::Output};

use crate::support::{
    client::{ask, chat, get, open_session},
    database::{Database, Folder, Postgres, Sqlite, import},
    program::{Program, run, tenantry},
};

const FILE: &str = "\u{feff}{\"id\":\"b\",\"name\":\"B\",\"welcome\":\"first\"}\r\n\n  \
    {\"welcome\": \"Hi \\u00e9\", \"id\":\"a\",\"name\":\"A\",\"plan\":[1.0] }  \n\
    {\"id\":\"b\",\"name\":\"B\",\"welcome\":\"later\"}\n";

const LINES: &str = "{\"id\":\"b\",\"name\":\"B\",\"welcome\":\"later\"}\n\
    {\"welcome\": \"Hi \\u00e9\", \"id\":\"a\",\"name\":\"A\",\"plan\":[1.0] }\n";

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_file_goes_in_once_and_comes_out_byte_for_byte() {
    let mut databases: Vec<Box<dyn Database>> = vec![Box::new(Sqlite::new())];
    databases.extend(Postgres::start().map(|postgres| Box::new(postgres) as _));
    for database in databases {
        let folder = Folder::new();
        let file = folder.join("tenants.jsonl");
        fs::write(&file, FILE).expect("a file");
        let (file, state) = (file.display().to_string(), database.state());
        let import = run(&["import", "--state", &state, &file]);
        let (out, errors) = text(&import);
        assert!(import.status.success(), "{errors}");
        let place = database.place();
        let expected = format!(
            "{file}:1: id: \"b\" is used again in line 4; that row replaces this one\n\
             {file}:3: plan: unknown, so it is ignored\n\
             {file}: 2 tenants, 2 warnings imported into {place}\n"
        );
        assert_eq!(out, expected);

        let export = run(&["export", "--state", &state]);
        assert!(export.status.success(), "{}", text(&export).1);
        assert_eq!(text(&export), (LINES.to_owned(), String::new()));

        // Again, nothing happens, whether that is an error or not.
        let again = run(&["import", "--state", &state, &file]);
        assert_eq!(again.status.code(), Some(1));
        let (_, errors) = text(&again);
        assert!(errors.contains("has 2 tenants already"), "{errors}");
        let again = run(&["import", "--if-empty", "--state", &state, &file]);
        assert!(again.status.success());
        assert!(text(&again).0.contains("nothing was imported"));

        // What came out goes in and comes out the same.
        let copy = Sqlite::new();
        let exported = folder.join("exported.jsonl").display().to_string();
        assert!(
            run(&["export", "--state", &state, &exported])
                .status
                .success()
        );
        assert_eq!(fs::read_to_string(&exported).expect("a file"), LINES);
        assert!(
            run(&["import", "--state", &copy.state(), &exported])
                .status
                .success()
        );
        assert_eq!(text(&run(&["export", "--state", &copy.state()])).0, LINES);
    }
}

#[test]
fn a_server_serves_what_was_imported_and_its_file_can_be_read_meanwhile() {
    let database = Sqlite::new();
    let state = database.state();
    import(&database, "tenants.jsonl");
    let server = Program::serve(&["--state", &state]);
    let list = ask(server.address, &get("/")).text();
    assert_eq!(list, r#"{"ok":true,"tenants":["acme","globex","initech"]}"#);
    let session = open_session(server.address, "acme");
    assert_eq!(
        ask(server.address, &chat("acme", &session, "hi")).status,
        200
    );
    let export = run(&["export", "--state", &state]);
    let file = fs::read_to_string(crate::support::program::workspace().join("tenants.jsonl"));
    assert_eq!(text(&export).0, file.expect("a file"));
    // Nobody else may write.
    for args in [
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store-wait",
            "0",
            "--state",
            &state,
        ][..],
        &["import", "--if-empty", "--state", &state, "tenants.jsonl"],
    ] {
        let second = run(args);
        assert_eq!(second.status.code(), Some(1));
        let (_, errors) = text(&second);
        assert!(
            errors.contains("another server, or an import, uses this file"),
            "{errors}"
        );
    }
}

/// PostgreSQL ends transactions that stand still; an export may wait for its reader.
#[test]
fn an_export_waits_for_a_slow_reader() {
    use std::io::Read as _;

    let Some(database) = Postgres::start() else {
        return;
    };
    let folder = Folder::new();
    let row = |n: usize| format!("{{\"id\":\"t{n}\",\"name\":\"n\",\"welcome\":\"w\"}}\n");
    // More than a page: behind the pause, the database is asked again.
    let rows: String = (0..10_001).map(row).collect();
    let file = folder.join("many.jsonl");
    fs::write(&file, &rows).expect("a file");
    import(&database, &file.display().to_string());
    let mut export = tenantry(&["export", "--state", &database.state()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Longer than such a transaction may stand still.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let mut text = String::new();
    let mut out = export.stdout.take().expect("a pipe");
    out.read_to_string(&mut text).expect("text");
    assert!(export.wait().expect("it was started").success());
    assert!(text == rows, "{} bytes of {}", text.len(), rows.len());
}

#[test]
fn a_file_with_problems_is_not_imported() {
    let database = Sqlite::new();
    let folder = Folder::new();
    let file = folder.join("bad.jsonl");
    fs::write(&file, "{\"id\":\"a\"}\n[]\n").expect("a file");
    let output = run(&[
        "import",
        "--state",
        &database.state(),
        &file.display().to_string(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    let (_, errors) = text(&output);
    assert!(
        errors.contains("3 problems in the tenants file"),
        "{errors}"
    );
    assert!(!database.path().exists());
}
