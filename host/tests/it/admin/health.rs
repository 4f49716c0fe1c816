//! `tenantry health`, and what the log says of probes.

use std::{
    net::{SocketAddr, TcpListener},
    process::Output,
    time::Instant,
};

use super::commands::complains;
use crate::support::{
    admin::{authorized, token_file},
    client::{PATIENCE, ask, get, with_header},
    program::{Program, tenantry},
};

fn health(address: SocketAddr, args: &[&str]) -> Output {
    let mut command = tenantry(&["health"]);
    command.arg(format!("http://{address}")).args(args);
    command.output().expect("the program runs")
}

#[track_caller]
fn assert_well(output: &Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert!(output.stdout.is_empty() && error.is_empty(), "{error}");
}

fn serve(args: &[&str]) -> Program {
    let token = token_file().to_str().expect("UTF-8");
    let own = [
        "--engine=native",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        token,
    ];
    let server = Program::serve(&[&own[..], args].concat());
    server.wait_until_ready();
    server
}

#[test]
fn a_server_is_well_while_it_is_ready() {
    let server = serve(&["--drain-delay=60s"]);
    let admin = server.admin_address();
    assert_well(&health(admin, &[]));
    assert_well(&health(admin, &["--live"]));
    // The service's own port says as much by answering.
    assert_well(&health(server.address, &[]));
    assert_well(&health(server.address, &["--live"]));
    // In a container, by the variables that the server has.
    let address = server.address.to_string();
    let port = server.address.port().to_string();
    let (admin_text, token) = (admin.to_string(), token_file().display().to_string());
    let url = format!("http://{admin}/");
    for variables in [
        &[("TENANTRY_ADMIN_URL", &*url)][..],
        &[("TENANTRY_LISTEN", &*address)],
        &[("TENANTRY_LISTEN", "0.0.0.0:1"), ("PORT", &*port)],
        &[
            ("TENANTRY_LISTEN", "0.0.0.0:1"),
            ("TENANTRY_ADMIN", &*admin_text),
            ("TENANTRY_ADMIN_TOKEN_FILE", &*token),
        ],
    ] {
        let mut command = tenantry(&["health"]);
        command.envs(variables.iter().copied());
        assert_well(&command.output().expect("the program runs"));
    }

    server.signal("TERM");
    server.wait_for_line("going to stop");
    let line = complains(health(admin, &[]), 1);
    let expected = format!("http://{admin} is not ready: server: draining");
    assert_eq!(line, expected);
    assert_well(&health(admin, &["--live"]));
}

#[test]
fn a_server_that_does_not_answer_in_time_is_not_well() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address");
    let start = Instant::now();
    let line = complains(health(address, &["--timeout=300ms"]), 1);
    let expected = format!("http://{address} does not answer: timeout");
    assert!(line.starts_with(&expected), "{line}");
    assert!(start.elapsed() < PATIENCE);
    drop(silent);
    let line = complains(health(address, &[]), 1);
    assert!(line.contains("Connection refused"), "{line}");
    let output = tenantry(&["health", "nonsense"]).output();
    assert_eq!(output.expect("it runs").status.code(), Some(2));
}

#[test]
fn probes_are_logged_at_debug_and_refused_ones_are_not() {
    for (filter, are_logged) in [("info", false), ("debug", true)] {
        let server = serve(&["--log=json", "--log-filter", filter]);
        let admin = server.admin_address();
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(ask(admin, &get(path)).status, 200);
        }
        let elsewhere = with_header(get("/metrics"), "host", "rebound.example");
        assert_eq!(ask(admin, &elsewhere).status, 421);
        assert_eq!(ask(admin, &authorized(get("/tenants"))).status, 200);
        // What is asked last is written last.
        server.wait_for_log(r#""route":"/tenants""#, 1);
        let log = server.log();
        let has = |status: u16, path: &str| {
            let mut lines = log.lines();
            let status = format!(r#""status":{status},"#);
            let route = format!(r#""route":"{path}""#);
            lines.any(|line| line.contains(&status) && line.contains(&route))
        };
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(has(200, path), are_logged, "{path}: {log}");
        }
        assert!(has(421, "/metrics"), "{log}");
    }
}
