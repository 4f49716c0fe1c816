//! How the program starts: flags, environment, the address, and what it says where
//! something is wrong.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use tenantry::{
    engine::EngineKind,
    opts::{self, LogForm, ServeTask, Task},
    sandbox::Isolation,
};
use tenantry_core::session::Lifetime;

use crate::support::{
    admin::{authorized, token_file},
    client::{ask, chat, get, open_session},
    program::{Program, run, tenantry, workspace},
    server::{Setup, Way, default_task},
};

/// Every flag of `serve` that has a value: a good one, a bad one, and what the message
/// about the bad one says would be right.
const FLAGS: [(&str, &str, &str, &str); 34] = [
    (
        "--listen",
        "127.0.0.1:0",
        "nowhere",
        "write it as 127.0.0.1:8001",
    ),
    ("--state", "memory", "mysql://a", "sqlite:PATH"),
    ("--watch", "false", "perhaps", "true or false"),
    ("--threads", "2", "0", "at least 1"),
    ("--engine", "native", "magic", "wasm, native"),
    ("--isolation", "request", "none", "tenant, request"),
    ("--sandboxes", "3", "many", "a whole number"),
    ("--sandbox-deadline", "2s", "0", "longer than 0"),
    (
        "--sandbox-memory",
        "128MiB",
        "1MiB",
        "from 2.0 MiB to 4.0 GiB",
    ),
    (
        "--sandbox-stack",
        "1MiB",
        "65MiB",
        "from 64.0 KiB to 64.0 MiB",
    ),
    ("--max-reply", "9MiB", "1KiB", "from 64.0 KiB to 1.0 GiB"),
    ("--session-ttl", "1h", "1ms", "0, or at least 10ms"),
    ("--max-sessions", "7", "-7", "from 0 to 4294967295"),
    (
        "--cache",
        "redis://localhost:6380/3",
        "localhost:6380",
        "redis://127.0.0.1:6379/0",
    ),
    ("--store-timeout", "250ms", "9ms", "at least 10ms"),
    ("--store-wait", "0s", "forever", "10s, 5m or 24h"),
    (
        "--cors-origin",
        "https://a.example,null",
        "a.example",
        "scheme://host or scheme://host:port",
    ),
    (
        "--trusted-proxy",
        "10.0.0.0/8,192.0.2.7",
        "10.0.0.0/33",
        "an address or a range of them",
    ),
    ("--max-body", "2MiB", "257MiB", "from 1 B to 256.0 MiB"),
    ("--max-buffered", "64MiB", "1KiB", "from 64.0 KiB to"),
    ("--max-head", "16KiB", "1", "from 8.0 KiB to 1.0 MiB"),
    ("--max-connections", "5", "0", "at least 1"),
    ("--header-timeout", "1500ms", "soon", "10s, 5m or 24h"),
    ("--body-timeout", "3m", "", "10s, 5m or 24h"),
    ("--request-timeout", "4", "0s", "longer than 0"),
    ("--write-timeout", "5s", "5 apples", "10s, 5m or 24h"),
    ("--idle-timeout", "6s", "0", "longer than 0"),
    ("--drain", "0", "later", "10s, 5m or 24h"),
    ("--drain-delay", "3s", "later", "10s, 5m or 24h"),
    ("--metrics-tenants", "0", "10001", "from 0 to 10000"),
    (
        "--otlp",
        "http://127.0.0.1:4318",
        "https://a.example",
        "a URL such as http://127.0.0.1:4318",
    ),
    ("--otlp-sample", "0.5", "1.5", "from 0 to 1"),
    ("--log", "json", "xml", "text, json"),
    (
        "--log-filter",
        "warn,tenantry::access=off",
        "inof",
        "a level such as info",
    ),
];

const NO_FILE: &str = "no-such-file.jsonl";

