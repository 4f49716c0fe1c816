//! What one tenant is answered never depends on another.

use std::time::Duration;

use proptest::prelude::*;
use tenantry_conformance::{Call, Model, Reply, TENANTS};
use tenantry_core::memory::Settings;

use crate::native::Native;

const WAITS: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_secs(1),
    Duration::from_millis(3_333),
    Duration::from_secs(10),
    Duration::from_secs(31),
    Duration::from_millis(60_001),
    Duration::from_secs(70),
];
const TTL: Duration = Duration::from_secs(60);

/// Runs calls side by side with the model; returns the answers.
fn run(native: &mut Native, model: &mut Model, calls: &[Call]) -> Result<Vec<Reply>, String> {
    let mut replies = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        if let Call::Wait(time) = call {
            native.now += *time;
            model.wait(*time);
            // Sweeping must make no difference.
            if n % 2 == 0 {
                let now = u64::try_from(native.now.as_nanos()).expect("a short test");
                native
                    .memory
                    .sweep(tenantry_core::time::Timestamp::from_nanos(now));
            }
        }
        if let Some(exchange) = model.request(call) {
            let reply = native.exchange(&exchange);
            model.check(call, &reply)?;
            replies.push(reply);
        }
    }
    Ok(replies)
}

/// What an answer says, apart from session ids: those are random.
fn said(reply: &Reply) -> (u16, String, Vec<(String, String)>) {
    let mut body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if let Some(id) = body.get_mut("session_id") {
        id.take();
    }
    (reply.status, body.to_string(), reply.headers.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_calls_are_answered_as_the_model_says(calls in Call::some(80, WAITS)) {
        let mut native = Native::limited(TTL, 3);
        let outcome = run(&mut native, &mut Model::new(true, TTL, 3), &calls);
        prop_assert_eq!(outcome.err(), None);
    }

    #[test]
    fn without_limits_nothing_is_refused(calls in Call::some(80, WAITS)) {
        let mut native = Native::unlimited();
        let mut model = Model::new(false, Duration::ZERO, 0);
        let calls: Vec<_> = calls.into_iter().filter(|c| !matches!(c, Call::Wait(_))).collect();
        let outcome = run(&mut native, &mut model, &calls);
        prop_assert_eq!(outcome.err(), None);
    }

    /// Two worlds: in one, everybody calls; in the other, only acme does, and the other
    /// tenants have other rows, other limits and other session bounds. Acme is answered
    /// the same, unless it asks about a session that is not its own.
    #[test]
    fn a_tenant_is_answered_as_if_it_were_alone(calls in Call::some(80, WAITS)) {
        let mut crowd = Native::limited(TTL, 3);
        let mut crowd_model = Model::new(true, TTL, 3);
        let mut alone = Native::new(&other_rows(), Settings {
            lifetime: tenantry_core::session::Lifetime::new(TTL),
            max_sessions: 3,
            ..Settings::default()
        });
        // Sessions of acme, as (its id in the crowd, its id alone).
        let mut sessions: Vec<(String, String)> = Vec::new();
        for call in &calls {
            if let Call::Wait(time) = call {
                crowd.now += *time;
                crowd_model.wait(*time);
                alone.now += *time;
            }
            let Some(mut exchange) = crowd_model.request(call) else { continue };
            let reply = crowd.exchange(&exchange);
            prop_assert!(crowd_model.check(call, &reply).is_ok());
            if call.tenant() != Some("acme") {
                continue;
            }
            let mut request: serde_json::Value =
                serde_json::from_slice(exchange.body.as_deref().unwrap_or_default())
                    .expect("the model writes JSON");
            if let Some(id) = request.get("session_id").and_then(|id| id.as_str()) {
                let own = sessions.iter().find(|(in_crowd, _)| in_crowd == id);
                match own {
                    Some((_, alone)) => request["session_id"] = alone.clone().into(),
                    // Another tenant's session, or none: that may be told, and no more.
                    None => {
                        let detail = reply.text();
                        prop_assert!(
                            [r#"{"detail":"Session does not belong to tenant"}"#,
                             r#"{"detail":"Unknown session_id"}"#].contains(&&*detail),
                            "{detail}"
                        );
                        continue;
                    }
                }
            }
            exchange.body = Some(request.to_string().into_bytes());
            let reply_alone = alone.exchange(&exchange);
            prop_assert_eq!(said(&reply), said(&reply_alone));
            if exchange.target == "/session" && reply.status == 200 {
                sessions.push((session_id(&reply), session_id(&reply_alone)));
            }
        }
    }

    /// A session keeps its tenant for ever: every other tenant gets 403, never 200.
    #[test]
    fn a_session_never_changes_its_tenant(calls in Call::some(60, &[])) {
        let mut native = Native::unlimited();
        let mut model = Model::new(false, Duration::ZERO, 0);
        let mut owners: Vec<(String, &str)> = Vec::new();
        for call in &calls {
            let Some(exchange) = model.request(call) else { continue };
            let reply = native.exchange(&exchange);
            prop_assert!(model.check(call, &reply).is_ok());
            if let (Call::Open { tenant }, 200) = (call, reply.status) {
                owners.push((session_id(&reply), tenant));
            }
        }
        for (id, owner) in &owners {
            for tenant in ["acme", "globex", "initech"] {
                let wanted = if tenant == *owner { 200 } else { 403 };
                prop_assert_eq!(native.chat(tenant, id).status, wanted);
            }
        }
    }
}

fn session_id(reply: &Reply) -> String {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    body["session_id"]
        .as_str()
        .expect("a session id")
        .to_owned()
}

/// The same tenants, but everything about globex and initech is different.
fn other_rows() -> String {
    let acme = TENANTS.lines().next().expect("acme's row");
    format!(
        r#"{{"id":"initech","name":"Other","welcome":"Other","limits":{{"chat_per_10s":0}}}}
{acme}
{{"id":"globex","name":"Other","welcome":"Other","model":"m","limits":{{"sessions":0}}}}"#
    )
}
