//! Rules of the contract that need a world of their own: stores out of reach, ids that
//! collide, requests handed to the wrong scope.

use proptest::prelude::*;
use tenantry_conformance::{Wire, cases};
use tenantry_core::{
    contract::{self, Body, Method, Payload, Request, Response},
    session::SessionId,
    tenancy::{OpenError, Owner, Tenancy, Unavailable},
    tenant::{Reply, Tenant},
};

/// A scope whose every answer is set, and which counts what it was asked.
struct Scope {
    tenant: Option<&'static str>,
    suspended: bool,
    open: Vec<Result<(), OpenError>>,
    owner: Result<Owner, Unavailable>,
    admission: Result<bool, Unavailable>,
    asked: usize,
}

impl Scope {
    fn of(tenant: impl Into<Option<&'static str>>) -> Self {
        Self {
            tenant: tenant.into(),
            suspended: false,
            open: Vec::new(),
            owner: Ok(Owner::Mine),
            admission: Ok(true),
            asked: 0,
        }
    }
}

impl Tenancy<'static> for Scope {
    fn tenant(&self) -> Option<Tenant<'static>> {
        let id = self.tenant?;
        Some(Tenant {
            id,
            name: "Name",
            welcome: "Hi",
            model: "m",
            reply: Reply::default_for(id),
            suspended: self.suspended,
        })
    }

    fn new_session_id(&mut self) -> SessionId {
        SessionId::from_random([0; 16])
    }

    fn open_session(&mut self, _: SessionId) -> Result<(), OpenError> {
        self.asked += 1;
        self.open.pop().unwrap_or(Ok(()))
    }

    fn owner(&mut self, _: SessionId) -> Result<Owner, Unavailable> {
        self.asked += 1;
        self.owner
    }

    fn admit_chat(&mut self) -> Result<bool, Unavailable> {
        self.asked += 1;
        self.admission
    }
}

const OPEN: &str = r#"{"tenant_id":"acme"}"#;
const CHAT: &str =
    r#"{"tenant_id":"acme","session_id":"b1946ac9-2492-4d23-8c6b-6f3d1d9f7a10","message":"m"}"#;

fn post<'a>(target: &'a str, body: &'a str) -> Request<'a> {
    Request {
        method: Method::Post,
        target,
        content_type: None,
        body: Payload::Text(body),
    }
}

