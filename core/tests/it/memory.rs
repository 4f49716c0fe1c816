//! All state in one place: written down and taken in again, and looked at without counting.

use std::time::Duration;

use proptest::prelude::*;
use tenantry_conformance::{Call, Model};
use tenantry_core::{
    memory::{AdoptError, Memory, Session, Usage},
    session::SessionId,
    time::Timestamp,
};

use crate::native::Native;

const TTL: Duration = Duration::from_secs(60);
const WAITS: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_millis(3_333),
    Duration::from_secs(10),
    Duration::from_millis(60_001),
];

fn timestamp(now: Duration) -> Timestamp {
    Timestamp::from_nanos(u64::try_from(now.as_nanos()).expect("a short test"))
}

/// What one memory holds, taken in by another one that holds nothing.
fn copy(from: &Memory, to: &mut Memory, now: Timestamp) {
    let sessions: Vec<_> = from.sessions(now).collect();
    for session in sessions {
        assert_eq!(to.adopt(&session, now), Ok(()));
        // Once more is the same.
        assert_eq!(to.adopt(&session, now), Ok(()));
    }
    for row in from.registry().rows() {
        let id = row.tenant().id;
        let mut chats: Vec<_> = from.chats(id).expect("it is a tenant").collect();
        // Their order makes no difference.
        chats.reverse();
        assert!(to.set_chats(id, chats));
    }
}

fn usage(memory: &mut Memory, now: Timestamp) -> Vec<Option<Usage>> {
    ["acme", "globex", "initech", "nobody"]
        .map(|tenant| memory.usage(tenant, now))
        .into()
}

proptest! {
    /// A page is loaded again between any two calls, and nobody notices.
    #[test]
    fn what_was_written_down_goes_on_elsewhere(calls in Call::some(60, WAITS)) {
        let mut native = Native::limited(TTL, 3);
        let mut model = Model::new(true, TTL, 3);
        for call in &calls {
            if let Call::Wait(time) = call {
                native.now += *time;
                model.wait(*time);
            }
            let now = timestamp(native.now);
            let mut copied = Native::limited(TTL, 3).memory;
            copy(&native.memory, &mut copied, now);
            prop_assert_eq!(usage(&mut copied, now), usage(&mut native.memory, now));
            native.memory = copied;
            if let Some(exchange) = model.request(call) {
                let reply = native.exchange(&exchange);
                prop_assert_eq!(model.check(call, &reply), Ok(()));
            }
        }
    }

    /// What is said to be left is granted, and no more; and it comes back when it was said.
    #[test]
    fn looking_at_a_limit_counts_nothing(
        gaps in prop::collection::vec(prop_oneof![Just(0), 0_u64..4_000], 1..60),
    ) {
        let mut native = Native::limited(Duration::ZERO, 3);
        let session = native.open("globex");
        for gap in gaps {
            native.now += Duration::from_millis(gap);
            let now = timestamp(native.now);
            let look = |native: &mut Native, now| {
                let usage = native.memory.usage("globex", now).expect("it is a tenant");
                usage.quota.expect("it has a limit")
            };
            let before = look(&mut native, now);
            prop_assert_eq!(look(&mut native, now), before);
            prop_assert_eq!(before.limit, 4);
            if before.remaining == 4 {
                prop_assert_eq!(before.reset, Duration::ZERO);
            } else {
                let later = look(&mut native, now.after(before.reset));
                prop_assert!(later.remaining > before.remaining);
            }
            let reply = native.chat("globex", &session);
            prop_assert_eq!(reply.status == 200, before.remaining > 0);
        }
    }
}

#[test]
fn a_session_is_not_taken_in_where_it_cannot_live() {
    let mut native = Native::limited(TTL, 1);
    let id = SessionId::from_random([7; 16]);
    let now = timestamp(Duration::from_secs(1000));
    let session = |tenant_id, used| Session {
        id,
        tenant_id,
        used: timestamp(Duration::from_secs(used)),
    };
    let memory = &mut native.memory;
    let nobodys = memory.adopt(&session("nobody", 1000), now);
    assert_eq!(nobodys, Err(AdoptError::UnknownTenant));
    let old = memory.adopt(&session("acme", 939), now);
    assert_eq!(old, Err(AdoptError::Ended));
    assert_eq!(
        memory.usage("acme", now).map(|usage| usage.sessions),
        Some(0)
    );

    assert_eq!(memory.adopt(&session("acme", 950), now), Ok(()));
    let anothers = memory.adopt(&session("globex", 1000), now);
    assert_eq!(anothers, Err(AdoptError::AnotherTenants));
    assert_eq!(
        memory.usage("globex", now).map(|usage| usage.sessions),
        Some(0)
    );

    // A later use is taken over, an earlier one is not; one ahead of the clock is now.
    for (used, expected) in [(990, 990), (960, 990), (2000, 1000)] {
        assert_eq!(memory.adopt(&session("acme", used), now), Ok(()));
        let held: Vec<_> = memory.sessions(now).collect();
        let [held] = held.as_slice() else {
            panic!("there is one session: {held:?}");
        };
        let late = timestamp(Duration::from_secs(expected)).since(held.used);
        assert!(late < TTL / 256 + Duration::from_micros(1), "{late:?}");
    }
}

#[test]
fn a_closed_session_is_unknown_and_makes_room() {
    let mut native = Native::limited(TTL, 1);
    let open = native.open("acme");
    let id = SessionId::parse(&open).expect("an id");
    let now = timestamp(native.now);
    let full = native.post("/session", r#"{"tenant_id":"acme"}"#);
    assert_eq!(full.status, 429);
    assert!(native.memory.close(id, now));
    assert!(!native.memory.close(id, now));
    assert_eq!(native.chat("acme", &open).status, 404);
    native.open("acme");
}

#[test]
fn after_clearing_there_are_tenants_and_nothing_else() {
    let mut native = Native::limited(TTL, 3);
    let session = native.open("acme");
    assert_eq!(native.chat("acme", &session).status, 200);
    let now = timestamp(native.now);
    native.memory.clear();
    assert_eq!(native.memory.sessions(now).count(), 0);
    assert_eq!(native.memory.chats("acme").map(Iterator::count), Some(0));
    assert_eq!(native.chat("acme", &session).status, 404);
    native.open("acme");
    assert!(native.memory.chats("nobody").is_none());
    assert!(!native.memory.set_chats("nobody", []));
}
