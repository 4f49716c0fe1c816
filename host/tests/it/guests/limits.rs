//! Deadline, memory, stack and reply: as the flags say, to the tick and to the byte.

use std::{pin::pin, sync::Arc, time::Duration};

use tenantry::{engine::Engine, sandbox::TICK};
use tenantry_core::contract::{Method, Payload, Request};

use super::{
    Fault, assert_internal_error, count, counting_pauses, fault, inside, misbehaving, open_session,
    order, poll_once,
};
use crate::support::{
    client::{chat, session_id},
    inside::{Inside, answer},
    later::{later, pause},
};

const ACME: Option<&str> = Some("acme");

#[test]
fn a_guest_gives_way_at_each_tick_and_is_stopped_at_its_deadline() {
    for ticks in [1, 4, 20] {
        let mut setup = misbehaving();
        setup.task.sandbox.deadline = TICK * ticks;
        let inside = Inside::new(setup.engine());
        count(&inside, ACME);
        let order = order(ACME, "loop");
        let ((reply, fault), pauses) = inside.run(counting_pauses(answer(&inside.engine, &order)));
        assert_internal_error(&reply);
        assert!(matches!(fault, Some(Fault::Deadline)), "{fault:?}");
        assert_eq!(pauses, ticks);
    }
}

#[test]
fn while_a_guest_runs_its_thread_answers_others() {
    let mut setup = misbehaving();
    setup.task.sandbox.deadline = Duration::from_secs(3600);
    setup.task.sandbox.max_per_thread = 3;
    let inside = Inside::new(setup.engine());
    inside.run(async {
        let orders = ["loop", "loop-asking"].map(|what| order(ACME, what));
        let [mut one, mut two] = orders
            .each_ref()
            .map(|order| Box::pin(answer(&inside.engine, order)));
        for n in 1..=20 {
            tokio::task::yield_now().await;
            assert!(poll_once(one.as_mut()).await.is_pending());
            assert!(poll_once(two.as_mut()).await.is_pending());
            let (reply, fault) = answer(&inside.engine, &order(Some("globex"), "count")).await;
            assert!(fault.is_none(), "{fault:?}");
            assert_eq!(reply.text(), n.to_string());
        }
    });
}

#[test]
fn time_that_a_store_takes_is_not_running_time() {
    let mut setup = misbehaving();
    setup.task.sandbox.deadline = TICK * 10;
    let slow = pause(|| tokio::time::sleep(TICK * 40));
    let inside = inside(&setup, later(setup.state(), &slow));
    let id = session_id(&inside.ask(&open_session("acme")));
    let reply = inside.ask(&chat("acme", &id, "hello"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    // It is the same deadline for one that runs.
    let fault = fault(&inside, &order(ACME, "loop"));
    assert!(matches!(fault, Fault::Deadline), "{fault:?}");
}

#[test]
fn time_that_others_run_is_not_running_time() {
    let mut setup = misbehaving();
    setup.task.sandbox.deadline = TICK * 10;
    let inside = Inside::new(setup.engine());
    count(&inside, ACME);
    inside.run(async {
        let order = order(ACME, "loop");
        let mut hog = pin!(counting_pauses(answer(&inside.engine, &order)));
        assert!(poll_once(hog.as_mut()).await.is_pending());
        // Far longer than its deadline.
        std::thread::sleep(TICK * 40);
        tokio::task::yield_now().await;
        let (_, pauses) = hog.await;
        assert_eq!(pauses, 10);
    });
}

#[test]
fn memory_is_given_up_to_the_cap() {
    // The second is no multiple of a page: the last page that fits is given.
    for (cap, fits) in [
        (2 << 20, 2 << 20),
        (3_000_000, 2_949_120),
        (8 << 20, 8 << 20),
    ] {
        let mut setup = misbehaving();
        setup.task.sandbox.max_memory = cap;
        let inside = Inside::new(setup.engine());
        let grow = |bytes: usize| inside.ask(&order(ACME, &format!("grow:{bytes}"))).text();
        assert_eq!(grow(fits), "true", "{fits} of {cap}");
        assert_eq!(grow(fits + 1), "false", "{fits} and one page of {cap}");
        let fault = fault(&inside, &order(ACME, "allocate"));
        assert!(matches!(fault, Fault::Memory), "{fault:?}");
    }
}

#[test]
fn a_sandbox_that_has_grown_past_a_mebibyte_is_not_used_again() {
    let inside = Inside::new(misbehaving().engine());
    for (bytes, next) in [(1 << 20, 2), ((1 << 20) + 1, 1), (8 << 20, 1)] {
        // A new one, to start with.
        fault(&inside, &order(ACME, "panic"));
        let grown = inside.ask(&order(ACME, &format!("grow:{bytes}")));
        assert_eq!(grown.text(), "true");
        assert_eq!(count(&inside, ACME), next, "after it had {bytes} bytes");
    }
}

#[test]
fn the_stack_is_as_deep_as_its_cap() {
    let outcome = |max_stack| {
        let mut setup = misbehaving();
        setup.task.sandbox.max_stack = max_stack;
        let inside = Inside::new(setup.engine());
        inside.answer(&order(ACME, "recurse:8000"))
    };
    // No frame is below 16 bytes, and none of this function's is near 1,000.
    let (reply, fault) = outcome(64 << 10);
    assert_internal_error(&reply);
    assert!(matches!(fault, Some(Fault::Stack)), "{fault:?}");
    let (reply, fault) = outcome(8 << 20);
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(reply.status, 200);
}

#[test]
fn a_reply_is_as_long_as_its_cap() {
    for max_reply in [0, 21, 9 << 20] {
        let mut setup = misbehaving();
        setup.task.sandbox.max_reply = max_reply;
        let inside = Inside::new(setup.engine());
        let reply = inside.ask(&order(ACME, &format!("reply:{max_reply}")));
        assert_eq!(reply.body.len(), max_reply);
        let too_long = max_reply + 1;
        let fault = fault(&inside, &order(ACME, &format!("reply:{too_long}")));
        assert!(
            matches!(fault, Fault::Reply(bytes) if bytes == too_long),
            "{fault:?}"
        );
    }
}

/// The longest answers of the real guest fit the defaults.
#[test]
fn the_longest_requests_are_answered_within_the_default_limits() {
    let setup = crate::support::server::Setup::new(crate::support::server::Way::Tenant);
    let inside = Inside::new(Engine::new(Arc::new(setup.state()), setup.component()));
    let max_body = setup.task.server.max_body;
    for tenant in ["acme", "globex", "initech"] {
        let id = session_id(&inside.ask(&open_session(tenant)));
        // Three bytes in capitals, and six as JSON writes them.
        for filling in ["\u{390}", "\\u0001", "\\\"", "x"] {
            let head = format!(r#"{{"tenant_id":"{tenant}","session_id":"{id}","message":"."#);
            let room = max_body - head.len() - r#"."}"#.len();
            let filling = filling.repeat(room / filling.len());
            let body = format!(r#"{head}{filling}."}}"#);
            let request = Request {
                method: Method::Post,
                target: "/chat",
                content_type: None,
                body: Payload::Text(&body),
            };
            let answered = inside.run(inside.engine.answer(&request));
            assert!(answered.fault.is_none(), "{tenant}: {:?}", answered.fault);
            assert_eq!(answered.response.status, 200);
        }
    }
}
