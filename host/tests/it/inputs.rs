//! Files that the program is given and that are none: pipes, devices, and what is misspelt in
//! those that are.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    admin::token_file,
    client::{ask, get},
    database::{Database as _, Folder, Sqlite},
    program::{Program, run, tenantry},
};

fn pipe(path: &Path) {
    let made = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(path)
        .status()
        .expect("mkfifo");
    assert!(made.success());
}

/// What a command prints on standard output and standard error, and what it exits with.
fn said(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    (out, error, output.status.code())
}

/// Runs a command with this on its standard input.
fn with_input(args: &[&str], input: &str) -> Output {
    let mut command = tenantry(args);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it was started")
}

#[test]
fn a_device_without_an_end_is_refused_before_it_is_read() {
    let token_file = token_file().to_str().expect("UTF-8");
    let state = Sqlite::new().state();
    for args in [
        vec!["check", "/dev/zero"],
        vec!["import", "--state", &state, "/dev/zero"],
        vec!["serve", "--listen=127.0.0.1:0", "--tenants", "/dev/zero"],
        vec![
            "serve",
            "--listen=127.0.0.1:0",
            "--admin-token-file",
            "/dev/zero",
        ],
        vec!["tenants", "list", "--admin-token-file", "/dev/zero"],
        vec![
            "tenants",
            "add",
            "a",
            "--admin-token-file",
            token_file,
            "--file",
            "/dev/zero",
        ],
    ] {
        let start = Instant::now();
        let (out, error, code) = said(&run(&args));
        assert_eq!((&*out, code), ("", Some(2)), "{args:?}: {error}");
        let why = "it is no regular file, but a device or a socket";
        assert!(
            error.contains("/dev/zero") && error.contains(why),
            "{error}"
        );
        assert!(start.elapsed() < Duration::from_secs(5), "{args:?}");
    }
}

#[test]
fn a_pipe_that_nobody_writes_to_keeps_no_command_waiting() {
    let folder = Folder::new();
    let path = folder.join("pipe");
    pipe(&path);
    let path = path.to_str().expect("UTF-8");
    std::thread::scope(|scope| {
        for args in [
            ["check", path, "", ""],
            ["serve", "--listen=127.0.0.1:0", "--tenants", path],
            ["serve", "--listen=127.0.0.1:0", "--admin-token-file", path],
        ] {
            scope.spawn(move || {
                let args: Vec<_> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
                let (_, error, code) = said(&run(&args));
                assert_eq!(code, Some(2), "{args:?}: {error}");
                let why = "the pipe was not written to its end within 10s";
                assert!(error.contains(path) && error.contains(why), "{error}");
            });
        }
    });
}

#[test]
fn a_pipe_that_is_written_to_is_read_once() {
    let folder = Folder::new();
    let path = folder.join("pipe");
    pipe(&path);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || {
            // Waits for the reader.
            let mut pipe = File::options().write(true).open(path).expect("a pipe");
            pipe.write_all(b"{\"id\":\"a\",\"name\":\"n\",\"welcome\":\"w\"}\n")
                .expect("it reads");
        }
    });
    let server = Program::serve(&["--tenants", path.to_str().expect("UTF-8"), "--threads=1"]);
    writer.join().expect("it was written");
    let list = ask(server.address, &get("/")).text();
    assert_eq!(list, r#"{"ok":true,"tenants":["a"]}"#);
    server.signal("HUP");
    server.wait_for_log("but a pipe, which could not be read again", 1);
}