fn text(response: &Response) -> String {
    match &response.body {
        Body::Bytes(bytes) => String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        Body::TenantList => "the tenant list".to_owned(),
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    let mut headers = response.headers();
    let (_, value) = headers.find(|(candidate, _)| *candidate == name)?;
    Some(value.into_owned())
}

#[test]
fn a_store_out_of_reach_is_a_503_that_says_when_to_come_back() {
    let mut no_owner = Scope::of("acme");
    no_owner.owner = Err(Unavailable);
    let mut no_limiter = Scope::of("acme");
    no_limiter.admission = Err(Unavailable);
    let mut no_sessions = Scope::of("acme");
    no_sessions.open = vec![Err(Unavailable.into())];
    for (request, mut scope) in [
        (post("/chat", CHAT), no_owner),
        (post("/chat", CHAT), no_limiter),
        (post("/session", OPEN), no_sessions),
    ] {
        let response = contract::handle(&request, &mut scope);
        assert_eq!(response.status, 503);
        assert_eq!(text(&response), r#"{"detail":"Service Unavailable"}"#);
        assert_eq!(header(&response, "retry-after").as_deref(), Some("1"));
    }
}

#[test]
fn a_suspended_tenant_is_a_403_and_nothing_is_asked_or_opened() {
    for request in [post("/chat", CHAT), post("/session", OPEN)] {
        let mut scope = Scope::of("acme");
        scope.suspended = true;
        let response = contract::handle(&request, &mut scope);
        assert_eq!(response.status, 403);
        assert_eq!(text(&response), r#"{"detail":"Tenant is suspended"}"#);
        assert_eq!(scope.asked, 0);
    }
    // What is wrong with the request itself comes first.
    let mut scope = Scope::of(None);
    let invalid = contract::handle(&post("/chat", OPEN), &mut scope);
    assert_eq!(invalid.status, 422);
}

#[test]
fn an_id_in_use_is_replaced_by_a_new_one_a_few_times() {
    let mut scope = Scope::of("acme");
    scope.open = vec![Ok(()), Err(OpenError::Exists), Err(OpenError::Exists)];
    assert_eq!(
        contract::handle(&post("/session", OPEN), &mut scope).status,
        200
    );
    assert_eq!(scope.asked, 3);
    let mut scope = Scope::of("acme");
    scope.open = vec![Err(OpenError::Exists); 100];
    let response = contract::handle(&post("/session", OPEN), &mut scope);
    assert_eq!((response.status, scope.asked), (500, 4));
    assert_eq!(text(&response), "Internal Server Error");
    assert_eq!(
        header(&response, "content-type").as_deref(),
        Some("text/plain; charset=utf-8")
    );
}

#[test]
fn checks_come_in_the_contracts_order_and_later_ones_are_not_asked() {
    let chat_to = |session: &str, message: &str| {
        format!(r#"{{"tenant_id":"acme","session_id":{session},"message":{message}}}"#)
    };
    for (body, tenant, status, asked) in [
        (chat_to("1", "\"m\""), None, 422, 0),
        (chat_to("\"x\"", "\"m\""), None, 404, 0),
        (chat_to("\"x\"", "\"m\""), Some("acme"), 404, 0),
        (CHAT.to_owned(), Some("acme"), 200, 2),
    ] {
        let mut scope = Scope::of(tenant);
        let response = contract::handle(&post("/chat", &body), &mut scope);
        assert_eq!((response.status, scope.asked), (status, asked), "{body}");
    }
    for (owner, status) in [(Owner::Another, 403), (Owner::Unknown, 404)] {
        let mut scope = Scope::of("acme");
        scope.owner = Ok(owner);
        assert_eq!(
            contract::handle(&post("/chat", CHAT), &mut scope).status,
            status
        );
        assert_eq!(scope.asked, 1, "the limit is not asked");
    }
}

#[test]
fn a_request_in_the_wrong_scope_is_a_500_and_never_an_answer() {
    let get = Request {
        method: Method::Get,
        target: "/",
        content_type: None,
        body: Payload::EMPTY,
    };
    for request in [
        post("/session", OPEN),
        post("/chat", CHAT),
        post("/chat", "{}"),
        post("/nope", ""),
        get,
    ] {
        let mut scope = Scope::of("globex");
        let response = contract::handle(&request, &mut scope);
        assert_eq!((response.status, scope.asked), (500, 0));
        assert_eq!(text(&response), "Internal Server Error");
    }
}

#[test]
fn a_body_is_wanted_only_where_it_matters() {
    for (method, target, wanted) in [
        ("POST", "/session", true),
        ("POST", "/chat?x=1", true),
        ("POST", "/%63hat", true),
        ("PUT", "/chat", false),
        ("GET", "/chat", false),
        ("POST", "/chat/", false),
        ("POST", "/", false),
        ("POST", "/nope", false),
    ] {
        assert_eq!(
            contract::wants_body(method.into(), target),
            wanted,
            "{method} {target}"
        );
    }
}

#[test]
fn a_target_leads_to_the_path_that_answers_it() {
    for (target, path) in [
        ("/chat", Some("/chat")),
        ("/%63hat?a=b#c", Some("/chat")),
        ("/docs/oauth2-redirect", Some("/docs/oauth2-redirect")),
        ("/?", Some("/")),
        ("/chat/", None),
        ("/CHAT", None),
        ("/session%0A", None),
        ("", None),
        ("*", None),
    ] {
        assert_eq!(contract::known_path(target), path, "{target}");
    }
}

#[test]
fn a_redirect_goes_to_a_known_path_and_keeps_the_query() {
    for (target, location) in [
        ("/session/", Some("/session")),
        ("/chat///?", Some("/chat")),
        ("/docs%2Foauth2-redirect%2F", Some("/docs/oauth2-redirect")),
        ("/redoc/?a=%20é\"<", Some("/redoc?a=%20%C3%A9%22%3C")),
        ("/openapi.json/#x", Some("/openapi.json")),
        ("//", None),
        ("/nope/", None),
        ("//session/", None),
        ("/session%0a/", None),
        ("", None),
        ("*", None),
        ("session/", None),
    ] {
        let request = Request {
            method: Method::Other,
            target,
            content_type: None,
            body: Payload::EMPTY,
        };
        let response = contract::handle(&request, &mut Scope::of(None));
        let status = if location.is_some() { 307 } else { 404 };
        assert_eq!(response.status, status, "{target}");
        assert_eq!(
            header(&response, "location").as_deref(),
            location,
            "{target}"
        );
    }
}

#[test]
fn an_echo_of_more_than_4_kib_is_left_out() {
    let refused = |body: &str, content_type: Option<&str>| {
        let request = Request {
            content_type: content_type.map(str::as_bytes),
            ..post("/session", body)
        };
        let response = contract::handle(&request, &mut Scope::of(None));
        assert_eq!(response.status, 422);
        text(&response).contains(r#","input":"#)
    };
    for (length, echoed) in [(4094, true), (4095, false), (100_000, false)] {
        let text = "a".repeat(length);
        assert_eq!(refused(&format!("\"{text}\""), None), echoed);
        assert_eq!(refused(&text, Some("text/plain")), echoed);
        assert_eq!(refused(&format!("[ \"{}\" ]", &text[2..]), None), echoed);
    }
    // What counts is what would be written, not what was sent.
    let repeated = format!("{{{}\"a\":2}}", "\"a\":1,".repeat(10_000));
    assert!(refused(&repeated, None));
    assert!(refused(&format!("[{}1]", " ".repeat(10_000)), None));
    let many: Vec<_> = (0..2000).map(|n| format!("\"{n}\":0")).collect();
    assert!(!refused(&format!("{{{}}}", many.join(",")), None));
    assert!(refused(&format!("\"{}\"", "\\u0041".repeat(4000)), None));
    assert!(!refused(&format!("\"{}\"", "\\u0001".repeat(1000)), None));
}

/// Any recorded request, a little damaged, or plain noise.
pub(crate) fn damaged_request() -> impl Strategy<Value = (String, String, Option<Vec<u8>>, Vec<u8>)>
{
    let recorded: Vec<_> = cases()
        .iter()
        .filter_map(|case| match case.request() {
            Wire::Message(exchange) | Wire::Framed(exchange, _) => Some((
                exchange.method.clone(),
                exchange.target.clone(),
                exchange.header("content-type").map(<[u8]>::to_vec),
                exchange.body.clone().unwrap_or_default(),
            )),
            Wire::Raw(_) => None,
        })
        .filter(|(.., body)| body.len() < 2000)
        .collect();
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4);
    let from_recorded =
        (prop::sample::select(recorded), damage).prop_map(|(mut request, damage)| {
            let body = &mut request.3;
            for (at, byte, how) in damage {
                let at = at.index(body.len() + 1);
                match how {
                    0 => body.insert(at, byte),
                    1 if at < body.len() => body[at] = byte,
                    2 if at < body.len() => {
                        body.remove(at);
                    }
                    _ => body.truncate(at),
                }
            }
            request
        });
    let noise = (
        prop_oneof!["[A-Z]{3,7}", Just("POST".to_owned()), any::<String>()],
        prop_oneof!["/(session|chat|docs)?[/?%#0-9a-f]{0,4}", any::<String>()],
        prop::option::of(prop_oneof![
            Just(b"application/json".to_vec()),
            prop::collection::vec(any::<u8>(), 0..20)
        ]),
        prop::collection::vec(any::<u8>(), 0..200),
    );
    prop_oneof![3 => from_recorded, 1 => noise]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// On arbitrary bytes: the scope that a request has is the only one in which it is
    /// answered.
    #[test]
    fn a_request_is_answered_in_its_own_scope_only((method, target, content_type, body) in damaged_request()) {
        let request = Request {
            method: Method::from(&*method),
            target: &target,
            content_type: content_type.as_deref(),
            body: (&*body).into(),
        };
        for tenant in ["acme", "globex"] {
            let response = contract::handle(&request, &mut Scope::of(tenant));
            let own = contract::scope(&request).as_deref() == Some(tenant);
            prop_assert_eq!(response.status == 500, !own);
        }
        let nobody = contract::handle(&request, &mut Scope::of(None));
        prop_assert!(nobody.status < 500);
        if contract::scope(&request).is_some() {
            prop_assert_eq!(text(&nobody), r#"{"detail":"Unknown tenant_id"}"#);
            prop_assert!(contract::wants_body((&*method).into(), &target));
        }
    }
}
