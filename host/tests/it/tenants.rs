//! The recorded tenant files, given to the program itself.

use std::path::{Path, PathBuf};

use tenantry_conformance::{TenantsFile, tenants_files};

use crate::support::{
    client::Sockets,
    program::{Program, run},
};

/// Writes the file, unless it is one that does not exist.
fn write(folder: &Path, n: usize, file: &TenantsFile) -> PathBuf {
    let path = folder.join(format!("{n}.jsonl"));
    match file.bytes() {
        Some(bytes) => std::fs::write(&path, bytes).expect("a file can be written"),
        None => {
            let _ = std::fs::remove_file(&path);
        }
    }
    path
}

fn check(path: &str, file: &TenantsFile, engine: &str) -> Result<(), String> {
    let mut serve = vec!["--tenants", path, "--engine", engine];
    serve.extend(["--threads=1", "--no-limits"]);
    if engine == "wasm" {
        serve.push("--sandboxes=8");
    }
    let check = run(&["check", path]);
    if file.starts() {
        if !check.status.success() {
            return Err(format!("`check` refused it: {check:?}"));
        }
        let server = Program::serve(&serve);
        return file.replay(&mut Sockets(server.address));
    }
    let output = run(&[["serve", "--listen=127.0.0.1:0"].as_slice(), &serve].concat());
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(2) || check.status.code() != Some(2) {
        return Err(format!("it is not refused: {output:?}, {check:?}"));
    }
    if check.stderr != output.stderr {
        return Err(format!("`check` says otherwise: {check:?}, {output:?}"));
    }
    // A text without tenants, and a file that is not there, have no line.
    let has_line = message.lines().skip(1).any(|line| {
        let rest = line
            .strip_prefix(path)
            .and_then(|rest| rest.strip_prefix(':'));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    let has_none = message.contains("no tenants") || file.bytes().is_none();
    if has_line == has_none || !message.contains(path) {
        return Err(format!("it is not said where: {message}"));
    }
    Ok(())
}

fn check_all(engine: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tenants-{engine}"));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let mut failures = Vec::new();
    for (n, file) in tenants_files().iter().enumerate() {
        let path = write(&folder, n, file);
        let path = path.to_str().expect("UTF-8");
        if let Err(failure) = check(path, file, engine) {
            failures.push(format!("{}: {failure}", file.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(tenants_files().len(), 47);
}

#[test]
fn recorded_tenant_files_are_served_or_refused_as_recorded() {
    check_all("wasm");
}

#[test]
fn recorded_tenant_files_are_served_or_refused_as_recorded_natively() {
    check_all("native");
}
