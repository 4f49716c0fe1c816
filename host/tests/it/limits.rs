//! Limits and lifetimes over HTTP, by a clock that stands still until a test moves it.

use std::{net::SocketAddr, thread, time::Duration};

use tenantry_conformance::{Exchange, Reply};
use tenantry_core::session::Lifetime;

use crate::support::{
    client::{Connection, ask, chat, get, open_session},
    server::{Setup, Way},
};

const TENANTS: &str = r#"{"id":"acme","name":"A","welcome":"w","limits":{"chat_per_10s":3,"sessions":2}}
{"id":"globex","name":"G","welcome":"w","limits":{"chat_per_10s":20}}
{"id":"free","name":"F","welcome":"w"}
{"id":"none","name":"N","welcome":"w","limits":{"chat_per_10s":0}}
"#;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn limited(way: Way) -> Setup {
    let mut setup = Setup::limited(way);
    setup.tenants = TENANTS.to_owned();
    setup
}

/// Status, `retry-after`, `ratelimit` and `ratelimit-policy`.
fn quota(reply: &Reply) -> (u16, Option<&str>, Option<&str>, Option<&str>) {
    (
        reply.status,
        reply.header("retry-after"),
        reply.header("ratelimit"),
        reply.header("ratelimit-policy"),
    )
}

fn say(address: SocketAddr, tenant: &str, session: &str) -> Reply {
    ask(address, &chat(tenant, session, "hi"))
}