fn env_name(flag: &str) -> String {
    let name = flag.trim_start_matches('-').replace('-', "_");
    format!("TENANTRY_{}", name.to_uppercase())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `serve` with these variables and arguments, and a tenants file that is not there:
/// it ends where all flags were good, and says so.
fn serve_nothing(env: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = tenantry(&[&["serve", "--tenants", NO_FILE], args].concat());
    command.envs(env.iter().copied());
    command.output().expect("the program runs")
}

fn assert_flags_were_good(output: &Output, case: &str) {
    assert_eq!(output.status.code(), Some(2), "{case}: {}", stderr(output));
    let message = format!("error: {NO_FILE}: the tenants file cannot be read: ");
    let said = stderr(output);
    // A flag that does nothing without another one is good, and warns.
    let mut lines = said.lines().filter(|line| !line.starts_with("warning: "));
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with(&message), "{case}: {said}");
}

fn assert_refused(output: &Output, flag: &str, value: &str, form: &str) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{flag} {value}: {message}");
    assert!(output.stdout.is_empty(), "{flag} {value}");
    for part in [flag, value, form] {
        assert!(message.contains(part), "{flag} {value}: {message}");
    }
}

#[test]
fn a_bad_value_is_refused_with_the_flag_the_value_and_what_would_be_right() {
    for (flag, _, bad, form) in FLAGS {
        let given = format!("{flag}={bad}");
        assert_refused(&serve_nothing(&[], &[&given]), flag, bad, form);
    }
    for (flag, bad, form) in [
        ("--threads", "1025", "from 1 to 1024"),
        ("--max-body", "99999999999999999999999", "size such as"),
        ("--session-ttl", "99999999999999999999", "10s, 5m or 24h"),
        ("--listen", "127.0.0.1:65536", "write it as"),
        ("--log-filter", "info,=", "a level such as info"),
        ("--log-filter", "info,tenantry=", "a level such as info"),
        (
            "--log-filter",
            "tenantry::access=of",
            "a level such as info",
        ),
        ("--log-filter", "", "a level such as info"),
        (
            "--max-buffered",
            "512.0 KiB",
            "at least --max-body, which is 1.0 MiB",
        ),
    ] {
        assert_refused(&serve_nothing(&[], &[flag, bad]), flag, bad, form);
    }
    let unknown = serve_nothing(&[], &["--thread", "2"]);
    assert_refused(&unknown, "--thread", "", "unexpected argument");
}

#[test]
fn each_flag_has_its_variable_and_the_command_line_comes_first() {
    for (flag, good, bad, form) in FLAGS {
        let name = env_name(flag);
        let bad_env = [(name.as_str(), bad)];
        assert_refused(&serve_nothing(&bad_env, &[]), flag, bad, form);
        let good_flag = format!("{flag}={good}");
        assert_flags_were_good(&serve_nothing(&bad_env, &[&good_flag]), flag);
        assert_flags_were_good(&serve_nothing(&[(&name, good)], &[]), flag);
        let bad_flag = format!("{flag}={bad}");
        assert_refused(
            &serve_nothing(&[(&name, good)], &[&bad_flag]),
            flag,
            bad,
            form,
        );
    }
}

