//! How much the server takes, and what it says where the machine, or its own settings, do
//! not have room for it.

use tenantry_conformance::Exchange;

use crate::support::{
    client::{ask, chat, open_session},
    program::{Program, run},
};

#[test]
fn more_sandboxes_than_can_be_reserved_are_a_clear_error() {
    for args in [
        ["--threads=1024", "--sandboxes=18446744073709551615"],
        ["--threads=2", "--sandboxes=4294967295"],
        ["--threads=1024", "--sandboxes=1000000"],
    ] {
        let output = run(&[["serve", "--listen=127.0.0.1:0"], args].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
        assert!(
            message.contains("error: the sandboxes cannot be made; --sandboxes "),
            "{args:?}: {message}"
        );
        assert!(message.contains("--engine native"), "{args:?}: {message}");
        assert!(!message.contains("panicked"), "{args:?}: {message}");
    }
}

#[test]
fn sandboxes_can_be_made_at_the_ends_of_what_the_flags_allow() {
    for args in [
        ["--threads=2", "--sandbox-memory=2MiB", "--max-body=64KiB"].as_slice(),
        &["--threads=2", "--sandbox-memory=4GiB"],
        &["--threads=1", "--sandboxes=1", "--sandbox-memory=4GiB"],
        &["--threads=2", "--sandbox-stack=64KiB"],
        &["--threads=2", "--sandbox-stack=64MiB"],
        &["--threads=16"],
        &["--threads=64"],
        &[
            "--threads=64",
            "--sandbox-memory=4GiB",
            "--sandbox-stack=4MiB",
        ],
    ] {
        let server = Program::serve(args);
        let open = Exchange::post("/session", r#"{"tenant_id":"acme"}"#);
        assert_eq!(ask(server.address, &open).status, 200, "{args:?}");
    }
}

#[test]
fn the_start_warns_where_allowed_bodies_have_no_room() {
    let warnings = |args: &[&str]| {
        let server = Program::serve(args);
        server.signal("TERM");
        let (_, _, log) = server.wait();
        let warnings = log.lines().filter(|line| line.contains(" WARN "));
        warnings.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&["--threads=2"]), [""; 0]);
    assert_eq!(warnings(&["--threads=2", "--max-body=4MiB"]), [""; 0]);
    for (args, parts) in [
        (
            ["--max-body=5MiB", "--sandbox-memory=64MiB"],
            [r#"flag="--sandbox-memory""#, "needed=83886080"],
        ),
        (
            ["--max-body=4MiB", "--max-reply=8MiB"],
            [r#"flag="--max-reply""#, "needed=12582912"],
        ),
    ] {
        let found = warnings(&args);
        assert_eq!(found.len(), 1, "{args:?}: {found:?}");
        for part in parts {
            assert!(found[0].contains(part), "{args:?}: {found:?}");
        }
        let mut native = args.to_vec();
        native.push("--engine=native");
        // Without sandboxes there is nothing to have room in.
        let found = warnings(&native);
        let are_others = found.iter().all(|line| line.contains("has no effect"));
        assert!(are_others, "{found:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_start_warns_of_more_sandboxes_than_the_system_has_mappings_for() {
    let allowed = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("a Linux system");
    let allowed: usize = allowed.trim().parse().expect("a number");
    // Two mappings each at the start, six when they are in use.
    let sandboxes = allowed / 4;
    if sandboxes > 30_000 {
        // There is no address space for so many.
        return;
    }
    let sandboxes = format!("--sandboxes={sandboxes}");
    let server = Program::serve(&["--threads=1", &sandboxes]);
    server.signal("TERM");
    let (_, _, log) = server.wait();
    assert!(log.contains("raise vm.max_map_count"), "{log}");
}

#[test]
fn the_largest_body_is_answered_with_the_defaults() {
    let server = Program::serve(&["--threads=1", "--no-limits"]);
    let session = open_session(server.address, "globex");
    // Each letter of two bytes becomes six when it is a capital.
    let message = "\u{390}".repeat(((1 << 20) - 200) / 2);
    let reply = ask(server.address, &chat("globex", &session, &message));
    assert_eq!(reply.status, 200);
    assert!(reply.body.len() > 3 * (1 << 20) - 1000);
}
