//! `tenantry tenants`, `audit` and `usage`: the program itself, against a running server.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::support::{
    admin::{Administered, private_file, token_file},
    client::{ask, chat, open_session},
    program::tenantry,
    stores::batch,
};

/// Runs a command against a server, with the token.
pub(super) fn with(address: SocketAddr, args: &[&str]) -> Output {
    let mut command = tenantry(args);
    command.env("TENANTRY_ADMIN_URL", format!("http://{address}"));
    command.env("TENANTRY_ADMIN_TOKEN_FILE", token_file());
    command.output().expect("the program runs")
}

/// What a command prints that succeeds.
pub(super) fn prints(server: &Administered, args: &[&str]) -> String {
    let output = with(server.admin, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    assert_eq!(error, "");
    String::from_utf8(output.stdout).expect("text")
}

/// The one line that a command says which fails, without `error: `.
pub(super) fn complains(output: Output, code: i32) -> String {
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty());
    let line = error
        .strip_prefix("error: ")
        .unwrap_or_else(|| panic!("{error}"));
    line.trim_end().to_owned()
}

/// The cells of a table, without its head.
fn cells(table: &str) -> Vec<Vec<String>> {
    let lines = table.lines().skip(1);
    let cells = lines.map(|line| {
        let cells = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect()
    });
    cells.collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

pub(super) const ROW: &str = r#"{"id":"umbrella","name":"Umbrella","welcome":"Good day."}"#;

#[test]
fn tenants_are_listed_and_shown() {
    let server = Administered::start();
    let table = prints(&server, &["tenants", "list"]);
    let head: Vec<_> = table
        .lines()
        .next()
        .expect("a head")
        .split_whitespace()
        .collect();
    assert_eq!(head, ["ID", "STATE", "VERSION", "CHANGED", "NAME"]);
    let cells = cells(&table);
    assert_eq!(cells.len(), 3);
    assert_eq!(
        cells[0],
        ["acme", "active", "1", "2023-11-14T22:13:20Z", "Acme Corp"]
    );
    prints(&server, &["tenants", "suspend", "globex"]);
    let suspended = prints(
        &server,
        &["tenants", "list", "--state", "suspended", "--output=json"],
    );
    let suspended = json(&suspended);
    assert_eq!(suspended[0]["id"], "globex");
    assert_eq!(suspended.as_array().map(Vec::len), Some(1));
    let none = prints(
        &server,
        &["tenants", "list", "--state=archived", "--output=json"],
    );
    assert_eq!(none, "[]\n");
    let shown = prints(&server, &["tenants", "show", "acme"]);
    assert!(shown.contains(r#""welcome":"Howdy from Acme!""#), "{shown}");
    let shown = json(&prints(
        &server,
        &["tenants", "--output=json", "show", "acme"],
    ));
    assert_eq!(shown["row"]["name"], "Acme Corp");
}

#[test]
fn tenants_are_added_changed_and_removed() {
    let server = Administered::start();
    let added = prints(&server, &["tenants", "add", "--row", ROW]);
    assert_eq!(cells(&added)[0][..3], ["umbrella", "active", "1"]);
    // From a file, over several lines, under an id that needs care.
    let file = private_file(
        "cli-row.json",
        "{\n  \"name\": \"N\",\n  \"welcome\": \"W\"\n}\n",
    );
    let file = file.to_str().expect("UTF-8");
    let added = prints(
        &server,
        &[
            "tenants",
            "add",
            "../a b/é",
            "--file",
            file,
            "--output=json",
        ],
    );
    assert_eq!(json(&added)["row"]["id"], "../a b/é");

    let mut replace = tenantry(&["tenants", "replace", "--file=-", "--if-version=1"]);
    replace.args(["--server", &format!("http://{}/", server.admin)]);
    replace.arg("--admin-token-file").arg(token_file());
    replace
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = replace.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(ROW.replace("Good day.", "Bye.").as_bytes())
        .expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");

    let session = open_session(server.service, "umbrella");
    let say = || ask(server.service, &chat("umbrella", &session, "hi"));
    assert!(say().text().contains("Bye. "));
    let patched = prints(
        &server,
        &[
            "tenants",
            "patch",
            "umbrella",
            "--row",
            r#"{"welcome":"Again."}"#,
            "--if-version=2",
        ],
    );
    assert_eq!(cells(&patched)[0][2], "3");
    assert!(say().text().contains("Again. "));
    for (what, version, status) in [
        ("suspend", "3", 403),
        ("resume", "4", 200),
        ("archive", "5", 404),
    ] {
        prints(
            &server,
            &["tenants", what, "umbrella", "--if-version", version],
        );
        assert_eq!(say().status, status);
    }
    let purged = prints(&server, &["tenants", "purge", "umbrella", "--if-version=6"]);
    assert_eq!(purged, "umbrella is purged\n");
    let gone = complains(with(server.admin, &["tenants", "show", "umbrella"]), 1);
    assert_eq!(gone, "No such tenant: there is no such tenant");
    prints(&server, &["tenants", "archive", "acme"]);
    assert_eq!(
        prints(&server, &["tenants", "purge", "acme", "--output=json"]),
        ""
    );
}

#[test]
fn sessions_are_listed_and_revoked() {
    let server = Administered::start();
    let sessions = [(); 3].map(|()| open_session(server.service, "acme"));
    let listed = prints(&server, &["tenants", "sessions", "acme"]);
    assert!(
        sessions.iter().all(|session| listed.contains(session)),
        "{listed}"
    );
    let listed = json(&prints(
        &server,
        &["tenants", "sessions", "acme", "--output=json"],
    ));
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
    let one = ["tenants", "revoke", "acme", "--session", &*sessions[0]];
    assert_eq!(prints(&server, &one), "1 session ended\n");
    let line = complains(with(server.admin, &one), 1);
    assert_eq!(
        line,
        "No such session: the tenant has no such session, or it has ended"
    );
    let all = ["tenants", "revoke", "acme", "--all"];
    assert_eq!(prints(&server, &all), "2 sessions ended\n");
    let all = ["tenants", "revoke", "acme", "--all", "--output=json"];
    assert_eq!(prints(&server, &all), "{\"revoked\":0}\n");
    assert_eq!(
        ask(server.service, &chat("acme", &sessions[1], "hi")).status,
        404
    );
}

#[test]
fn the_audit_and_usage_are_shown() {
    let server = Administered::start();
    prints(&server, &["tenants", "suspend", "acme"]);
    let audit = cells(&prints(&server, &["audit"]));
    assert_eq!(audit.len(), 4);
    assert_eq!(
        audit[3][..5],
        ["4", "2023-11-14T22:13:23Z", "admin", "suspend", "acme"]
    );
    let audit = json(&prints(
        &server,
        &["audit", "--tenant=acme", "--output=json"],
    ));
    assert_eq!(audit[1]["after"]["state"], "suspended");

    let rows = (0..1500).map(|n| tenantry::state::UsageRow {
        tenant: 1,
        minute: 28_333_320 - n % 1400,
        usage: tenantry::state::Usage::from_numbers([1, 2, 3, 4, 5, 6, 7]),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let added = runtime
        .expect("a runtime")
        .block_on(server.usage().add(batch(1, rows.collect())));
    added.expect("in memory");
    let span = [
        "usage",
        "--from=2023-11-13T00:00:00+00:00",
        "--to=2023-11-15T00:00:00Z",
    ];
    let table = cells(&prints(&server, &[&span[..], &["--step=day"]].concat()));
    assert_eq!(table.len(), 2);
    assert_eq!(table[1][..2], ["2023-11-14T00:00:00Z", "acme"]);
    let minutes = [&span[..], &["--step=minute", "--tenant=acme"]].concat();
    let listed = json(&prints(
        &server,
        &[&minutes[..], &["--output=json"]].concat(),
    ));
    assert_eq!(listed.as_array().map(Vec::len), Some(1400));
    let csv = prints(&server, &[&minutes[..], &["--output=csv"]].concat());
    assert_eq!(csv.lines().count(), 1401);
    assert!(csv.starts_with("start,tenant,chats,"), "{csv}");
    let nobody = with(server.admin, &["usage", "--tenant=nobody", "--output=csv"]);
    assert_eq!(
        complains(nobody, 1),
        "No such tenant: there is no such tenant"
    );
}

#[test]
fn misspelt_members_are_named_on_standard_error() {
    let server = Administered::start();
    let row = r#"{"id":"umbrella","name":"n","welcome":"w","modle":"m"}"#;
    let warning = "warning: modle: unknown, so it is ignored; did you mean model?\n";
    for (args, warnings) in [
        (["add", "--row", row], 1),
        (["replace", "--row", row], 1),
        (
            [
                "patch",
                "--row",
                r#"{"id":"umbrella","reply":{"styl":"ack"}}"#,
            ],
            2,
        ),
    ] {
        let output = with(server.admin, &[&["tenants"], &args[..]].concat());
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(0), "{error}");
        assert!(error.contains(warning), "{error}");
        assert_eq!(error.lines().count(), warnings, "{error}");
        assert!(!output.stdout.is_empty());
    }
}
