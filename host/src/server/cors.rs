//! Pages of other origins: what a browser lets them read of the answers.
//!
//! After the Fetch standard's CORS protocol. There are no cookies here, so credentials are
//! never allowed.

use std::{net::Ipv6Addr, str::FromStr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request};
use http_body_util::Full;

use super::service::Answer;

/// Where a page comes from, as its browser says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `*`: wherever.
    Any,
    /// `https://app.example`, or `null`, which is said of files and sandboxed frames.
    Named(HeaderValue),
}

/// A text that is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be scheme://host or scheme://host:port, without a path, as in https://app.example, \
     or null, or *"
)]
#[non_exhaustive]
pub struct OriginError;

impl FromStr for Origin {
    type Err = OriginError;

    /// Reads an origin as browsers write it: in small letters, without the scheme's own
    /// port.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Ok(Self::Any);
        }
        let text = if text == "null" {
            text
        } else {
            serialized(&text).ok_or(OriginError)?
        };
        HeaderValue::try_from(text)
            .map(Self::Named)
            .map_err(|_| OriginError)
    }
}

fn serialized(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (host, port) = match authority.rsplit_once(':') {
        // A colon in brackets belongs to the address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            format!("[{address}]")
        }
        None => host.to_owned(),
    };
    let is_host = host.starts_with('[')
        || !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !is_scheme || !is_host {
        return None;
    }
    let port = match port {
        Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        Some(digits) => Some(digits.parse::<u16>().ok()?),
        None => None,
    };
    Some(match (scheme, port) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => format!("{scheme}://{host}"),
        (_, Some(port)) => format!("{scheme}://{host}:{port}"),
    })
}

/// Whose pages may read answers.
pub struct Cors {
    is_any: bool,
    named: Vec<HeaderValue>,
}

/// Headers that a page may read, beyond those that it always may.
const EXPOSED: &str = "ratelimit, ratelimit-policy, retry-after, x-request-id";

/// Methods that a page may use.
const METHODS: &str = "GET, HEAD, POST";

/// Headers that a page may send, beyond those that it always may.
const HEADERS: &str = "content-type";

/// Seconds for which a browser need not ask again.
const MAX_AGE: &str = "86400";

impl Cors {
    /// Lets pages of these origins read answers.
    #[must_use]
    pub fn new(origins: &[Origin]) -> Self {
        let named = origins.iter().filter_map(|origin| match origin {
            Origin::Any => None,
            Origin::Named(name) => Some(name.clone()),
        });
        Self {
            is_any: origins.contains(&Origin::Any),
            named: named.collect(),
        }
    }

    /// The answer to a browser that asks whether a page may send a request.
    pub(super) fn preflight(&self, head: &request::Parts) -> Option<Answer> {
        let is_preflight = head.method == Method::OPTIONS
            && head
                .headers
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight || self.allowed(&head.headers).is_none() {
            return None;
        }
        let mut answer = Response::new(Full::<Bytes>::default());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let out = answer.headers_mut();
        say(out, header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        say(out, header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        say(out, header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(answer)
    }

    /// Says in an answer that the page that has asked may read it, where it may.
    pub(super) fn mark(&self, request: &HeaderMap, answer: &mut Answer) {
        let Some(origin) = self.allowed(request) else {
            return;
        };
        let out = answer.headers_mut();
        out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        say(out, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if !self.is_any {
            vary_by_origin(out);
        }
    }

    /// What an answer says of who may read it, where whoever has asked may.
    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        if self.is_any {
            return Some(HeaderValue::from_static("*"));
        }
        self.named.iter().find(|named| *named == origin).cloned()
    }
}

fn say(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

/// Keeps a cache from handing the answer to a page of another origin.
fn vary_by_origin(headers: &mut HeaderMap) {
    let vary = headers.get(header::VARY);
    let both = vary.map(|vary| [vary.as_bytes(), b", origin"].concat());
    let both = both.and_then(|both| HeaderValue::try_from(both).ok());
    let vary = both.unwrap_or(HeaderValue::from_static("origin"));
    headers.insert(header::VARY, vary);
}
