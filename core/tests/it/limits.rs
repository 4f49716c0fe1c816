//! Limits, sessions and their ends, as a client sees them and against brute force.

use std::time::Duration;

use proptest::prelude::*;
use tenantry_core::{
    limit::{Admission, WINDOW, Window},
    memory::Settings,
    session::{Ledger, Lifetime, SessionId, Table},
    tenancy::{OpenError, Owner},
    time::Timestamp,
};

use crate::native::Native;

proptest! {
    /// Chats at random times: a chat is granted if and only if fewer than the limit were
    /// granted in the ten seconds before it.
    #[test]
    fn the_window_agrees_with_brute_force(
        limit in 0_u32..6,
        gaps in prop::collection::vec(
            prop_oneof![Just(0), 0_u64..4_000_000_000, Just(10_000_000_000)], 1..200,
        ),
    ) {
        let mut window = Window::default();
        let mut granted: Vec<u64> = Vec::new();
        let mut now = 0;
        for gap in gaps {
            now += gap;
            let recent: Vec<u64> =
                granted.iter().copied().filter(|at| now - at < 10_000_000_000).collect();
            let outcome = window.admit(limit, Timestamp::from_nanos(now));
            let admitted = recent.len() < limit as usize;
            let (quota, was_admitted) = match outcome {
                Admission::Granted(quota) => (quota, true),
                Admission::Refused(quota) => (quota, false),
                Admission::Unlimited => panic!("there is a limit"),
            };
            prop_assert_eq!(was_admitted, admitted);
            prop_assert_eq!(quota.limit, limit);
            let used = recent.len() + usize::from(admitted);
            prop_assert_eq!(quota.remaining as usize, limit as usize - used);
            // `reset` is when there is one more: not a nanosecond before, and then.
            if limit > 0 {
                let oldest = recent.first().copied().unwrap_or(now);
                prop_assert_eq!(quota.reset, Duration::from_nanos(oldest + 10_000_000_000 - now));
            }
            if admitted {
                granted.push(now);
            }
        }
        // And so in every ten seconds, wherever they start.
        for start in &granted {
            let inside = granted.iter().filter(|at| (*start..start + 10_000_000_000).contains(at));
            prop_assert!(inside.count() <= limit as usize);
        }
    }

    #[test]
    fn a_refused_chat_is_granted_when_it_was_told_to_come_back(limit in 1_u32..5, at in 0_u64..9) {
        let mut window = Window::default();
        for _ in 0..limit {
            window.admit(limit, Timestamp::from_nanos(at));
        }
        let now = Timestamp::from_nanos(at + 1_234_567);
        let Admission::Refused(quota) = window.admit(limit, now) else { panic!("it is spent") };
        let almost = now.after(quota.reset - Duration::from_nanos(1));
        prop_assert!(matches!(window.clone().admit(limit, almost), Admission::Refused(_)));
        prop_assert!(matches!(window.admit(limit, now.after(quota.reset)), Admission::Granted(_)));
    }
}

#[test]
fn a_lowered_limit_waits_until_enough_chats_are_old() {
    let mut window = Window::default();
    for at in 0..5 {
        window.admit(5, Timestamp::from_nanos(at * 1_000_000_000));
    }
    let Admission::Refused(quota) = window.admit(2, Timestamp::from_nanos(5_000_000_000)) else {
        panic!("five are more than two");
    };
    assert_eq!((quota.remaining, quota.reset), (0, Duration::from_secs(8)));
}

#[test]
fn a_clock_that_steps_back_grants_nothing_twice() {
    let mut window = Window::default();
    let late = Timestamp::from_nanos(50_000_000_000);
    assert!(matches!(window.admit(1, late), Admission::Granted(_)));
    assert!(matches!(
        window.admit(1, Timestamp::default()),
        Admission::Refused(_)
    ));
    assert_eq!(window.granted().collect::<Vec<_>>(), [late]);
    assert!(matches!(
        window.admit(1, late.after(WINDOW)),
        Admission::Granted(_)
    ));
}

