//! Tenants that change with their file, while they are served.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use tenantry::state::{Directory, State};
use tenantry_conformance::Reply;
use tenantry_core::registry::Registry;

use crate::support::{
    client::{Connection, ask, chat, get, open_session},
    program::Program,
    server::{Setup, Way},
};

/// Logged when a file was taken over.
const RELOADED: &str = "tenants reloaded";

/// Logged when it was not.
const STAY: &str = "the tenants stay as they were";

fn row(id: &str, welcome: &str) -> String {
    format!(r#"{{"id":"{id}","name":"n","welcome":"{welcome}"}}"#) + "\n"
}

/// An empty folder that only one test uses.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reload-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file can be written");
}

/// A file with the same name in its place.
fn rename(path: &Path, text: &str) {
    let new = path.with_extension("new");
    write(&new, text);
    fs::rename(&new, path).expect("a file can be renamed");
}

fn serve(path: &Path, more: &[&str]) -> Program {
    let path = path.to_str().expect("UTF-8");
    let args = ["--tenants", path, "--threads=2", "--sandboxes=16"];
    Program::serve(&[&args, more].concat())
}

fn list(address: SocketAddr) -> String {
    ask(address, &get("/")).text()
}

fn times(log: &str, text: &str) -> usize {
    log.matches(text).count()
}

