//! The HTTP contract: what is answered to a request, to the byte.
//!
//! [`handle`] is a function of the request and of what the request's scope may know. The
//! server's sandbox, the native engine, Node and the browser all run this same function,
//! so the contract cannot drift between them. What it leaves to its runners is HTTP as a
//! transport: parsing, connections, `date`, bounds on sizes, timeouts.
//!
//! A runner does three things with a request. It asks [`wants_body`] whether to read the
//! body, [`Call::scope`] whose request it is, and [`Call::answer`], with a
//! [`Tenancy`] of that scope, for the answer. [`scope`] and [`handle`] are the same in one
//! call each.

mod answer;
mod body;
mod refusal;
mod response;
mod route;

use alloc::string::String;

pub use response::{Allow, Body, ContentType, Response, tenant_list};
pub use route::{known_path, percent_decoded};

use self::{
    body::{Fields, Refusal},
    route::Route,
};
use crate::tenancy::Tenancy;

/// A request, as far as the contract looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// Path and query as they came: `/session?x=1`. A scheme and host in front of them
    /// are cut off by the runner.
    pub target: &'a str,
    /// The value of the first `content-type` header.
    pub content_type: Option<&'a [u8]>,
    /// The whole body; empty where [`wants_body`] says no.
    pub body: Payload<'a>,
}

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Text, known to be UTF-8.
    Text(&'a str),
    /// Bytes that are not UTF-8.
    Bytes(&'a [u8]),
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        core::str::from_utf8(bytes).map_or(Self::Bytes(bytes), Self::Text)
    }
}

impl<'a> Payload<'a> {
    /// No body.
    pub const EMPTY: Self = Self::Text("");

    /// The bytes.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// A request's method, as far as the contract tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// Any other; no path takes it.
    Other,
}

impl From<&str> for Method {
    /// Methods are told apart by their case, too: `get` is another one than `GET`.
    fn from(method: &str) -> Self {
        match method {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            _ => Self::Other,
        }
    }
}

/// What a valid request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// POST /session
    OpenSession {
        /// The tenant's id, known or not.
        tenant_id: &'a str,
    },
    /// POST /chat
    Chat {
        /// The tenant's id, known or not.
        tenant_id: &'a str,
        /// The session, as text that may be no id.
        session_id: &'a str,
        /// What is said.
        message: &'a str,
    },
}

impl<'a> Operation<'a> {
    /// The id of the tenant whose request this is, known or not.
    #[must_use]
    pub fn tenant_id(&self) -> &'a str {
        match self {
            Self::OpenSession { tenant_id } | Self::Chat { tenant_id, .. } => tenant_id,
        }
    }

    /// Does it, for the scope that `tenancy` speaks for; see [`Call::answer`].
    pub fn answer<'t>(&self, tenancy: &mut impl Tenancy<'t>) -> Response {
        let Some(tenant) = tenancy.tenant() else {
            return answer::unknown_tenant();
        };
        if tenant.id != self.tenant_id() {
            return Response::internal_error();
        }
        if tenant.suspended {
            return answer::suspended();
        }
        match self {
            Self::OpenSession { .. } => answer::open_session(&tenant, tenancy),
            Self::Chat {
                session_id,
                message,
                ..
            } => answer::chat(&tenant, session_id, message, tenancy),
        }
    }
}

/// A request that was read, and not answered yet.
#[derive(Debug)]
pub struct Call<'a> {
    /// The answer goes out without its body.
    head_only: bool,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    /// The answer follows from the request line.
    Fixed(Response),
    /// The body was refused.
    Refused(Refusal<'a>),
    /// POST /session.
    OpenSession(Fields<'a, 1>),
    /// POST /chat.
    Chat(Fields<'a, 3>),
}

impl<'a> Call<'a> {
    /// Reads a request.
    #[must_use]
    pub fn read(request: &Request<'a>) -> Self {
        let kind = match route::route(request.method, request.target) {
            Route::Fixed(response) => Kind::Fixed(response),
            Route::OpenSession => {
                body::read(request, &["tenant_id"]).map_or_else(Kind::Refused, Kind::OpenSession)
            }
            Route::Chat => body::read(request, &["tenant_id", "session_id", "message"])
                .map_or_else(Kind::Refused, Kind::Chat),
        };
        Self {
            head_only: request.method == Method::Head,
            kind,
        }
    }

    /// The id of the tenant whose request this is, known or not; `None` where it is
    /// nobody's: the body does not name a tenant, or is not valid as a whole.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.operation().map(|operation| operation.tenant_id())
    }

    /// What the request asks for; `None` where the answer does not depend on state.
    #[must_use]
    pub fn operation(&self) -> Option<Operation<'_>> {
        match &self.kind {
            Kind::Fixed(_) | Kind::Refused(_) => None,
            Kind::OpenSession([tenant_id]) => Some(Operation::OpenSession { tenant_id }),
            Kind::Chat([tenant_id, session_id, message]) => Some(Operation::Chat {
                tenant_id,
                session_id,
                message,
            }),
        }
    }

    /// Answers the request for the scope that `tenancy` speaks for.
    ///
    /// Where that is another tenant's scope than [`Call::scope`], the request was handed
    /// to the wrong sandbox, and the answer is [`Response::internal_error`].
    ///
    /// The answer is a function of what `tenancy` says: asked again, with the same
    /// answers from it, the same comes out.
    pub fn answer<'t>(&self, tenancy: &mut impl Tenancy<'t>) -> Response {
        let mut response = match (self.operation(), &self.kind) {
            (Some(operation), _) => operation.answer(tenancy),
            (None, _) if tenancy.tenant().is_some() => Response::internal_error(),
            (None, Kind::Fixed(response)) => response.clone(),
            (None, Kind::Refused(refusal)) => refusal::response(refusal),
            (None, Kind::OpenSession(_) | Kind::Chat(_)) => Response::internal_error(),
        };
        response.head_only = self.head_only;
        response
    }
}

/// Answers a request: [`Call::read`] and [`Call::answer`].
pub fn handle<'t>(request: &Request<'_>, tenancy: &mut impl Tenancy<'t>) -> Response {
    Call::read(request).answer(tenancy)
}

/// Whose request it is: [`Call::read`] and [`Call::scope`].
#[must_use]
pub fn scope(request: &Request<'_>) -> Option<String> {
    Call::read(request).scope().map(Into::into)
}

/// Whether the answer depends on the request's body. Where it does not, a runner should
/// answer without waiting for one.
#[must_use]
pub fn wants_body(method: Method, target: &str) -> bool {
    match route::route(method, target) {
        Route::OpenSession | Route::Chat => true,
        Route::Fixed(_) => false,
    }
}