#[test]
fn a_password_is_not_repeated() {
    for (value, shown) in [
        ("redis://:hush@h:port/0", "'redis://***'"),
        ("rediss://me:hush@h/0", "'rediss://***'"),
        ("me:hush@h", "'***'"),
        // A password that is not encoded: what stands behind it is a part of it.
        ("redis://me:1@hush/hush", "'redis://***'"),
        ("redis://me:12#hush@h", "'redis://***'"),
        ("redis://me:12?hush", "'redis://***'"),
    ] {
        for output in [
            serve_nothing(&[("TENANTRY_CACHE", value)], &[]),
            serve_nothing(&[], &["--cache", value]),
        ] {
            assert_refused(&output, "--cache", shown, "redis://");
            if !value.starts_with("rediss") {
                assert!(stderr(&output).contains("%40 for @"), "{}", stderr(&output));
            }
            assert!(!stderr(&output).contains("hush"), "{}", stderr(&output));
        }
    }
    for (value, shown) in [
        ("postgres://me:hush@h:port/db", "'postgres://***'"),
        ("postgres://me:a/hush@h/db", "'postgres://***'"),
        ("postgres://me:12#hush@h/db", "'postgres://***'"),
        ("postgres://me:12?hush@h/db", "'postgres://***'"),
        ("postgres://me:hush%@h/db", "'postgres://***'"),
        ("postgres://me:hush", "'postgres://***'"),
        ("postgres:/me:hush@h/db", "'postgres://***'"),
        ("postgres://h:port/db?password=hush", "'postgres://***'"),
    ] {
        for output in [
            serve_nothing(&[("TENANTRY_STATE", value)], &[]),
            serve_nothing(&[], &["--state", value]),
            run(&["import", "--state", value, "tenants.jsonl"]),
            run(&["export", "--state", value]),
        ] {
            assert_refused(&output, "--state", shown, "postgres://");
            let is_url = value.starts_with("postgres://");
            assert!(
                !is_url || stderr(&output).contains("percent-encoded"),
                "{value}"
            );
            assert!(!stderr(&output).contains("hush"), "{}", stderr(&output));
        }
    }
    let mut help = tenantry(&["serve", "--help"]);
    help.env("TENANTRY_CACHE", "redis://:hush@h");
    help.env("TENANTRY_STATE", "postgres://me:hush@h/db");
    let help = help.output().expect("the program runs");
    assert!(!String::from_utf8_lossy(&help.stdout).contains("hush"));
}

#[test]
fn the_tenants_file_may_be_named_in_the_environment() {
    let mut command = tenantry(&["serve"]);
    command.env("TENANTRY_TENANTS", "elsewhere.jsonl");
    let output = command.output().expect("the program runs");
    assert!(stderr(&output).contains("error: elsewhere.jsonl: "));
    let output = serve_nothing(&[("TENANTRY_TENANTS", "elsewhere.jsonl")], &[]);
    assert_flags_were_good(&output, "--tenants");
}

#[test]
fn the_help_names_each_flag_with_its_variable_and_its_default() {
    let help = run(&["serve", "--help"]);
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    // Lines are wrapped.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("a plain number is seconds"), "{help}");
    assert!(help.contains("a plain number is bytes"), "{help}");
    let flags = FLAGS.map(|(flag, ..)| flag);
    let others = [
        "--tenants",
        "--no-limits",
        "--state-create",
        "--demo",
        "--admin",
        "--admin-token-file",
        "--admin-host",
        "--no-tenant-list",
    ];
    for flag in flags.iter().chain(&others) {
        let (_, about) = help
            .split_once(&format!("{flag} "))
            .unwrap_or_else(|| panic!("{flag} is not in the help"));
        let about = about.split(" --").next().unwrap_or_default();
        // What may have a password is not shown.
        let end = if ["--cache", "--state"].contains(flag) {
            ']'
        } else {
            '='
        };
        let env = format!("[env: {}{end}", env_name(flag));
        assert!(about.contains(&env), "{flag}: {about}");
        let is_off = [
            "--demo",
            "--cors-origin",
            "--trusted-proxy",
            "--otlp",
            "--cache",
            "--admin-token-file",
            "--admin-host",
        ]
        .contains(flag);
        assert_eq!(about.contains("[default: "), !is_off, "{flag}: {about}");
    }
    let in_help = help.matches("[env: ").count();
    assert_eq!(
        in_help,
        FLAGS.len() + others.len(),
        "a flag that no test knows"
    );
}