#[test]
fn a_chat_says_what_is_left_and_a_refusal_when_to_come_back() {
    let mut native = Native::limited(Duration::ZERO, 10);
    let session = native.open("globex");
    for left in (0..4).rev() {
        let reply = native.chat("globex", &session);
        assert_eq!(reply.status, 200);
        let wanted = format!(r#""chat";r={left};t={}"#, 7 + left);
        assert_eq!(reply.header("ratelimit"), Some(&*wanted));
        assert_eq!(reply.header("ratelimit-policy"), Some(r#""chat";q=4;w=10"#));
        assert_eq!(reply.header("retry-after"), None);
        native.now += Duration::from_secs(1);
    }
    native.now += Duration::from_millis(100);
    let reply = native.chat("globex", &session);
    assert_eq!(reply.status, 429);
    assert_eq!(reply.text(), r#"{"detail":"Rate limit exceeded"}"#);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("retry-after"), Some("6"));
    assert_eq!(reply.header("ratelimit"), Some(r#""chat";r=0;t=6"#));
    assert_eq!(reply.header("ratelimit-policy"), Some(r#""chat";q=4;w=10"#));
    native.now += Duration::from_millis(5_900);
    assert_eq!(native.chat("globex", &session).status, 200);
    assert_eq!(native.chat("globex", &session).status, 429);
}

#[test]
fn only_chats_that_would_be_answered_count() {
    let mut native = Native::limited(Duration::ZERO, 10);
    let session = native.open("globex");
    let other = native.open("acme");
    for _ in 0..20 {
        assert_eq!(native.chat("globex", &other).status, 403);
        assert_eq!(native.chat("globex", "nope").status, 404);
        let bad = format!(r#"{{"tenant_id":"globex","session_id":"{session}"}}"#);
        assert_eq!(native.post("/chat", &bad).status, 422);
    }
    let statuses: Vec<_> = (0..6)
        .map(|_| native.chat("globex", &session).status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    // Another tenant's limit is its own.
    assert_eq!(native.chat("acme", &other).status, 200);
}

#[test]
fn a_tenant_without_a_limit_has_none_and_neither_has_anybody_with_limits_off() {
    let row = r#"{"id":"a","name":"n","welcome":"w"}"#;
    let mut natives = [Native::new(row, Settings::default()), Native::unlimited()];
    for (native, tenant) in natives.iter_mut().zip(["a", "globex"]) {
        let session = native.open(tenant);
        for _ in 0..100 {
            let reply = native.chat(tenant, &session);
            assert_eq!((reply.status, reply.header("ratelimit")), (200, None));
        }
    }
}

#[test]
fn a_limit_of_zero_refuses_every_chat() {
    let row = r#"{"id":"a","name":"n","welcome":"w","limits":{"chat_per_10s":0}}"#;
    let mut native = Native::new(row, Settings::default());
    let session = native.open("a");
    let reply = native.chat("a", &session);
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("10"))
    );
    assert_eq!(reply.header("ratelimit"), Some(r#""chat";r=0;t=10"#));
}

#[test]
fn sessions_end_after_a_lifetime_of_no_use() {
    let hour = Duration::from_secs(3600);
    let mut native = Native::limited(hour, 10);
    let used = native.open("acme");
    let idle = native.open("acme");
    for _ in 0..3 {
        native.now += hour;
        assert_eq!(native.chat("acme", &used).status, 200);
    }
    let reply = native.chat("acme", &idle);
    assert_eq!(reply.status, 404);
    assert_eq!(reply.text(), r#"{"detail":"Unknown session_id"}"#);
    // For another tenant, too: it is as if it had never been.
    assert_eq!(native.chat("globex", &idle).status, 404);
    assert_eq!(native.chat("globex", &used).status, 403);
    // Another tenant's attempt is no use of it.
    native.now += hour / 2;
    assert_eq!(native.chat("globex", &used).status, 403);
    native.now += hour / 2 + hour / 100;
    assert_eq!(native.chat("acme", &used).status, 404);
}

#[test]
fn sessions_are_bounded_per_tenant_and_none_is_given_up_for_another() {
    let minute = Duration::from_secs(60);
    let mut native = Native::limited(minute, 2);
    let first = native.open("acme");
    native.now += minute / 2;
    let second = native.open("acme");
    let refused = native.post("/session", r#"{"tenant_id":"acme"}"#);
    assert_eq!(refused.status, 429);
    assert_eq!(refused.text(), r#"{"detail":"Too many sessions"}"#);
    assert_eq!(native.chat("acme", &first).status, 200);
    native.open("globex");
    // An ended session makes room at once, swept or not.
    native.now += minute * 3 / 4;
    assert_eq!(native.chat("acme", &first).status, 200);
    native.now += minute / 2;
    native.open("acme");
    assert_eq!(native.chat("acme", &second).status, 404);
    assert_eq!(
        native.post("/session", r#"{"tenant_id":"acme"}"#).status,
        429
    );
}

#[test]
fn a_row_says_its_own_session_bound() {
    let row = r#"{"id":"a","name":"n","welcome":"w","limits":{"sessions":3}}"#;
    for (max_sessions, limits) in [(1, true), (1_000_000, true), (1, false)] {
        let mut native = Native::new(
            row,
            Settings {
                limits,
                max_sessions,
                ..Settings::default()
            },
        );
        for _ in 0..3 {
            native.open("a");
        }
        let status = native.post("/session", r#"{"tenant_id":"a"}"#).status;
        assert_eq!(status, if limits { 429 } else { 200 });
    }
}

#[test]
fn an_id_in_use_keeps_its_owner_and_an_ended_one_is_free() {
    let lifetime = Lifetime::new(Duration::from_secs(256));
    let tick = |seconds: u64| lifetime.tick(Timestamp::from_nanos(seconds * 1_000_000_000));
    let (mut table, mut mine, mut theirs) =
        (Table::default(), Ledger::default(), Ledger::default());
    let id = SessionId::from_random([7; 16]);
    assert_eq!(table.open(id, 1, &mut mine, 10, tick(0)), Ok(()));
    assert_eq!(
        table.open(id, 2, &mut theirs, 10, tick(0)),
        Err(OpenError::Exists)
    );
    assert_eq!(
        table.open(id, 1, &mut mine, 10, tick(0)),
        Err(OpenError::Exists)
    );
    assert_eq!((mine.live(tick(0)), theirs.live(tick(0))), (1, 0));
    let never = |_| panic!("nobody used it later");
    assert_eq!(table.owner(id, 1, tick(0), never), Owner::Mine);
    assert_eq!(table.owner(id, 2, tick(256), never), Owner::Another);
    assert_eq!(table.open(id, 2, &mut theirs, 10, tick(257)), Ok(()));
    assert_eq!((mine.live(tick(257)), theirs.live(tick(257))), (0, 1));
    assert_eq!(table.owner(id, 1, tick(257), never), Owner::Another);
}

#[test]
fn a_session_that_was_seen_to_have_ended_is_not_used_again_by_a_clock_that_is_behind() {
    let lifetime = Lifetime::new(Duration::from_secs(256));
    let tick = |seconds: u64| lifetime.tick(Timestamp::from_nanos(seconds * 1_000_000_000));
    let (mut table, mut ledger) = (Table::default(), Ledger::default());
    let (old, new) = (
        SessionId::from_random([1; 16]),
        SessionId::from_random([2; 16]),
    );
    assert_eq!(table.open(old, 1, &mut ledger, 1, tick(0)), Ok(()));
    // One thread has read the clock later than the other, and comes first.
    assert_eq!(table.open(new, 1, &mut ledger, 1, tick(257)), Ok(()));
    let used = |before| ledger.used(before, tick(256));
    assert_eq!(table.owner(old, 1, tick(256), used), Owner::Unknown);
    assert_eq!(ledger.live(tick(257)), 1);
    assert_eq!(table.len(), 1);
}

#[test]
fn a_sweep_forgets_what_has_ended_and_nothing_else() {
    let mut native = Native::limited(Duration::from_secs(256), 1000);
    let old = native.open("acme");
    native.now += Duration::from_secs(200);
    let young = native.open("acme");
    native.now += Duration::from_secs(57);
    let now = Timestamp::from_nanos(257_000_000_000);
    let sessions =
        |native: &mut Native, tenant: &str| Some(native.memory.usage(tenant, now)?.sessions);
    assert_eq!(sessions(&mut native, "acme"), Some(1));
    native.memory.sweep(now);
    assert_eq!(sessions(&mut native, "acme"), Some(1));
    assert_eq!(sessions(&mut native, "nobody"), None);
    assert_eq!(native.chat("acme", &old).status, 404);
    assert_eq!(native.chat("acme", &young).status, 200);
}

#[test]
fn the_sweep_interval_is_a_part_of_the_lifetime() {
    assert_eq!(Lifetime::FOREVER.sweep_interval(), None);
    assert_eq!(Lifetime::new(Duration::ZERO), Lifetime::FOREVER);
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(Lifetime::new(day).sweep_interval(), Some(day / 16));
}

#[test]
fn session_ids_have_one_text_form() {
    let text = "b1946ac9-2492-4d23-8c6b-6f3d1d9f7a10";
    let id = SessionId::parse(text).expect("an id");
    assert_eq!(id.to_string(), text);
    let (high, low) = id.as_u64_pair();
    assert_eq!(SessionId::from_u64_pair(high, low), id);
    for other in [
        text.to_uppercase(),
        text.replace('-', ""),
        format!("{{{text}}}"),
        format!("urn:uuid:{text}"),
        format!(" {text}"),
        format!("{text}\n"),
        text[..35].to_owned(),
        text.replace('b', "é"),
    ] {
        assert_eq!(SessionId::parse(&other), None, "{other}");
    }
    assert_eq!(format!("{id:?}"), "SessionId(..)", "an id is a secret");
    let random = SessionId::from_random([0xff; 16]).to_string();
    assert_eq!(random, "ffffffff-ffff-4fff-bfff-ffffffffffff");
}
