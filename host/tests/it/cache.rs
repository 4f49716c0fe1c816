//! What stands behind `--cache`: what cannot count limits is refused, and whether limits are
//! shared is in the log and the metrics.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    admin::token_file,
    client::{PATIENCE, ask, chat, get, open_session},
    ports::free_port,
    program::{Program, run},
    redis::RedisServer,
};

/// Starts a server with a Redis at that URL.
fn serve(cache: &str) -> Program {
    let token = token_file().display().to_string();
    Program::serve(&[
        "--engine=native",
        "--store-timeout=400ms",
        "--cache",
        cache,
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        &token,
    ])
}

fn url(address: SocketAddr) -> String {
    format!("redis://:hush@{address}/0")
}

/// The value of a series of Tenantry's.
fn metric(program: &Program, series: &str) -> Option<f64> {
    let text = ask(program.admin_address(), &get("/metrics")).text();
    let series = format!("tenantry_{series} ");
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(&series))?;
    value.parse().ok()
}

/// Waits until the limits are shared, or are not.
#[track_caller]
fn wait_until_shared(program: &Program, is_shared: bool) {
    let wanted = Some(f64::from(u8::from(is_shared)));
    let end = Instant::now() + PATIENCE;
    while metric(program, "limits_shared") != wanted {
        assert!(Instant::now() < end, "{}", program.log());
        thread::sleep(Duration::from_millis(20));
    }
}

fn errors(program: &Program, operation: &str) -> f64 {
    let series = format!("cache_errors_total{{operation=\"{operation}\"}}");
    metric(program, &series).expect("a counter")
}

fn is_ready(program: &Program) -> bool {
    ask(program.admin_address(), &get("/readyz")).status == 200
}

/// A server of Redis whose password is the one in the URLs.
fn start(args: &[&str]) -> Option<RedisServer> {
    RedisServer::start_with(&[&["--requirepass", "hush"], args].concat())
}

#[test]
fn whether_limits_are_shared_is_in_the_metrics_and_the_log() {
    let Some(mut server) = start(&[]) else {
        return;
    };
    let program = serve(&url(server.address));
    let session = open_session(program.address, "acme");
    let say = || ask(program.address, &chat("acme", &session, "hi")).status;
    let shown = format!("redis://{}/0", server.address);
    assert!(program.wait_for_line("Redis is reached").contains(&shown));
    wait_until_shared(&program, true);
    assert_eq!((say(), errors(&program, "ask")), (200, 0.0));
    server.kill();
    assert_eq!(say(), 200);
    wait_until_shared(&program, false);
    assert!(is_ready(&program), "limits that are held here are limits");
    assert!(errors(&program, "ask") > 0.0);
    let end = Instant::now() + PATIENCE;
    while errors(&program, "connect") < 2.0 {
        assert!(Instant::now() < end, "it does not try to connect");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(program.wait_for_line("Redis is lost: ").contains(&shown));
    server.start_again();
    wait_until_shared(&program, true);
    assert!(program.wait_for_line("Redis is back").contains(&shown));
    assert!(!program.log().contains("hush"), "{}", program.log());
}

#[test]
fn a_wrong_port_is_said_at_the_start() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let program = serve(&url(address));
    let line = program.wait_for_line("Redis is out of reach: ");
    for part in [&*format!("redis://{address}/0"), "refused", "by itself"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("hush"), "{line}");
    wait_until_shared(&program, false);
    assert!(errors(&program, "connect") >= 1.0);
    let session = open_session(program.address, "acme");
    let reply = ask(program.address, &chat("acme", &session, "hi"));
    assert_eq!(reply.status, 200);
    // It has answered, so that it does not start any more.
    assert!(is_ready(&program));
}

#[test]
fn without_a_cache_there_is_no_metric_of_one() {
    let token = token_file().display().to_string();
    let args = [
        "--engine=native",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        &token,
    ];
    let program = Program::serve(&args);
    assert_eq!(metric(&program, "limits_shared"), None);
    assert!(metric(&program, "ready").is_some());
}

