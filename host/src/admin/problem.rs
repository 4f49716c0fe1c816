//! What is answered where a request is not: problem details (RFC 9457).

use std::path::Path;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::condition::etag;
use crate::{
    server::RequestId,
    state::{ChangeError, StoreError},
};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request was not done. What does not say otherwise has changed nothing.
#[derive(Debug, Clone)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: Kind,
    detail: String,
    errors: Vec<Issue>,
    /// A header that belongs to it.
    header: Option<(header::HeaderName, HeaderValue)>,
    /// What is to be logged, and not told.
    cause: Option<String>,
}

/// One of several things that are wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Issue {
    /// The member of the body, such as `limits.sessions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<String>,
    /// The parameter in the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameter: Option<String>,
    /// What is wrong, and what would be right.
    pub(super) detail: String,
}

impl Issue {
    pub(super) fn member<'a>(name: impl Into<Option<&'a str>>, detail: impl ToString) -> Self {
        Self {
            member: name.into().map(str::to_owned),
            parameter: None,
            detail: detail.to_string(),
        }
    }

    pub(super) fn parameter(name: &str, detail: impl ToString) -> Self {
        Self {
            member: None,
            parameter: Some(name.to_owned()),
            detail: detail.to_string(),
        }
    }
}

/// The kinds of problems. Clients tell them apart by their type, which stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    BadRequest,
    InvalidJson,
    Unauthorized,
    NotFound,
    NoSuchTenant,
    NoSuchSession,
    MethodNotAllowed,
    Timeout,
    Conflict,
    ReadOnly,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidTenant,
    StoreUnavailable,
    TooSlow,
    Misdirected,
    TooBusy,
}