fn parse(args: &[&str], port: Option<&str>) -> ServeTask {
    let args = ["tenantry", "serve"].iter().chain(args);
    match opts::parse(args.map(Into::into), port.map(Into::into)) {
        Ok(Task::Serve(task)) => *task,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_flag_sets_what_it_says() {
    let given: Vec<_> = FLAGS
        .iter()
        .map(|(flag, good, ..)| format!("{flag}={good}"))
        .chain(
            [
                "--tenants=t.jsonl",
                "--no-limits",
                "--no-tenant-list",
                "--state-create",
                "--demo=page",
                "--admin-token-file=token",
                "--admin-host=a,B.example.",
            ]
            .map(str::to_owned),
        )
        .collect();
    let task = parse(&given.iter().map(String::as_str).collect::<Vec<_>>(), None);
    let seconds = Duration::from_secs;
    assert_eq!(task.listen, ([127, 0, 0, 1], 0).into());
    assert_eq!(task.tenants, PathBuf::from("t.jsonl"));
    assert!(!task.watch);
    assert_eq!(task.engine, EngineKind::Native);
    assert_eq!(task.sandbox.isolation, Isolation::Request);
    assert_eq!(task.sandbox.max_per_thread, 3);
    assert_eq!(task.sandbox.deadline, seconds(2));
    assert_eq!(task.sandbox.max_memory, 128 << 20);
    assert_eq!(task.sandbox.max_stack, 1 << 20);
    assert_eq!(task.sandbox.max_reply, 9 << 20);
    assert!(!task.rules.limits);
    assert!(!task.lists_tenants);
    let admin = task.admin.expect("an admin API");
    let names = ["a", "b.example"].map(|name| name.parse().expect("a name"));
    assert_eq!(admin.names, names);
    assert_eq!(task.rules.lifetime, Lifetime::new(seconds(3600)));
    assert_eq!(task.rules.max_sessions, 7);
    let cache = task.cache.expect("a cache").to_string();
    assert_eq!(cache, "redis://localhost:6380/3");
    assert_eq!(task.store_timeout, Duration::from_millis(250));
    assert_eq!(task.store_wait, Duration::ZERO);
    assert!(task.state_create);
    assert_eq!(task.demo, Some(PathBuf::from("page")));
    let origins = ["https://a.example", "null"].map(|origin| origin.parse().expect("an origin"));
    assert_eq!(task.cors_origins, origins);
    assert_eq!(task.server.threads, 2);
    assert_eq!(task.server.max_body, 2 << 20);
    assert_eq!(task.server.max_head, 16 << 10);
    assert_eq!(task.server.max_connections, 5);
    assert_eq!(task.server.head_timeout, Duration::from_millis(1500));
    assert_eq!(task.server.body_timeout, seconds(180));
    assert_eq!(task.server.request_timeout, seconds(4));
    assert_eq!(task.server.write_timeout, seconds(5));
    assert_eq!(task.server.idle_timeout, seconds(6));
    assert_eq!(task.server.drain, Duration::ZERO);
    assert_eq!(task.log, LogForm::Json);
    let filter = task.log_filter.to_string();
    assert!(filter.contains("tenantry::access=off"), "{filter}");
    assert!(filter.contains("warn"), "{filter}");
}

#[test]
fn flags_without_effect_are_named_where_they_are_given() {
    let database = "--state=sqlite:a.db";
    for (args, named) in [
        (&[][..], &[][..]),
        (&[database], &[]),
        (
            &[database, "--tenants=t", "--watch=true"],
            &["--tenants", "--watch"],
        ),
        (
            &["--state-create", "--store-wait=1s"],
            &["--state-create", "--store-wait"],
        ),
        (
            &[
                database,
                "--state-create",
                "--store-wait=1s",
                "--store-timeout=1s",
            ],
            &[],
        ),
        (&["--store-timeout=1s"], &["--store-timeout"]),
        (&["--store-timeout=1s", "--cache=redis://h"], &[]),
        (&["--otlp-sample=1"], &["--otlp-sample"]),
        (&["--otlp-sample=1", "--otlp=http://h"], &[]),
        (&["--metrics-tenants=1"], &["--metrics-tenants"]),
        (&["--metrics-tenants=1", "--admin-token-file=f"], &[]),
        (
            &["--no-limits", "--max-sessions=1", "--cache=redis://h"],
            &["--max-sessions", "--cache"],
        ),
        (
            &["--max-sessions=1", "--sandboxes=1", "--max-reply=1MiB"],
            &[],
        ),
        (
            &[
                "--engine=native",
                "--isolation=tenant",
                "--sandboxes=1",
                "--sandbox-deadline=1s",
                "--sandbox-memory=2MiB",
                "--sandbox-stack=64KiB",
                "--max-reply=1MiB",
            ],
            &[
                "--isolation",
                "--sandboxes",
                "--sandbox-deadline",
                "--sandbox-memory",
                "--sandbox-stack",
                "--max-reply",
            ],
        ),
    ] {
        let warnings = parse(args, None).warnings;
        let found: Vec<_> = warnings
            .iter()
            .map(|warning| warning.split(' ').next().expect("a word"))
            .collect();
        assert_eq!(found, named, "{args:?}");
        assert!(
            warnings
                .iter()
                .all(|warning| warning.contains(" has no effect: "))
        );
    }
    // The environment counts, and the log says it.
    let mut command = tenantry(&["serve", "--listen=127.0.0.1:0", "--engine=native"]);
    command.env("TENANTRY_STATE_CREATE", "true");
    let server = Program::start(command);
    server.wait_for_line("--state-create has no effect: there is no database");
}

#[test]
fn the_defaults_are_as_documented() {
    let task = default_task();
    assert_eq!(task.listen, ([127, 0, 0, 1], 8001).into());
    assert_eq!(task.tenants, PathBuf::from("tenants.jsonl"));
    assert!(task.watch);
    assert_eq!(task.engine, EngineKind::Wasm);
    assert_eq!(task.sandbox.isolation, Isolation::Tenant);
    assert!(task.rules.limits);
    assert!(task.lists_tenants);
    assert!(task.admin.is_none());
    assert_eq!(
        task.rules.lifetime,
        Lifetime::new(Duration::from_secs(24 * 60 * 60))
    );
    assert_eq!(task.rules.max_sessions, 1_000_000);
    assert!(task.cache.is_none());
    assert_eq!(task.store_timeout, Duration::from_secs(1));
    assert_eq!(task.store_wait, Duration::from_secs(60));
    assert!(!task.state_create);
    assert_eq!(task.warnings, [""; 0]);
    assert_eq!(task.demo, None);
    assert_eq!(task.cors_origins, []);
    assert_eq!(task.server.max_body, 1 << 20);
    assert!(task.server.max_connections > 10_000);
    assert_eq!(task.trusted_proxies, []);
    let buffered = |args: &[&str]| parse(args, None).server.max_buffered;
    assert!((1 << 20..=128 << 20).contains(&buffered(&[])));
    assert_eq!(buffered(&["--max-body", "200MiB"]), 200 << 20);
    assert_eq!(buffered(&["--max-buffered", "300MiB"]), 300 << 20);
    for (threads, sandboxes) in [("1", 4096), ("2", 4096), ("16", 512), ("1024", 8)] {
        let task = parse(&["--threads", threads], None);
        assert_eq!(task.sandbox.max_per_thread, sandboxes);
    }
}

#[test]
fn port_changes_the_port_alone_unless_the_command_line_says_where_to_listen() {
    let listen = |args: &[&str], port| parse(args, port).listen.to_string();
    assert_eq!(listen(&[], Some("9000")), "127.0.0.1:9000");
    assert_eq!(
        listen(&["--listen", "0.0.0.0:80"], Some("9000")),
        "0.0.0.0:80"
    );
    assert_eq!(listen(&["--listen", "[::1]:80"], None), "[::1]:80");
    // Port 1 could be bound by nobody but the superuser; 0 is any.
    let mut command = tenantry(&["serve", "--engine=native"]);
    command
        .env("TENANTRY_LISTEN", "127.0.0.1:1")
        .env("PORT", "0");
    let server = Program::start(command);
    assert!(server.address.ip().is_loopback());
    assert_ne!(server.address.port(), 1);
    assert_eq!(ask(server.address, &get("/")).status, 200);
}

#[test]
fn a_bad_port_in_the_environment_is_refused() {
    for port in ["http", "65536", "-1", "", "80 "] {
        let output = serve_nothing(&[("PORT", port)], &[]);
        assert_refused(&output, "PORT", port, "from 0 to 65535");
    }
    // Not looked at where the command line says where to listen.
    let output = serve_nothing(&[("PORT", "http")], &["--listen", "127.0.0.1:0"]);
    assert_flags_were_good(&output, "PORT");
}

#[test]
fn a_switch_in_the_environment_is_true_or_false() {
    for (value, is_limited) in [("true", false), ("1", false), ("false", true), ("0", true)] {
        let mut command = tenantry(&["serve", "--listen=127.0.0.1:0", "--engine=native"]);
        command.env("TENANTRY_NO_LIMITS", value);
        let server = Program::start(command);
        let session = open_session(server.address, "acme");
        let reply = ask(server.address, &chat("acme", &session, "hi"));
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("ratelimit").is_some(), is_limited, "{value}");
    }
    for value in ["nonsense", "", "2"] {
        let output = serve_nothing(&[("TENANTRY_NO_LIMITS", value)], &[]);
        assert_refused(&output, "--no-limits", value, "true or false");
    }
}

#[test]
fn tenants_that_are_not_listed_are_served() {
    for way in Way::ALL {
        let setup = Setup::new(way);
        let state = setup.state().unlisted();
        let server = setup.start_with(state);
        let list = ask(server.address, &get("/"));
        assert_eq!(list.status, 200);
        assert_eq!(list.text(), r#"{"ok":true,"tenants":[]}"#, "{way:?}");
        let mut head = get("/");
        head.method = "HEAD".to_owned();
        let head = ask(server.address, &head);
        assert_eq!(head.header("content-length"), Some("24"), "{way:?}");
        let session = open_session(server.address, "acme");
        let reply = ask(server.address, &chat("acme", &session, "hi"));
        assert_eq!(reply.status, 200);
    }
    // By the flag and by the variable; the admin API still lists them.
    let token = token_file().to_str().expect("UTF-8");
    let args = [
        "serve",
        "--listen=127.0.0.1:0",
        "--engine=native",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        token,
    ];
    let mut by_flag = tenantry(&args);
    by_flag.arg("--no-tenant-list");
    let mut by_variable = tenantry(&args);
    by_variable.env("TENANTRY_NO_TENANT_LIST", "true");
    for command in [by_flag, by_variable] {
        let server = Program::start(command);
        let list = ask(server.address, &get("/")).text();
        assert_eq!(list, r#"{"ok":true,"tenants":[]}"#);
        let tenants = authorized(get("/tenants"));
        assert!(
            ask(server.admin_address(), &tenants)
                .text()
                .contains("acme")
        );
    }
    let mut command = tenantry(&args);
    command.env("TENANTRY_NO_TENANT_LIST", "false");
    let server = Program::start(command);
    assert!(ask(server.address, &get("/")).text().contains("acme"));
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a file can be written");
    path
}

#[test]
fn every_problem_of_a_tenants_file_is_reported_before_the_port_is_bound() {
    let bad = file(
        "startup-bad.jsonl",
        "{\"id\":\"a\",\"name\":\"A\"}\n\n{\"id\":5}\nnot json\n{\"id\":\"b\",\"name\":1,\"welcome\":\"w\",\
         \"limits\":{\"chat_per_10s\":-1}}\n",
    );
    let path = bad.to_str().expect("UTF-8");
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = occupied.local_addr().expect("an address").to_string();
    let output = run(&["serve", "--listen", &listen, "--tenants", path]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(!message.contains(&listen), "{message}");
    let mut lines = message.lines();
    let count = lines.next().expect("a first line");
    let problems: Vec<_> = lines.collect();
    assert_eq!(
        count,
        format!("error: {} problems in the tenants file", problems.len())
    );
    for (problem, start) in problems.iter().zip([
        "1: welcome: missing",
        "3: id: ",
        "4: not JSON",
        "5: name: ",
        "5: limits.chat_per_10s: ",
    ]) {
        let start = format!("{path}:{start}");
        assert!(problem.starts_with(&start), "{problem}");
    }
    assert_eq!(problems.len(), 5, "{message}");
    // The command that only checks says the same.
    let check = run(&["check", path]);
    assert_eq!(check.status.code(), Some(2));
    assert_eq!(stderr(&check), message);
}

#[test]
fn a_tenants_file_that_cannot_be_read_is_named() {
    for args in [["serve", "--tenants=."].as_slice(), &["check", "."]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2));
        let message = stderr(&output);
        assert!(
            message.starts_with("error: .: the tenants file cannot be read: "),
            "{message}"
        );
    }
}

#[test]
fn an_address_in_use_is_named() {
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = occupied.local_addr().expect("an address").to_string();
    let output = run(&["serve", "--listen", &address]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(output.stdout.is_empty());
    let wanted = format!("error: {address} cannot be listened on; --listen names another address");
    assert!(message.contains(&wanted), "{message}");
}

#[test]
fn the_first_line_on_standard_output_is_the_address_and_nothing_follows() {
    let server = Program::serve(&[]);
    assert_ne!(server.address.port(), 0);
    assert_eq!(ask(server.address, &get("/")).status, 200);
    server.signal("TERM");
    let (status, rest, log) = server.wait();
    assert!(status.success(), "{log}");
    assert_eq!(rest, "");
}

#[test]
fn nobody_to_tell_the_address_to_is_an_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = tenantry(&["serve", "--listen=127.0.0.1:0"]);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("standard output"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn check_counts_tenants_and_warns() {
    let output = run(&["check", "tenants.jsonl"]);
    assert!(output.status.success());
    assert_eq!(output.stdout, b"tenants.jsonl: 3 tenants\n");
    assert_eq!(stderr(&output), "");
    let odd = file(
        "startup-odd.jsonl",
        "{\"name\":\"no id\"}\n{\"id\":\"a\",\"name\":\"A\",\"welcome\":\"w\"}\n\
         {\"id\":\"a\",\"name\":\"B\",\"welcome\":\"w\"}\n",
    );
    let path = odd.to_str().expect("UTF-8");
    let output = run(&["check", path]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with(&format!("{path}:1: id: missing")),
        "{text}"
    );
    assert!(lines[1].starts_with(&format!("{path}:2: id: ")), "{text}");
    assert!(lines[2].starts_with(&format!("{path}: 1 tenant")), "{text}");
}

#[test]
fn version_help_and_no_arguments() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    let version = String::from_utf8_lossy(&version.stdout);
    let wanted = format!("tenantry {} (", env!("CARGO_PKG_VERSION"));
    let commit = version.strip_prefix(&wanted);
    let commit = commit.and_then(|rest| rest.strip_suffix(")\n"));
    let commit = commit.unwrap_or_else(|| panic!("{version}"));
    // What this was built of: of a checkout that is its commit.
    let mut git = std::process::Command::new("git");
    let git = git.args(["rev-parse", "--short=12", "HEAD"]);
    let git = git.current_dir(workspace()).output();
    let git = git.ok().filter(|output| output.status.success());
    match std::env::var("TENANTRY_COMMIT") {
        Ok(given) => assert_eq!(commit, given),
        Err(_) if workspace().join(".git").exists() => {
            let git = git.expect("git").stdout;
            assert_eq!(commit, String::from_utf8_lossy(&git).trim());
        }
        Err(_) => assert_eq!(commit, "unknown"),
    }
    // The metrics say the same.
    let token = token_file().to_str().expect("UTF-8");
    let server = Program::serve(&[
        "--engine=native",
        "--admin=127.0.0.1:0",
        "--admin-token-file",
        token,
    ]);
    let metrics = ask(server.admin_address(), &get("/metrics")).text();
    let label = format!("commit=\"{commit}\"");
    let mut lines = metrics.lines();
    let info = lines.find(|line| line.starts_with("tenantry_build_info{"));
    assert!(info.is_some_and(|line| line.contains(&label)), "{info:?}");
    let nothing = run(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(stderr(&nothing).contains("Usage: tenantry <COMMAND>"));
    assert!(run(&["--help"]).status.success());
}