/// Kinds of servers that speak Redis's protocol and cannot count limits: how they are started,
/// and what is said of them.
const UNFIT: [(&[&str], &str); 3] = [
    (&["--cluster-enabled", "yes"], "a node of a Redis Cluster"),
    (&["--sentinel"], "a Redis Sentinel"),
    // Of a primary that is not there, and with nothing of it.
    (&["--replicaof", "127.0.0.1 1"], "a replica"),
];

/// The slots of a cluster, and its one node has all of them.
fn own_all_slots(server: &RedisServer, args: &[&str]) {
    if args.contains(&"--cluster-enabled") {
        let _: String = server.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        let end = Instant::now() + PATIENCE;
        let is_whole = || {
            let info: String = server.run(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok")
        };
        while !is_whole() {
            assert!(Instant::now() < end, "the cluster does not form");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn what_cannot_count_limits_is_refused_at_the_start() {
    for (args, said) in UNFIT {
        let Some(server) = RedisServer::start_with(args) else {
            return;
        };
        own_all_slots(&server, args);
        let url = format!("redis://:@{}/0", server.address);
        let output = run(&["serve", "--listen=127.0.0.1:0", "--cache", &url]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(output.stdout.is_empty(), "{message}");
        let wanted = format!("redis://{}/0 is {said}", server.address);
        assert!(message.contains(&wanted), "{message}");
        assert!(message.contains("--cache must name"), "{message}");
    }
}

#[test]
fn what_cannot_count_limits_is_refused_when_it_takes_the_place_of_redis() {
    for (args, said) in UNFIT {
        let Some(mut server) = RedisServer::start() else {
            return;
        };
        let program = serve(&format!("redis://{}/0", server.address));
        let session = open_session(program.address, "acme");
        let say = || ask(program.address, &chat("acme", &session, "hi")).status;
        assert_eq!(say(), 200);
        wait_until_shared(&program, true);
        server.kill();
        server.start_again_with(args);
        own_all_slots(&server, args);
        assert_eq!(say(), 200);
        let line = program.wait_for_line("can't be used");
        assert!(line.contains(&format!("it is {said}")), "{line}");
        wait_until_shared(&program, false);
        assert_eq!(say(), 200, "limits are held by this server");
        server.kill();
        server.start_again_with(&[]);
        wait_until_shared(&program, true);
        // Once, and not at each attempt.
        assert_eq!(program.log().matches("can't be used").count(), 1);
    }
}

#[test]
fn a_user_that_may_not_ask_what_redis_is_can_use_it() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let rules = ["ACL", "SETUSER", "limits", "on", ">hush"];
    let may = [
        "~tenantry:*",
        "+@scripting",
        "+@read",
        "+@write",
        "+time",
        "+auth",
    ];
    let _: String = server.run(&[&rules[..], &may].concat());
    let program = serve(&format!("redis://limits:hush@{}/0", server.address));
    wait_until_shared(&program, true);
    let session = open_session(program.address, "acme");
    let reply = ask(program.address, &chat("acme", &session, "hi"));
    assert_eq!(reply.status, 200);
    assert_eq!(errors(&program, "ask"), 0.0);
}

#[test]
fn a_policy_that_forgets_chats_is_said_and_the_right_one_is_not() {
    for (policy, is_said) in [("noeviction", false), ("allkeys-lru", true)] {
        let Some(server) = start(&["--maxmemory", "64mb", "--maxmemory-policy", policy]) else {
            return;
        };
        let program = serve(&url(server.address));
        program.wait_for_log("Redis is reached", 1);
        let warning = format!("maxmemory-policy {policy}");
        assert_eq!(program.log().contains(&warning), is_said, "{policy}");
    }
}

#[test]
fn a_redis_without_memory_leaves_limits_to_each_server_until_it_has_some() {
    let Some(server) = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let program = serve(&format!("redis://{}/0", server.address));
    let session = open_session(program.address, "acme");
    let say = || ask(program.address, &chat("acme", &session, "hi")).status;
    assert_eq!(say(), 200);
    wait_until_shared(&program, true);
    let _: String = server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(say(), 200);
    wait_until_shared(&program, false);
    assert!(program.wait_for_line("Redis is lost: ").contains("OOM"));
    assert_eq!(say(), 200);
    let _: String = server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_until_shared(&program, true);
}