#[test]
fn a_hangup_reloads_under_load_without_a_failed_request() {
    const ROUNDS: usize = 20;
    let path = folder("load").join("tenants.jsonl");
    let text = |round: usize| {
        row("same", "same") + &row("changed", &round.to_string()) + &row(&format!("r{round}"), "w")
    };
    write(&path, &text(0));
    // With sandboxes: those of a changed tenant must not answer any more.
    let server = serve(&path, &["--watch=false"]);
    let address = server.address;
    let sessions = ["same", "changed"].map(|tenant| (tenant, open_session(address, tenant)));
    let gone = open_session(address, "r0");
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|n| {
                let (tenant, session) = &sessions[n % 2];
                let (is_over, answered) = (&is_over, &answered);
                scope.spawn(move || {
                    let mut connection = Connection::open(address);
                    while !is_over.load(Ordering::SeqCst) {
                        for request in [chat(tenant, session, "hi"), get("/")] {
                            let reply = connection.exchange(&request).expect("an answer");
                            assert_eq!(reply.status, 200, "{}", reply.text());
                        }
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for round in 1..=ROUNDS {
            write(&path, &text(round));
            server.signal("HUP");
            server.wait_for_log(RELOADED, round);
            // What is logged is so, for connections from before, too.
            let (tenant, session) = &sessions[1];
            let reply = ask(address, &chat(tenant, session, "hi")).text();
            assert!(reply.contains(&format!("\"reply\":\"{round} ")), "{reply}");
        }
        is_over.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().expect("every request was answered");
        }
    });
    assert!(answered.load(Ordering::SeqCst) > ROUNDS);

    let listed = format!(r#"{{"ok":true,"tenants":["same","changed","r{ROUNDS}"]}}"#);
    assert_eq!(list(address), listed);
    let new = format!("r{ROUNDS}");
    let session = open_session(address, &new);
    assert_eq!(ask(address, &chat(&new, &session, "hi")).status, 200);
    assert_eq!(ask(address, &chat("r0", &gone, "hi")).status, 404);

    // Who comes back finds its sessions.
    write(&path, &text(0));
    server.signal("HUP");
    server.wait_for_log(RELOADED, ROUNDS + 1);
    assert_eq!(ask(address, &chat("r0", &gone, "hi")).status, 200);
    let log = server.log();
    let line = "tenants=3 added=1 changed=1 removed=1";
    assert_eq!(times(&log, line), ROUNDS + 1, "{log}");
}

#[test]
fn what_is_counted_for_a_tenant_outlives_a_change_of_its_row() {
    let registry = |welcome: &str, limit: u32| {
        let text = format!(
            r#"{{"id":"a","name":"n","welcome":"{welcome}","limits":{{"chat_per_10s":{limit}}}}}"#
        );
        let parsed = Registry::parse(text.as_bytes());
        parsed.expect("a good row").registry
    };
    for way in Way::ALL {
        let setup = Setup::limited(way);
        let directory = Arc::new(Directory::of(registry("one", 3)));
        let clock = Arc::clone(&setup.clock);
        let file = setup.task.tenants.clone();
        let state = State::in_memory(Arc::clone(&directory), file, setup.task.rules, clock);
        let server = setup.start_with(state);
        let session = open_session(server.address, "a");
        let remaining = |reply: &Reply| {
            let header = reply.header("ratelimit").expect("a limit").to_owned();
            (reply.status, header)
        };
        let mut connection = Connection::open(server.address);
        let mut hi = || {
            let reply = connection.exchange(&chat("a", &session, "hi"));
            reply.expect("an answer")
        };
        assert_eq!(remaining(&hi()), (200, r#""chat";r=2;t=10"#.to_owned()));
        directory.replace(registry("two", 3));
        let reply = hi();
        assert_eq!(remaining(&reply), (200, r#""chat";r=1;t=10"#.to_owned()));
        assert!(
            reply.text().contains("\"reply\":\"two "),
            "{}",
            reply.text()
        );
        directory.replace(registry("two", 2));
        assert_eq!(remaining(&hi()), (429, r#""chat";r=0;t=10"#.to_owned()));
        directory.replace(registry("two", 4));
        assert_eq!(remaining(&hi()), (200, r#""chat";r=1;t=10"#.to_owned()));
    }
}

#[test]
fn a_bad_file_is_refused_as_a_whole_and_the_log_says_each_line() {
    let path = folder("bad").join("tenants.jsonl");
    write(&path, &row("a", "1"));
    let server = serve(&path, &["--watch=false"]);
    let bad = row("a", "2") + "nonsense\n{\"id\":\"b\",\"name\":5}\n";
    let name = path.display();
    let problems = [
        format!("{name}:2: not JSON: "),
        format!("{name}:3: name: "),
        format!("{name}:3: welcome: missing"),
        format!("{name}: refused; {STAY} problems=3"),
    ];
    write(&path, &bad);
    // Who asks is told, each time.
    for round in 1..=2 {
        server.signal("HUP");
        server.wait_for_log(STAY, round);
        let log = server.log();
        for problem in &problems {
            assert_eq!(times(&log, problem), round, "{problem}: {log}");
        }
    }
    let session = open_session(server.address, "a");
    let reply = ask(server.address, &chat("a", &session, "hi")).text();
    assert!(reply.contains("\"reply\":\"1 "), "{reply}");

    // A file that is only odd is taken.
    write(&path, &(row("a", "3") + &row("a", "4")));
    server.signal("HUP");
    server.wait_for_log(RELOADED, 1);
    let log = server.log();
    assert_eq!(times(&log, &format!("{name}:1: id: ")), 1, "{log}");
    let reply = ask(server.address, &chat("a", &session, "hi")).text();
    assert!(reply.contains("\"reply\":\"4 "), "{reply}");

    server.signal("HUP");
    server.wait_for_log("the tenants file says what is served", 1);
}

#[test]
fn a_watched_file_is_taken_however_it_is_changed() {
    let path = folder("watch").join("tenants.jsonl");
    write(&path, &row("a", "0"));
    let server = serve(&path, &[]);
    let expect = |id: &str, reloads: usize| {
        server.wait_for_log(RELOADED, reloads);
        let listed = format!(r#"{{"ok":true,"tenants":["{id}"]}}"#);
        assert_eq!(list(server.address), listed);
    };
    // In place, to the same length.
    write(&path, &row("b", "0"));
    expect("b", 1);
    // As editors do it.
    rename(&path, &row("c", "0"));
    expect("c", 2);
    // Removed, and written anew.
    fs::remove_file(&path).expect("it is there");
    write(&path, &row("d", "0"));
    expect("d", 3);
    // The same content in another file is no news.
    rename(&path, &row("d", "0"));
    // Emptied: refused, once.
    write(&path, "");
    server.wait_for_log(STAY, 1);
    expect("d", 3);
    // Half of it: refused, and taken once it is whole.
    let whole = row("e", "0");
    write(&path, &whole[..whole.len() / 2]);
    server.wait_for_log(STAY, 2);
    expect("d", 3);
    write(&path, &whole);
    expect("e", 4);
    // Gone: said once, and no tenant goes with it.
    fs::remove_file(&path).expect("it is there");
    server.wait_for_log("the tenants file cannot be read", 1);
    expect("e", 4);
    // A folder in its place can't be read, either.
    fs::create_dir(&path).expect("a folder");
    server.wait_for_log("it is no regular file", 1);
    fs::remove_dir(&path).expect("it is there");
    // More than any memory has room for.
    let sparse = fs::File::create(&path).expect("a file");
    sparse.set_len(1 << 43).expect("a file with a hole");
    server.wait_for_log("the tenants file is too large", 1);
    expect("e", 4);
    fs::remove_file(&path).expect("it is there");
    write(&path, &whole);
    server.wait_for_log("the tenants file says what is served", 1);
    server.signal("TERM");
    let (status, _, log) = server.wait();
    assert!(status.success(), "{log}");
    assert_eq!(times(&log, RELOADED), 4, "{log}");
    assert_eq!(times(&log, "no tenants; "), 1, "{log}");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_elsewhere_is_followed() {
    use std::os::unix::fs::symlink;

    // As Kubernetes mounts a ConfigMap: the file is a link through a folder that is a link,
    // which is replaced by a rename.
    let folder = folder("link");
    let version = |n: u32| {
        let name = format!("..version-{n}");
        fs::create_dir(folder.join(&name)).expect("a folder");
        write(
            &folder.join(&name).join("tenants.jsonl"),
            &row(&format!("v{n}"), "w"),
        );
        symlink(&name, folder.join("..new")).expect("a link");
        fs::rename(folder.join("..new"), folder.join("..data")).expect("a link can be renamed");
    };
    version(1);
    let path = folder.join("tenants.jsonl");
    symlink("..data/tenants.jsonl", &path).expect("a link");
    let server = serve(&path, &[]);
    for n in 2..=3 {
        version(n);
        fs::remove_dir_all(folder.join(format!("..version-{}", n - 1))).expect("it is there");
        server.wait_for_log(RELOADED, n as usize - 1);
        let listed = format!(r#"{{"ok":true,"tenants":["v{n}"]}}"#);
        assert_eq!(list(server.address), listed);
    }
    assert_eq!(times(&server.log(), STAY), 0);
}

#[test]
fn a_file_that_is_not_watched_changes_nothing_by_itself() {
    let path = folder("unwatched").join("tenants.jsonl");
    write(&path, &row("a", "0"));
    let watched = serve(&path, &[]);
    let unwatched = serve(&path, &["--watch=false"]);
    write(&path, &row("b", "0"));
    watched.wait_for_log(RELOADED, 1);
    assert_eq!(list(unwatched.address), r#"{"ok":true,"tenants":["a"]}"#);
    unwatched.signal("HUP");
    unwatched.wait_for_log(RELOADED, 1);
    assert_eq!(list(unwatched.address), r#"{"ok":true,"tenants":["b"]}"#);
}
