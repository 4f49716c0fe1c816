//! Sessions of a tenant: listed, and ended before their time.

use std::{collections::BTreeSet, sync::Arc, sync::atomic::Ordering, time::Duration};

use serde_json::Value;
use tenantry::{
    admin::Settings,
    state::{
        Answer, Author, Entry, Pending, SessionRecords, State, StoreError, StoredSession,
        TenantDirectory,
    },
};
use tenantry_core::{session::SessionId, tenancy::Unavailable, time::Timestamp};

use crate::support::{
    admin::{Administered, problem, request},
    client::{ask, chat, get, open_session},
    server::Way,
};

fn list(server: &Administered, query: &str) -> Value {
    server.json(&get(&format!("/tenants/acme/sessions{query}")), 200)
}

#[test]
fn sessions_are_listed_by_the_page() {
    let server = Administered::start();
    server
        .server
        .clock
        .advance(Duration::from_secs(1_700_000_000));
    let opened: BTreeSet<_> = (0..5)
        .map(|_| open_session(server.service, "acme"))
        .collect();
    open_session(server.service, "globex");
    let mut found = BTreeSet::new();
    let mut query = "?limit=2".to_owned();
    for pages in 1.. {
        let page = list(&server, &query);
        assert_eq!(page["count"], 5);
        for session in page["sessions"].as_array().expect("sessions") {
            let id = session["id"].as_str().expect("an id");
            assert!(found.insert(id.to_owned()), "{id} came twice");
            let used = session["used"].as_str().expect("a time");
            assert!(used.starts_with("2023-11-14T2"), "{used}");
        }
        let Some(next) = page["next"].as_str() else {
            assert_eq!(pages, 3);
            break;
        };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(found, opened);
    assert_eq!(
        problem(&server.ask(&get("/tenants/nobody/sessions"))).1,
        "no-such-tenant"
    );
}

#[test]
fn a_revoked_session_is_over_at_once_and_the_others_are_not() {
    let server = Administered::start();
    let [first, second] = [(); 2].map(|()| open_session(server.service, "acme"));
    let others = open_session(server.service, "globex");
    let say = |tenant: &str, session: &str| ask(server.service, &chat(tenant, session, "hi"));
    let revoke = |session: &str| {
        server.ask(&request(
            "DELETE",
            &format!("/tenants/acme/sessions/{session}"),
        ))
    };
    assert_eq!(revoke(&first).status, 204);
    assert_eq!(say("acme", &first).status, 404);
    assert_eq!(say("acme", &second).status, 200);
    // Twice, of another tenant, and no id at all.
    for session in [
        &*first,
        &*others,
        "x",
        "00000000-0000-0000-0000-000000000000",
    ] {
        let expected = (404, "no-such-session".to_owned());
        assert_eq!(problem(&revoke(session)), expected, "{session}");
    }
    assert_eq!(say("globex", &others).status, 200);

    open_session(server.service, "acme");
    let all = request("DELETE", "/tenants/acme/sessions");
    assert_eq!(server.json(&all, 200)["revoked"], 2);
    assert_eq!(say("acme", &second).status, 404);
    assert_eq!(say("globex", &others).status, 200);
    assert_eq!(server.json(&all, 200)["revoked"], 0);
    assert_eq!(list(&server, "")["count"], 0);
}

#[test]
fn sessions_of_an_archived_tenant_can_be_listed_and_ended() {
    let server = Administered::start();
    let session = open_session(server.service, "acme");
    server.json(&request("POST", "/tenants/acme/archive"), 200);
    assert_eq!(list(&server, "")["count"], 1);
    let path = format!("/tenants/acme/sessions/{session}");
    assert_eq!(server.ask(&request("DELETE", &path)).status, 204);
    server.json(&request("POST", "/tenants/acme/resume"), 200);
    assert_eq!(
        ask(server.service, &chat("acme", &session, "hi")).status,
        404
    );
}

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let server = Administered::start();
    let session = open_session(server.service, "acme");
    server.store.is_away.store(true, Ordering::SeqCst);
    for path in ["", &format!("/{session}")] {
        let exchange = request("DELETE", &format!("/tenants/acme/sessions{path}"));
        assert_eq!(problem(&server.ask(&exchange)).0, 503);
    }
    server.store.is_away.store(false, Ordering::SeqCst);
    assert_eq!(
        ask(server.service, &chat("acme", &session, "hi")).status,
        200
    );
}

/// A directory that is out of reach.
struct Away;

impl TenantDirectory for Away {
    fn find<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        Answer::Now(Err(Unavailable))
    }

    fn tenant_list(&self) -> Answer<'_, Result<bytes::Bytes, Unavailable>> {
        Answer::Now(Err(Unavailable))
    }
}

/// A directory that has not heard of any tenant yet.
struct Late;

impl TenantDirectory for Late {
    fn find<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        Answer::Now(Ok(None))
    }

    fn tenant_list(&self) -> Answer<'_, Result<bytes::Bytes, Unavailable>> {
        Answer::Now(Err(Unavailable))
    }
}

#[test]
fn tenants_that_this_server_cannot_find_have_no_sessions_to_tell_of() {
    let with = |change: fn(&mut State)| {
        let server = Administered::with(Way::Native, Settings::default(), change);
        problem(&server.ask(&get("/tenants/acme/sessions")))
    };
    let away = with(|state| state.tenants = Box::new(Away));
    assert_eq!(away, (503, "store-unavailable".into()));
    let late = with(|state| state.tenants = Box::new(Late));
    assert_eq!(late, (404, "no-such-tenant".into()));
}

const SESSION: &str = "b1946ac9-2492-4d23-8c6b-6f3d1d9f7a10";

/// Has one session, which ends before anybody can end it, and cannot tell of the others.
struct Fleeting;

fn away<'a, T: Send + 'a>() -> Pending<'a, Result<T, StoreError>> {
    Box::pin(async { Err(StoreError::Unavailable("s3cret".to_owned())) })
}

impl SessionRecords for Fleeting {
    fn list<'a>(
        &'a self,
        _: &'a Entry,
        _: Option<SessionId>,
        _: usize,
    ) -> Pending<'a, Result<Vec<StoredSession>, StoreError>> {
        let session = StoredSession {
            id: SessionId::parse(SESSION).expect("an id"),
            used: Timestamp::default(),
        };
        Box::pin(async move { Ok(vec![session]) })
    }

    fn count<'a>(&'a self, _: &'a Entry) -> Pending<'a, Result<u64, StoreError>> {
        away()
    }

    fn revoke<'a>(
        &'a self,
        _: &'a Arc<Entry>,
        _: SessionId,
        _: &'a Author,
    ) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }

    fn revoke_all<'a>(
        &'a self,
        _: &'a Arc<Entry>,
        _: &'a Author,
    ) -> Pending<'a, Result<u64, StoreError>> {
        away()
    }
}

#[test]
fn a_session_that_ends_first_is_unknown_and_sessions_out_of_reach_are_a_503() {
    let fleeting = |state: &mut State| state.session_records = Arc::new(Fleeting);
    let server = Administered::with(Way::Native, Settings::default(), fleeting);
    let path = "/tenants/acme/sessions";
    let reply = server.ask(&request("DELETE", &format!("{path}/{SESSION}")));
    assert_eq!(problem(&reply), (404, "no-such-session".into()));
    for exchange in [get(path), request("DELETE", path)] {
        let reply = server.ask(&exchange);
        assert_eq!(problem(&reply), (503, "store-unavailable".into()));
        assert!(!reply.text().contains("s3cret"));
    }
}
