//! PostgreSQL on the other side of a network that others may listen to.

use std::{fs, process::Command};

use crate::support::{
    client::{ask, chat, open_session},
    database::{Database, Folder, Postgres},
    program::{Program, run},
};

/// A certificate for this machine, and its key; none, and a note, without OpenSSL.
#[expect(clippy::print_stderr, reason = "what a test could not try")]
fn certificate(folder: &Folder) -> Option<(String, String)> {
    let (certificate, key) = (folder.join("crt.pem"), folder.join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=a test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate);
    let Ok(output) = openssl.output() else {
        eprintln!("skipped: OpenSSL is not installed");
        return None;
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let read = |path| fs::read_to_string(path).expect("a file");
    Some((read(certificate), read(key)))
}

#[test]
fn a_connection_is_encrypted_and_the_server_has_to_prove_who_it_is() {
    let Some(database) = Postgres::start() else {
        return;
    };
    let (folder, other) = (Folder::new(), Folder::new());
    let (Some((certificate, key)), Some(_)) = (certificate(&folder), certificate(&other)) else {
        return;
    };
    database.stop("fast");
    database.encrypt(&certificate, &key);
    database.run();
    let state = |query: &str| format!("{}?{query}", database.state());
    let proved_by = |folder: &Folder| {
        let root = folder.join("crt.pem");
        state(&format!(
            "sslmode=verify-full&sslrootcert={}",
            root.display()
        ))
    };
    let import = |state: &str| run(&["import", "--if-empty", "--state", state, "tenants.jsonl"]);
    for (state, part) in [
        (state("sslmode=disable"), "no pg_hba.conf entry"),
        (proved_by(&other), "certificate"),
    ] {
        let output = import(&state);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    for state in [state("sslmode=require"), proved_by(&folder)] {
        let output = import(&state);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        let server = Program::serve(&["--state", &state, "--engine", "native"]);
        let session = open_session(server.address, "acme");
        let reply = ask(server.address, &chat("acme", &session, "hi"));
        assert_eq!(reply.status, 200);
    }
}
