//! Servers whose answers never end: the commands give up, and say why.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Output,
    thread,
    time::{Duration, Instant},
};

use super::commands::{complains, with};
#[cfg(target_os = "linux")]
use crate::support::terminal::{self, Shown};
use crate::support::{admin::token_file, client::PATIENCE, program::tenantry};

/// A server that answers each request as `answer` does, which gets the request's target and
/// how many came before it.
fn serve(answer: impl Fn(&str, usize, &mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for (n, socket) in listener.incoming().enumerate() {
            let Ok(mut socket) = socket else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|n| n > 0) {
                head.extend(byte);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            answer(&target, n, &mut socket);
        }
    });
    address
}

/// Writes a whole answer.
fn say(socket: &mut TcpStream, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let _ = socket.write_all((head + body).as_bytes());
}

/// Writes a byte now and then, for as long as somebody takes it.
fn trickle(socket: &mut TcpStream, before: &str, byte: u8) {
    let _ = socket.write_all(before.as_bytes());
    while socket.write_all(&[byte]).is_ok() {
        thread::sleep(Duration::from_millis(20));
    }
}

fn in_time(run: impl FnOnce() -> Output) -> Output {
    let start = Instant::now();
    let output = run();
    let took = start.elapsed();
    assert!(took < PATIENCE, "it took {took:?}");
    output
}

#[test]
fn an_answer_that_trickles_is_given_up() {
    for before in [
        "HTTP/1.1 200 OK\r\nx: ",
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n",
        "HTTP/1.1 409 Conflict\r\ncontent-length: 1000000\r\n\r\n",
    ] {
        let server = serve(move |_, _, socket| trickle(socket, before, b' '));
        let output = in_time(|| with(server, &["tenants", "list", "--timeout=500ms"]));
        let line = complains(output, 1);
        let expected = if before.contains("409") {
            format!("http://{server} answers with 409")
        } else {
            format!("http://{server} has not sent its answer within 500ms; --timeout")
        };
        assert!(line.starts_with(&expected), "{line}");
    }
}

#[test]
fn an_export_must_keep_coming() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nstart,tenant\n";
    let server = serve(move |_, _, socket| trickle(socket, head, b'x'));
    let args = ["usage", "--output=csv", "--timeout=500ms"];
    let output = in_time(|| with(server, &args));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("has not sent its answer within"), "{error}");
    assert!(output.stdout.starts_with(b"start,tenant\nx"));
    // One that says nothing at all, too.
    let server = serve(move |_, _, socket| {
        let _ = socket.write_all(head.as_bytes());
        thread::sleep(PATIENCE);
    });
    let output = in_time(|| with(server, &args));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_list_whose_pages_do_not_end_is_an_error() {
    let page = |next: &str| format!(r#"{{"tenants":[{{"id":"a"}}],"next":"{next}"}}"#);
    let refused = |server: SocketAddr| {
        let args = ["tenants", "list", "--timeout=200ms"];
        let line = complains(in_time(|| with(server, &args)), 1);
        let start = format!("http://{server} sends a list that does not end: ");
        let what = line.strip_prefix(&start).map(str::to_owned);
        what.unwrap_or(line)
    };
    let again = serve(move |_, _, socket| say(socket, &page("again")));
    assert_eq!(refused(again), "a page comes again");
    let turns = serve(move |_, n, socket| say(socket, &page(["a", "b", "c"][n % 3])));
    assert_eq!(refused(turns), "a page comes again");
    let empty = serve(|_, n, socket| say(socket, &format!(r#"{{"tenants":[],"next":"p{n}"}}"#)));
    assert_eq!(refused(empty), "a page has nothing but a next one");
    for next in [
        "",
        "a&state=b",
        "http://evil.example/",
        "a\\u000d\\u000ab",
        "é",
    ] {
        let leads = serve(move |target, _, socket| {
            assert!(!target.contains("cursor"), "{target}");
            say(socket, &page(next));
        });
        let what = refused(leads);
        assert_eq!(
            what, "its next page has no cursor of an admin API",
            "{next}"
        );
    }
    // Another page each time, for ever: a list has as long as many answers.
    let fresh = serve(move |_, n, socket| say(socket, &page(&format!("p{n}"))));
    let what = refused(fresh);
    assert!(what.contains("has not sent its answer within"), "{what}");
}

#[test]
fn a_list_in_json_is_printed_as_it_comes() {
    let server = serve(|target, _, socket| {
        let page = match target.ends_with("cursor=two") {
            false => r#"{"tenants":[{"id":"a"},{"id":"b"}],"next":"two"}"#,
            true => r#"{"tenants":[{"id":"c"}]}"#,
        };
        say(socket, page);
    });
    let output = with(server, &["tenants", "list", "--output=json"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        text,
        "[\n{\"id\":\"a\"},\n{\"id\":\"b\"},\n{\"id\":\"c\"}\n]\n"
    );
}

#[test]
fn an_answer_without_bounds_is_not_read() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 300000000\r\n\r\n";
    let server = serve(move |_, _, socket| trickle(socket, head, b' '));
    let line = complains(in_time(|| with(server, &["tenants", "show", "a"])), 1);
    let expected = format!("http://{server} sends an answer of more than 268435456 bytes");
    assert!(line.starts_with(&expected), "{line}");
    // One without a length.
    let server = serve(|_, _, socket| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while socket.write_all(&[b' '; 64 << 10]).is_ok() {}
    });
    let line = complains(in_time(|| with(server, &["tenants", "show", "a"])), 1);
    assert!(line.contains("sends an answer of more than"), "{line}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_long_wait_shows_how_far_it_is() {
    // Three pages, 3 s in all.
    let pages = || {
        serve(|_, n, socket| {
            thread::sleep(Duration::from_secs(1));
            let next = [r#","next":"a""#, r#","next":"b""#, ""][n % 3];
            say(socket, &format!(r#"{{"tenants":[{{"id":"a"}}]{next}}}"#));
        })
    };
    for (shown, output) in [
        (Shown::Stderr, "--output=table"),
        (Shown::Stderr, "--output=json"),
        // What is printed is not mixed up with it.
        (Shown::Stdout, "--output=table"),
    ] {
        let mut command = tenantry(&["tenants", "list", output]);
        command.env("TENANTRY_ADMIN_URL", format!("http://{}", pages()));
        command.env("TENANTRY_ADMIN_TOKEN_FILE", token_file());
        let (status, on_terminal, piped) = terminal::run(&command, shown);
        assert!(status.success());
        if shown == Shown::Stdout {
            assert_eq!(piped, "");
            continue;
        }
        assert!(on_terminal.contains(" lines, "), "{on_terminal:?}");
        // It is gone in the end.
        assert!(on_terminal.ends_with("\r\u{1b}[K"), "{on_terminal:?}");
        assert_eq!(piped.matches('a').count(), 3, "{piped}");
    }
}
