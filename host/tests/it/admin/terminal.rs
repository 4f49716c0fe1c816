//! What tenants and servers say steers neither a terminal nor a spreadsheet.

use std::fs;

use serde_json::Value;

use super::{
    commands::{complains, prints, with},
    usage::add,
};
#[cfg(target_os = "linux")]
use crate::support::terminal::{self, Shown};
use crate::support::{
    admin::{Administered, put},
    database::Folder,
    program::{run, tenantry},
};

/// Names with everything in them that steers: C0, DEL, C1, marks for the direction of
/// writing, and ends of lines.
const EVIL: &str = "\u{1b}[31m\u{7f}\u{9b}2J\u{85}\u{202e}\u{2066}\u{61c}\u{2028}\u{200b}";

/// Whether there is nothing but text and line ends.
#[track_caller]
fn assert_plain(text: &str) {
    let steers = |letter: char| {
        let marks = "\u{202e}\u{2066}\u{61c}\u{2028}\u{200b}";
        letter != '\n' && (letter.is_control() || marks.contains(letter))
    };
    assert!(!text.contains(steers), "{text:?}");
}

/// A server with tenants that are named so, and their ids.
fn evil() -> (Administered, [String; 2]) {
    let server = Administered::start();
    let ids = [format!("=1+1{EVIL}"), format!("a{EVIL}\r\n")];
    for id in &ids {
        let row = serde_json::json!({"name": EVIL, "welcome": "w"}).to_string();
        let path: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        server.json(&put(&path, &row), 201);
    }
    (server, ids)
}

#[test]
fn nothing_that_a_command_prints_steers_a_terminal() {
    let (server, ids) = evil();
    let id = &*ids[1];
    add(&server, &[(28_333_320, 4), (28_333_320, 5)]);
    let span = ["--from=2023-11-14T00:00:00Z", "--to=2023-11-15T00:00:00Z"];
    let usage = |output| [&["usage", output][..], &span].concat();
    for args in [
        &["tenants", "list"][..],
        &["tenants", "show", id],
        &["tenants", "list", "--output=json"],
        &["tenants", "show", id, "--output=json"],
        &["audit"],
        &["audit", "--output=json"],
        &usage("--output=table"),
        &usage("--output=json"),
        &usage("--output=csv"),
        &["tenants", "archive", id],
        &["tenants", "purge", id],
    ] {
        let printed = prints(&server, args);
        assert_plain(&printed);
        assert!(printed.contains("9b"), "{args:?}: {printed}");
        if args.contains(&"--output=json") {
            let json: Value = serde_json::from_str(&printed).expect("JSON");
            assert!(json.to_string().contains('\u{9b}'), "{args:?}");
        }
    }
    let refused = with(server.admin, &["tenants", "suspend", id]);
    assert_plain(&complains(refused, 1));
}

#[test]
fn no_cell_of_an_export_is_a_formula() {
    let (server, _) = evil();
    add(
        &server,
        &[(28_333_320, 1), (28_333_320, 4), (28_333_320, 5)],
    );
    let csv = prints(
        &server,
        &[
            "usage",
            "--output=csv",
            "--from=2023-11-14T00:00:00Z",
            "--to=2023-11-15T00:00:00Z",
        ],
    );
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let records = reader.records().map(|record| record.expect("CSV"));
    let ids: Vec<_> = records.map(|record| record[1].to_owned()).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], "acme");
    assert!(ids[1].starts_with("'=1+1\\u{1b}["), "{ids:?}");
    assert!(ids[2].ends_with("\\u{d}\\u{a}"), "{ids:?}");
}

#[test]
fn what_a_file_says_steers_no_terminal() {
    let folder = Folder::new();
    let file = folder.join(&format!("a{EVIL}.jsonl"));
    let path = file.to_str().expect("UTF-8");
    let row = |id: &str, name: Value| {
        serde_json::json!({"id": id, "name": name, "welcome": "w"}).to_string() + "\n"
    };
    // The second one replaces the first one, which is worth a warning.
    fs::write(&file, row(EVIL, EVIL.into()).repeat(2)).expect("a file");
    let output = run(&["check", path]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_plain(&said);
    assert_eq!(said.lines().count(), 2, "{said}");
    let state = format!("sqlite:{}", folder.join("x.db").display());
    let output = run(&["import", "--state", &state, path]);
    assert_plain(&String::from_utf8_lossy(&output.stdout));
    assert_plain(&String::from_utf8_lossy(&output.stderr));
    fs::write(&file, row(EVIL, 1.into())).expect("a file");
    for args in [&["check", path][..], &["serve", "--tenants", path]] {
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_plain(&said);
    }
}

/// A file is as it was; a terminal is shown the same JSON with escapes.
#[cfg(target_os = "linux")]
#[test]
fn an_export_steers_no_terminal_and_is_exact_elsewhere() {
    let folder = Folder::new();
    let file = folder.join("tenants.jsonl");
    let row = serde_json::json!({"id": "a", "name": EVIL, "welcome": "w"});
    fs::write(&file, row.to_string() + "\n").expect("a file");
    let state = format!("sqlite:{}", folder.join("x.db").display());
    let import = run(&["import", "--state", &state, file.to_str().expect("UTF-8")]);
    assert!(import.status.success());
    let export = ["export", "--state", &state];
    let exact = run(&export).stdout;
    assert!(String::from_utf8_lossy(&exact).contains('\u{9b}'));
    let (status, shown, _) = terminal::run(&tenantry(&export), Shown::Stdout);
    assert!(status.success(), "{shown}");
    assert_plain(&shown);
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON");
    assert_eq!(read(shown.as_bytes()), read(&exact));
}