impl Kind {
    /// The end of its type, its status and its title.
    fn parts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadRequest => ("bad-request", S::BAD_REQUEST, "Bad request"),
            Self::InvalidJson => ("invalid-json", S::BAD_REQUEST, "Invalid JSON"),
            Self::Unauthorized => ("unauthorized", S::UNAUTHORIZED, "Unauthorized"),
            Self::NotFound => ("not-found", S::NOT_FOUND, "Not found"),
            Self::NoSuchTenant => ("no-such-tenant", S::NOT_FOUND, "No such tenant"),
            Self::NoSuchSession => ("no-such-session", S::NOT_FOUND, "No such session"),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                S::METHOD_NOT_ALLOWED,
                "Method not allowed",
            ),
            Self::Timeout => ("request-timeout", S::REQUEST_TIMEOUT, "Request timeout"),
            Self::Conflict => ("conflict", S::CONFLICT, "Conflict"),
            Self::ReadOnly => ("read-only", S::CONFLICT, "Tenants are read-only"),
            Self::PreconditionFailed => (
                "precondition-failed",
                S::PRECONDITION_FAILED,
                "Precondition failed",
            ),
            Self::BodyTooLarge => ("body-too-large", S::PAYLOAD_TOO_LARGE, "Body too large"),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                S::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported media type",
            ),
            Self::InvalidTenant => ("invalid-tenant", S::UNPROCESSABLE_ENTITY, "Invalid tenant"),
            Self::StoreUnavailable => (
                "store-unavailable",
                S::SERVICE_UNAVAILABLE,
                "Store unavailable",
            ),
            Self::TooSlow => ("too-slow", S::SERVICE_UNAVAILABLE, "Too slow"),
            Self::Misdirected => ("misdirected", S::MISDIRECTED_REQUEST, "Misdirected request"),
            Self::TooBusy => ("too-busy", S::SERVICE_UNAVAILABLE, "Too busy"),
        }
    }
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            header: None,
            cause: None,
        }))
    }

    fn with_header(mut self, name: header::HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.0.header = Some((name, value.into()));
        self
    }

    fn with_errors(mut self, errors: Vec<Issue>) -> Self {
        self.0.errors = errors;
        self
    }

    fn come_back(self) -> Self {
        self.with_header(header::RETRY_AFTER, 1)
    }

    pub(super) fn no_token() -> Self {
        let detail = "send the admin token, as authorization: Bearer TOKEN";
        let bearer = HeaderValue::from_static("Bearer");
        Self::new(Kind::Unauthorized, detail).with_header(header::WWW_AUTHENTICATE, bearer)
    }

    pub(super) fn wrong_token() -> Self {
        let detail = "this is not the admin token of this server";
        let bearer = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
        Self::new(Kind::Unauthorized, detail).with_header(header::WWW_AUTHENTICATE, bearer)
    }

    pub(super) fn no_such_path() -> Self {
        let detail = "there is no such path; GET /openapi.json describes those there are";
        Self::new(Kind::NotFound, detail)
    }

    pub(super) fn no_such_tenant() -> Self {
        Self::new(Kind::NoSuchTenant, "there is no such tenant")
    }

    pub(super) fn no_such_session() -> Self {
        let detail = "the tenant has no such session, or it has ended";
        Self::new(Kind::NoSuchSession, detail)
    }

    /// Parameters that are wrong.
    pub(super) fn parameters(errors: Vec<Issue>) -> Self {
        let detail = "a parameter of the address is wrong";
        Self::new(Kind::BadRequest, detail).with_errors(errors)
    }

    /// A header that is wrong.
    pub(super) fn header(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// A body that could not be read.
    pub(super) fn body(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    pub(super) fn body_too_large(max: usize) -> Self {
        let detail = format!("the body is larger than {max} bytes");
        Self::new(Kind::BodyTooLarge, detail)
    }

    pub(super) fn body_too_slow() -> Self {
        Self::new(Kind::Timeout, "the body did not come in time")
    }

    pub(super) fn media_type(wanted: &'static str) -> Self {
        let detail = format!("the body must be sent with content-type: {wanted}");
        let problem = Self::new(Kind::UnsupportedMediaType, detail);
        if wanted == "application/merge-patch+json" {
            let name = header::HeaderName::from_static("accept-patch");
            return problem.with_header(name, HeaderValue::from_static(wanted));
        }
        problem
    }

    pub(super) fn invalid_json(detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidJson, detail)
    }

    /// A row that is none, and everything that is wrong with it.
    pub(super) fn invalid_tenant(errors: Vec<Issue>) -> Self {
        let detail = "the row has problems, which are named";
        Self::new(Kind::InvalidTenant, detail).with_errors(errors)
    }

    /// The tenant is in this version, or there is none.
    pub(super) fn precondition_failed(current: Option<u64>) -> Self {
        let Some(version) = current else {
            let detail = "there is no such tenant, and if-match asks for one";
            return Self::new(Kind::PreconditionFailed, detail);
        };
        let detail = "the tenant is in another version than the request allows; get it anew";
        let problem = Self::new(Kind::PreconditionFailed, detail);
        problem.with_header(header::ETAG, etag(version))
    }

    fn read_only(file: &Path) -> Self {
        let detail = format!(
            "the tenants are those of {}: edit that file and have the server reload it, or \
             keep tenants in a database (--state)",
            file.display()
        );
        Self::new(Kind::ReadOnly, detail)
    }

    /// Nothing was answered in time.
    pub(super) fn too_slow() -> Self {
        let detail = "no answer was ready in time; what was asked for may have been done";
        Self::new(Kind::TooSlow, detail).come_back()
    }

    /// The request is for a host of this name.
    pub(super) fn misdirected(name: &str) -> Self {
        let detail = format!(
            "this listener does not go by the name {name}: use its IP address or localhost, or \
             start the server with --admin-host {name}"
        );
        Self::new(Kind::Misdirected, detail)
    }

    /// As many requests as may be are under way.
    pub(super) fn too_busy() -> Self {
        let detail = "too many requests with a token are under way; come back when some are done";
        Self::new(Kind::TooBusy, detail).come_back()
    }

    /// Why `change` could not be made.
    pub(super) fn of_change(error: ChangeError, change: &str) -> Self {
        match error {
            ChangeError::Unknown => Self::no_such_tenant(),
            ChangeError::Conflict(current) => Self::precondition_failed(current),
            ChangeError::Stage(stage) => {
                let from = match change {
                    "suspend" => "an active tenant",
                    "resume" => "a suspended or archived tenant",
                    "archive" => "an active or suspended tenant",
                    _ => "an archived tenant",
                };
                let (name, is_what) = (stage.name(), "this can be done to");
                let detail = format!("the tenant is {name}, and {is_what} {from} only");
                Self::new(Kind::Conflict, detail)
            }
            ChangeError::ReadOnly(file) => Self::read_only(&file),
            ChangeError::Store(error) => error.into(),
        }
    }

    /// What an answer without details means that the router gave.
    fn of_status(status: StatusCode) -> Option<Self> {
        Some(match status {
            StatusCode::BAD_REQUEST => {
                Self::new(Kind::BadRequest, "the path is not UTF-8 once it is decoded")
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                let detail = "the path has other methods; allow names them";
                Self::new(Kind::MethodNotAllowed, detail)
            }
            _ => return None,
        })
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = "the store does not answer as it should; the server's log says why";
        let mut problem = Self::new(Kind::StoreUnavailable, detail).come_back();
        problem.0.cause = Some(error.to_string());
        problem
    }
}

impl IntoResponse for Problem {
    /// An answer whose body [`finish`] adds, which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        let (_, status, _) = self.0.kind.parts();
        *response.status_mut() = status;
        if let Some((name, value)) = &self.0.header {
            response.headers_mut().insert(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Problem details as they are sent.
#[derive(Serialize)]
struct Details<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    request_id: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Issue],
}

/// Gives a problem its body; leaves any other answer as it is.
pub(super) fn finish(mut response: Response, id: RequestId) -> Response {
    let problem = response.extensions_mut().remove();
    let Some(problem) = problem.or_else(|| Problem::of_status(response.status())) else {
        return response;
    };
    let (_, body) = text(&problem, id);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    *response.body_mut() = Body::from(body);
    response
}

/// A problem as it is sent: its status and its body.
pub(super) fn text(Problem(problem): &Problem, id: RequestId) -> (StatusCode, Vec<u8>) {
    if let Some(cause) = &problem.cause {
        tracing::error!(target: "tenantry::admin", request_id = %id, cause, "a store failed");
    }
    let (kind, status, title) = problem.kind.parts();
    let details = Details {
        r#type: format!("urn:tenantry:problem:{kind}"),
        title,
        status: status.as_u16(),
        detail: &problem.detail,
        request_id: id.to_string(),
        errors: &problem.errors,
    };
    // Texts and numbers can always be written.
    (status, serde_json::to_vec(&details).unwrap_or_default())
}
