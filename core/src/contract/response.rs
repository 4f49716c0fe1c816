//! An answer, before it becomes HTTP.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::{fmt::Write as _, time::Duration};

use super::Method;
use crate::{json::push_string, limit::Quota};

/// An answer. Its head is kept as what it says, not as text: [`Response::headers`] is the
/// one place that writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The type of the body; none where there is no body.
    pub content_type: Option<ContentType>,
    /// The methods that the path does take.
    pub allow: Option<Allow>,
    /// Where to go instead.
    pub location: Option<String>,
    /// What is left of the tenant's limit: see [`Response::with_quota`].
    pub quota: Option<Quota>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Body,
    /// The body is not sent, only its length: an answer to HEAD.
    pub head_only: bool,
}

/// The type of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`
    Json,
    /// `text/html; charset=utf-8`
    Html,
    /// `text/plain; charset=utf-8`
    Text,
}

impl ContentType {
    /// The header's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

/// The methods that a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// What is read.
    GetHead,
    /// What acts.
    Post,
}

impl Allow {
    /// The header's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GetHead => "GET, HEAD",
            Self::Post => "POST",
        }
    }

    pub(super) fn contains(self, method: Method) -> bool {
        match self {
            Self::GetHead => matches!(method, Method::Get | Method::Head),
            Self::Post => method == Method::Post,
        }
    }
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// These bytes.
    Bytes(Cow<'static, [u8]>),
    /// [`tenant_list`] of all tenants, which the runner puts in. It makes the list once
    /// for each version of its registry: a list of a million tenants is long, and code
    /// that answers for one tenant has no business with it.
    TenantList,
}

/// The body of GET /: the ids of all tenants, in order.
pub fn tenant_list<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut list = br#"{"ok":true,"tenants":["#.to_vec();
    for (n, id) in ids.into_iter().enumerate() {
        if n > 0 {
            list.push(b',');
        }
        push_string(&mut list, id);
    }
    list.extend_from_slice(b"]}");
    list
}

impl Response {
    /// A status and a JSON body.
    pub(super) fn json(status: u16, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status,
            content_type: Some(ContentType::Json),
            allow: None,
            location: None,
            quota: None,
            retry_after: None,
            body: Body::Bytes(body.into()),
            head_only: false,
        }
    }

    /// An error that a sentence says: `{"detail":"..."}`.
    #[must_use]
    pub fn detail(status: u16, detail: &str) -> Self {
        let mut body = br#"{"detail":"#.to_vec();
        push_string(&mut body, detail);
        body.push(b'}');
        Self::json(status, body)
    }

    /// Something went wrong that is not the client's fault. Says no more than that.
    #[must_use]
    pub fn internal_error() -> Self {
        Self {
            content_type: Some(ContentType::Text),
            ..Self::json(500, b"Internal Server Error".as_slice())
        }
    }

    /// What the request needs is out of reach for now.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::detail(503, "Service Unavailable")
        }
    }

    /// The body is longer than the runner takes.
    #[must_use]
    pub fn body_too_large() -> Self {
        Self::detail(413, "Request body too large")
    }

    pub(super) fn not_found() -> Self {
        Self::detail(404, "Not Found")
    }

    pub(super) fn method_not_allowed(allow: Allow) -> Self {
        Self {
            allow: Some(allow),
            ..Self::detail(405, "Method Not Allowed")
        }
    }

    /// To the same request under another path of this server. Characters of the query that
    /// do not belong into a URL are percent-encoded.
    #[must_use]
    pub fn redirect(path: &str, query: &str) -> Self {
        let mut location = String::from(path);
        if !query.is_empty() {
            location.push('?');
            push_quoted(&mut location, query);
        }
        Self {
            content_type: None,
            location: Some(location),
            ..Self::json(307, b"".as_slice())
        }
    }

    pub(super) fn page(content_type: ContentType, text: &'static str) -> Self {
        Self {
            content_type: Some(content_type),
            ..Self::json(200, text.as_bytes())
        }
    }

    pub(super) fn tenant_list() -> Self {
        Self {
            body: Body::TenantList,
            ..Self::json(200, b"".as_slice())
        }
    }

    /// The answer with `list` in the place of [`Body::TenantList`], if that is its body.
    #[must_use]
    pub fn with_tenant_list(mut self, list: impl FnOnce() -> Cow<'static, [u8]>) -> Self {
        if self.body == Body::TenantList {
            self.body = Body::Bytes(list());
        }
        self
    }

    /// The answer with what is left of the tenant's limit, where a chat was counted for it.
    /// The runner puts it in, which has counted: numbers that the answer does not depend on
    /// need not pass through the code that answers. A refusal also says when to come back.
    #[must_use]
    pub fn with_quota(mut self, quota: Option<Quota>) -> Self {
        self.quota = quota;
        if let Some(quota) = quota
            && self.status == 429
        {
            self.retry_after = Some(quota.reset);
        }
        self
    }

    /// The headers in the order of the contract, without `content-length` and those that
    /// belong to the transport.
    ///
    /// `ratelimit` and `ratelimit-policy` follow draft-ietf-httpapi-ratelimit-headers-10:
    /// under the name `chat`, `q` chats in `w` seconds; `r` remain now, and in `t` seconds
    /// there is one more. Times are in whole seconds, rounded up.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
        let allow = self.allow.map(|allow| ("allow", allow.as_str().into()));
        let content_type = self
            .content_type
            .map(|content_type| ("content-type", content_type.as_str().into()));
        let location = self.location.clone();
        let location = location.map(|location| ("location", location.into()));
        let retry_after = self
            .retry_after
            .map(|wait| ("retry-after", number("", seconds(wait).max(1)).into()));
        let ratelimit = self.quota.map(|quota| {
            let mut text = number(r#""chat";r="#, quota.remaining.into());
            text += &number(";t=", seconds(quota.reset));
            ("ratelimit", text.into())
        });
        let policy = self.quota.map(|quota| {
            let mut text = number(r#""chat";q="#, quota.limit.into());
            text += &number(";w=", seconds(crate::limit::WINDOW));
            ("ratelimit-policy", text.into())
        });
        [
            allow,
            content_type,
            location,
            retry_after,
            ratelimit,
            policy,
        ]
        .into_iter()
        .flatten()
    }
}

fn number(before: &str, number: u64) -> String {
    let mut text = String::from(before);
    // Writing to a string does not fail.
    let _ = write!(text, "{number}");
    text
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Appends `text` with everything but these characters as `%XX`.
fn push_quoted(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~:/%#?=@[]!$&'()*+,;".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