/// The thread that reloads asks for the kind of a name, and opens it a moment later.
#[test]
fn a_pipe_in_place_of_the_tenants_file_does_not_stop_reloads() {
    let folder = Folder::new();
    let path = folder.join("tenants.jsonl");
    let row = |id: &str| format!("{{\"id\":\"{id}\",\"name\":\"n\",\"welcome\":\"w\"}}\n");
    fs::write(&path, row("a")).expect("a file");
    let server = Program::serve(&["--tenants", path.to_str().expect("UTF-8"), "--threads=1"]);
    let replace = |make: &dyn Fn(&Path)| {
        let new = folder.join("new");
        make(&new);
        fs::rename(new, &path).expect("it is there");
    };
    for round in 0..20 {
        // Back and forth, so that the kind changes between two looks at it.
        replace(&|new| pipe(new));
        server.signal("HUP");
        replace(&|new| fs::write(new, row(&format!("r{round}"))).expect("a file"));
        server.signal("HUP");
    }
    let end = Instant::now() + crate::support::client::PATIENCE;
    let wanted = r#"{"ok":true,"tenants":["r19"]}"#;
    while ask(server.address, &get("/")).text() != wanted {
        assert!(Instant::now() < end, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn standard_input_is_checked_and_imported() {
    let good = "{\"id\":\"a\",\"name\":\"n\",\"welcome\":\"w\",\"modle\":1}\n{}\n";
    let (out, error, code) = said(&with_input(&["check", "-"], good));
    assert_eq!((&*error, code), ("", Some(0)));
    assert_eq!(
        out,
        "<stdin>:1: modle: unknown, so it is ignored; did you mean model?\n\
         <stdin>:2: id: missing; the row is skipped\n\
         <stdin>: 1 tenant, 2 warnings\n"
    );
    let database = Sqlite::new();
    let state = database.state();
    let import = ["import", "--state", &state, "-"];
    for args in [&["check", "-"][..], &import] {
        let (out, error, code) = said(&with_input(args, "[1]"));
        assert_eq!((&*out, code), ("", Some(2)), "{error}");
        assert!(
            error.contains("\n<stdin>:1: a list instead of an object"),
            "{error}"
        );
    }
    let (out, error, code) = said(&with_input(&import, good));
    assert_eq!(code, Some(0), "{error}");
    assert!(
        out.contains("<stdin>: 1 tenant, 2 warnings imported into sqlite:"),
        "{out}"
    );
}

#[test]
fn misspelt_members_are_named_wherever_a_file_is_read() {
    let folder = Folder::new();
    let path = folder.join("tenants.jsonl");
    let text = |limits: &str| {
        let row = r#"{"id":"a","name":"n","welcome":"w","modle":"m","#;
        format!("\n{row}\"{limits}\":{{\"chats_per_10s\":1}}}}\n")
    };
    fs::write(&path, text("limits")).expect("a file");
    let name = path.to_str().expect("UTF-8");
    let warnings = [
        format!("{name}:2: modle: unknown, so it is ignored; did you mean model?"),
        format!(
            "{name}:2: limits.chats_per_10s: unknown, so it is ignored; did you mean \
             limits.chat_per_10s?"
        ),
    ];
    let (out, error, code) = said(&run(&["check", name]));
    assert_eq!((&*error, code), ("", Some(0)));
    for warning in &warnings {
        assert!(out.contains(warning), "{out}");
    }
    let server = Program::serve(&["--tenants", name, "--threads=1", "--watch=false"]);
    for warning in &warnings {
        assert!(server.wait_for_line(warning).contains("WARN"));
    }
    fs::write(&path, text("limts")).expect("a file");
    server.signal("HUP");
    let warning = format!("{name}:2: limts: unknown, so it is ignored; did you mean limits?");
    assert!(server.wait_for_line(&warning).contains("WARN"));
}

#[test]
fn misspelt_variables_are_named_by_every_command() {
    let warning = "TENANTRY_SESION_TTL in the environment is unknown, so it is ignored; did you \
                   mean TENANTRY_SESSION_TTL?";
    let misspelt = |args: &[&str]| {
        let mut command = tenantry(args);
        command.env("TENANTRY_SESION_TTL", "1h");
        command.env("TENANTRY_OUTPUT", "json");
        command.env("TENANTRY_TEST_ANYTHING", "1");
        command
    };
    let (_, error, code) = said(
        &misspelt(&["check", "tenants.jsonl"])
            .output()
            .expect("output"),
    );
    assert_eq!((error, code), (format!("warning: {warning}\n"), Some(0)));
    // Where something is wrong, that may be why.
    for args in [
        &["check", "no-such-file"][..],
        &["serve", "--tenants=no-such-file"],
        &["tenants", "list"],
        &["serve", "--threads=none"],
    ] {
        let (_, error, code) = said(&misspelt(args).output().expect("output"));
        assert_eq!(code, Some(2), "{error}");
        assert!(
            error.starts_with(&format!("warning: {warning}\nerror: ")),
            "{error}"
        );
    }
    let (_, error, code) = said(&misspelt(&["--version"]).output().expect("output"));
    assert_eq!((&*error, code), ("", Some(0)));
    let serve = misspelt(&["serve", "--listen=127.0.0.1:0", "--threads=1"]);
    let server = Program::start(serve);
    assert!(server.wait_for_line(warning).contains("WARN"));
}
