//! The engine without a server: fresh sandboxes, sandboxes that are used again and again,
//! and no sandboxes give the same answers, whether the stores answer at once or later.

use std::sync::Arc;

use proptest::{prelude::*, test_runner::TestRunner};
use tenantry::{engine::Engine, sandbox::Component};
use tenantry_conformance::{Call, MAX_SESSIONS, Model, Reply, TTL, WAITS, replay};
use tenantry_core::session::Lifetime;

use crate::support::{
    inside::Inside,
    later::{a_moment, later},
    server::{Setup, Way},
};

/// A way of running the core, and whether its stores answer later.
#[derive(Debug, Clone, Copy)]
struct Kind {
    way: Way,
    is_later: bool,
}

impl Kind {
    fn all() -> impl Iterator<Item = Self> {
        Way::ALL
            .into_iter()
            .flat_map(|way| [false, true].map(|is_later| Self { way, is_later }))
    }

    fn engine(self, setup: &Setup, component: Option<Arc<Component>>) -> Inside {
        let state = setup.state();
        let state = if self.is_later {
            later(state, &a_moment())
        } else {
            state
        };
        Inside::new(Engine::new(Arc::new(state), component))
    }
}

#[test]
fn the_recorded_cases_come_out_as_recorded_in_every_kind_of_engine() {
    for kind in Kind::all() {
        let setup = Setup::new(kind.way);
        let report = replay(&mut kind.engine(&setup, setup.component()));
        assert!(
            report.failures.is_empty(),
            "{kind:?}: {:#?}",
            report.failures
        );
        report.assert_passed();
        // What goes over a socket is replayed by the tests that have one.
        for (name, reason) in &report.skipped {
            assert!(reason.ends_with("is up to the transport"), "{name}");
        }
        assert_eq!(report.skipped.len(), 39, "{:?}", report.skipped);
    }
}

/// What an answer says, apart from session ids: those are random.
type Said = (u16, String, Vec<(String, String)>);

fn said(reply: &Reply) -> Said {
    let mut body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if let Some(id) = body.get_mut("session_id") {
        id.take();
    }
    (reply.status, body.to_string(), reply.headers.clone())
}

/// Everything is limited, and there are fewer sandboxes than scopes, so that some are
/// given up and made again.
fn limited(way: Way) -> Setup {
    let mut setup = Setup::limited(way);
    setup.task.rules.lifetime = Lifetime::new(TTL);
    setup.task.rules.max_sessions = MAX_SESSIONS;
    setup.task.sandbox.max_per_thread = 2;
    setup
}

/// Runs calls side by side with the model; returns what was answered.
fn run(kind: Kind, component: Option<Arc<Component>>, calls: &[Call]) -> Result<Vec<Said>, String> {
    let setup = limited(kind.way);
    let inside = kind.engine(&setup, component);
    let mut model = Model::new(true, TTL, MAX_SESSIONS as usize);
    let mut answers = Vec::new();
    for call in calls {
        if let Call::Wait(time) = call {
            setup.clock.advance(*time);
            model.wait(*time);
        }
        if let Some(exchange) = model.request(call) {
            let reply = inside.ask(&exchange);
            model.check(call, &reply)?;
            answers.push(said(&reply));
        }
    }
    Ok(answers)
}

#[test]
fn random_calls_are_answered_the_same_in_every_kind_of_engine() {
    let kinds: Vec<_> = Kind::all()
        .map(|kind| (kind, limited(kind.way).component()))
        .collect();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(32));
    let outcome = runner.run(&Call::some(60, WAITS), |calls| {
        let mut first = None;
        for (kind, component) in &kinds {
            let answers = run(*kind, component.clone(), &calls)
                .map_err(|error| TestCaseError::fail(format!("{kind:?}: {error}")))?;
            let first = first.get_or_insert_with(|| answers.clone());
            prop_assert_eq!(&answers, &*first, "{:?}", kind);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