fn open(address: SocketAddr, tenant: &str) -> Reply {
    let body = format!(r#"{{"tenant_id":"{tenant}"}}"#);
    ask(address, &Exchange::post("/session", body))
}

#[test]
fn a_chat_over_the_limit_is_told_when_to_come_back() {
    const POLICY: Option<&str> = Some(r#""chat";q=3;w=10"#);
    for way in Way::ALL {
        let server = limited(way).start();
        let session = open_session(server.address, "acme");
        let say = || say(server.address, "acme", &session);
        assert_eq!(
            quota(&say()),
            (200, None, Some(r#""chat";r=2;t=10"#), POLICY)
        );
        server.clock.advance(Duration::from_millis(1500));
        assert_eq!(
            quota(&say()),
            (200, None, Some(r#""chat";r=1;t=9"#), POLICY)
        );
        server.clock.advance(Duration::from_millis(1500));
        assert_eq!(
            quota(&say()),
            (200, None, Some(r#""chat";r=0;t=7"#), POLICY)
        );
        let refused = say();
        assert_eq!(
            quota(&refused),
            (429, Some("7"), Some(r#""chat";r=0;t=7"#), POLICY)
        );
        assert_eq!(refused.text(), r#"{"detail":"Rate limit exceeded"}"#);
        assert_eq!(refused.header("content-type"), Some("application/json"));
        // The window slides: the first chat makes room exactly 10 s after it.
        server.clock.advance(Duration::from_nanos(6_999_999_999));
        assert_eq!(
            quota(&say()),
            (429, Some("1"), Some(r#""chat";r=0;t=1"#), POLICY)
        );
        server.clock.advance(Duration::from_nanos(1));
        assert_eq!(
            quota(&say()),
            (200, None, Some(r#""chat";r=0;t=2"#), POLICY)
        );
        assert_eq!(say().status, 429);
        // Refused ones did not count: the next room is the second chat's.
        server.clock.advance(Duration::from_millis(1500));
        assert_eq!(say().status, 200);
        assert_eq!(say().status, 429);
    }
}

#[test]
fn only_chats_that_would_be_answered_count() {
    for way in Way::ALL {
        let server = limited(way).start();
        let address = server.address;
        let mine = open_session(address, "acme");
        let theirs = open_session(address, "globex");
        let unanswered = [
            (chat("acme", &theirs, "hi"), 403),
            (chat("acme", "no-session", "hi"), 404),
            (chat("nobody", &mine, "hi"), 404),
            (Exchange::post("/chat", r#"{"tenant_id":"acme"}"#), 422),
            (Exchange::post("/chat", r#"{"tenant_id":"acme""#), 422),
            (get("/chat"), 405),
        ];
        for (exchange, status) in unanswered.iter().cycle().take(18) {
            let reply = ask(address, exchange);
            assert_eq!(quota(&reply), (*status, None, None, None));
        }
        for status in [200, 200, 200, 429] {
            assert_eq!(say(address, "acme", &mine).status, status);
        }
        // Where both hold, it is somebody else's session before it is too much.
        assert_eq!(say(address, "acme", &theirs).status, 403);
        assert_eq!(say(address, "acme", "no-session").status, 404);
        // What acme used up is nobody else's.
        assert_eq!(say(address, "globex", &theirs).status, 200);
    }
}

#[test]
fn a_tenant_has_one_limit_over_all_connections_and_threads() {
    for way in Way::ALL {
        let mut setup = limited(way);
        setup.task.server.threads = 4;
        let server = setup.start();
        let address = server.address;
        let sessions: Vec<_> = (0..8).map(|_| open_session(address, "globex")).collect();
        for _ in 0..3 {
            let granted: usize = thread::scope(|scope| {
                let clients: Vec<_> = sessions
                    .iter()
                    .map(|session| {
                        scope.spawn(move || {
                            let chat = chat("globex", session, "hi");
                            // Some over one connection, some over one each.
                            let mut connection = Connection::open(address);
                            let mut granted = 0;
                            for n in 0..10 {
                                let reply = if n % 2 == 0 {
                                    connection.exchange(&chat).expect("an answer")
                                } else {
                                    ask(address, &chat)
                                };
                                assert!(matches!(reply.status, 200 | 429), "{}", reply.status);
                                granted += usize::from(reply.status == 200);
                            }
                            granted
                        })
                    })
                    .collect();
                let granted = clients.into_iter().map(|client| client.join());
                granted.map(|granted| granted.expect("no panic")).sum()
            });
            assert_eq!(granted, 20, "{way:?}");
            server.clock.advance(Duration::from_secs(10));
        }
    }
}

#[test]
fn a_limit_of_none_says_nothing_and_a_limit_of_zero_refuses() {
    for way in Way::ALL {
        let server = limited(way).start();
        let free = open_session(server.address, "free");
        for _ in 0..30 {
            let reply = say(server.address, "free", &free);
            assert_eq!(quota(&reply), (200, None, None, None));
        }
        let none = open_session(server.address, "none");
        assert_eq!(
            quota(&say(server.address, "none", &none)),
            (
                429,
                Some("10"),
                Some(r#""chat";r=0;t=10"#),
                Some(r#""chat";q=0;w=10"#)
            )
        );
    }
}

#[test]
fn without_limits_nothing_is_answered_with_429() {
    for way in Way::ALL {
        let mut setup = limited(way);
        setup.task.rules.limits = false;
        setup.task.rules.max_sessions = 1;
        let server = setup.start();
        for _ in 0..4 {
            open_session(server.address, "free");
        }
        let sessions = [(); 4].map(|()| open_session(server.address, "acme"));
        for session in sessions.iter().cycle().take(8) {
            let reply = say(server.address, "acme", session);
            assert_eq!(quota(&reply), (200, None, None, None));
        }
    }
}

#[test]
fn sessions_over_the_bound_are_refused_and_none_is_given_up_for_another() {
    for way in Way::ALL {
        let mut setup = limited(way);
        setup.task.rules.max_sessions = 3;
        let server = setup.start();
        let address = server.address;
        // acme's row says 2; free's says nothing, so the server's 3 holds.
        for (tenant, bound) in [("acme", 2), ("free", 3)] {
            let sessions: Vec<_> = (0..bound).map(|_| open_session(address, tenant)).collect();
            for _ in 0..2 {
                let refused = open(address, tenant);
                assert_eq!(refused.status, 429, "{way:?} {tenant}");
                assert_eq!(refused.text(), r#"{"detail":"Too many sessions"}"#);
                assert_eq!(refused.header("content-type"), Some("application/json"));
            }
            for session in &sessions {
                assert_eq!(say(address, tenant, session).status, 200);
            }
        }
        // All of them end, and there is room again.
        server.clock.advance(25 * HOUR);
        assert_eq!(open(address, "acme").status, 200);
        assert_eq!(open(address, "acme").status, 200);
        assert_eq!(open(address, "acme").status, 429);
    }
}

#[test]
fn a_session_ends_after_its_lifetime_and_each_use_prolongs_it() {
    for way in Way::ALL {
        let server = limited(way).start();
        let address = server.address;
        let used = open_session(address, "free");
        let unused = open_session(address, "free");
        for _ in 0..3 {
            server.clock.advance(23 * HOUR);
            assert_eq!(say(address, "free", &used).status, 200);
        }
        // A look by somebody else is no use.
        server.clock.advance(23 * HOUR);
        assert_eq!(say(address, "globex", &used).status, 403);
        server.clock.advance(2 * HOUR);
        for (tenant, session) in [("free", &used), ("free", &unused), ("globex", &used)] {
            let reply = say(address, tenant, session);
            assert_eq!(reply.status, 404, "{way:?}");
            assert_eq!(reply.text(), r#"{"detail":"Unknown session_id"}"#);
        }
    }
}

#[test]
fn a_lifetime_of_zero_is_for_ever() {
    let mut setup = limited(Way::Tenant);
    setup.task.rules.lifetime = Lifetime::new(Duration::ZERO);
    let server = setup.start();
    let sessions = [(); 2].map(|()| open_session(server.address, "acme"));
    server.clock.advance(100 * 365 * 24 * HOUR);
    for session in &sessions {
        assert_eq!(say(server.address, "acme", session).status, 200);
    }
    assert_eq!(open(server.address, "acme").status, 429);
}
