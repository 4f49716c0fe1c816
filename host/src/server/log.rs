//! The access log: one line for each request, and never what is in it.

use std::{
    borrow::Cow,
    cell::Cell,
    fmt,
    net::IpAddr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use opentelemetry::trace::TraceId;

use super::client::Client;
use crate::{causes, metrics::Trouble, sandbox::Fault};

/// Bytes of a method, of a path and of other texts that are logged. Lines wait in memory until
/// they are written, and each of these may be as long as the head of a request.
const MAX_METHOD: usize = 32;
const MAX_PATH: usize = 512;
const MAX_TEXT: usize = 256;

/// Says which request it was.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of an id that a proxy gives.
const MAX_ID: usize = 128;

/// What tells a request from all others: the server's own number, or what a proxy calls it.
#[derive(Debug, Clone)]
pub(super) struct Id(HeaderValue);

impl Id {
    /// One of the server's own.
    pub(super) fn own() -> Self {
        let mut text = [0; RequestId::MAX_BYTES];
        let text = RequestId::next().write(&mut text);
        // Digits and a hyphen are a value.
        Self(HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("-")))
    }

    /// That of a request with these headers. A proxy that is trusted may have given it one.
    pub(super) fn of(headers: &HeaderMap, is_by_proxy: bool) -> Self {
        let given = || {
            let mut given = headers.get_all(X_REQUEST_ID).iter();
            let only = given.next().filter(|_| given.next().is_none())?;
            is_id(only.as_bytes()).then(|| Self(only.clone()))
        };
        let given = if is_by_proxy { given() } else { None };
        given.unwrap_or_else(Self::own)
    }

    pub(super) fn into_value(self) -> HeaderValue {
        self.0
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("-")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a proxy's text is an id that is passed on: what proxies make consists of these.
fn is_id(text: &[u8]) -> bool {
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=~@".contains(byte);
    (1..=MAX_ID).contains(&text.len()) && text.iter().all(is_good)
}

/// What the log says about one request.
pub(super) struct Entry<'a> {
    method: &'a str,
    path: Cow<'a, str>,
    headers: &'a HeaderMap,
    client: IpAddr,
    pub(super) id: &'a Id,
    pub(super) trace: Option<TraceId>,
    /// Why it is refused.
    error: Cell<Option<&'static str>>,
    /// Which store could not do what it needed.
    pub(super) trouble: Cell<Option<Trouble>>,
}

/// What came of a request.
pub(super) struct Outcome<'a> {
    pub(super) tenant: Option<&'a str>,
    pub(super) status: u16,
    pub(super) bytes_in: usize,
    pub(super) bytes_out: u64,
    pub(super) duration: Duration,
}

impl<'a> Entry<'a> {
    pub(super) fn new(head: &'a Parts, id: &'a Id, client: &Client) -> Self {
        Self {
            method: head_of(head.method.as_str(), MAX_METHOD),
            path: in_ascii(head_of(head.uri.path(), MAX_PATH)),
            headers: &head.headers,
            client: client.address,
            id,
            trace: None,
            error: Cell::default(),
            trouble: Cell::default(),
        }
    }

    /// What the client calls itself.
    fn user_agent(&self) -> Option<Cow<'_, str>> {
        let text = self.headers.get(header::USER_AGENT)?;
        Some(escaped(text.as_bytes()))
    }

    /// Why the request is refused. What is said last counts.
    pub(super) fn refused(&self, error: Option<&'static str>) {
        self.error.set(error);
    }

    /// A sandbox of that tenant failed.
    pub(super) fn failed(&self, fault: &Fault, tenant: Option<&str>) {
        self.refused(Some("sandbox_failed"));
        let reason = causes::all(fault);
        let trace_id = self.trace.map(tracing::field::display);
        tracing::error!(request_id = %self.id, trace_id, tenant, reason, "a sandbox failed");
    }

    /// No answer was ready in time.
    pub(super) fn timed_out(&self) {
        let trace_id = self.trace.map(tracing::field::display);
        tracing::error!(request_id = %self.id, trace_id, "no answer was ready in time");
    }

    /// The request is answered.
    pub(super) fn write(&self, outcome: &Outcome<'_>) {
        let trouble = self.trouble.take().filter(|_| outcome.status >= 500);
        let why = trouble.as_ref().and_then(|trouble| trouble.why.as_deref());
        let error = self.error.get().filter(|_| outcome.status >= 400);
        tracing::info!(
            target: "tenantry::access",
            request_id = %self.id,
            trace_id = self.trace.map(tracing::field::display),
            client = %self.client,
            method = self.method,
            path = &*self.path,
            tenant = outcome.tenant,
            status = outcome.status,
            error,
            store = trouble.as_ref().map(|trouble| trouble.store),
            why = why.map(|why| escaped(why.as_bytes())).as_deref(),
            bytes_in = outcome.bytes_in,
            bytes_out = outcome.bytes_out,
            duration_us = outcome.duration.as_micros() as u64,
            user_agent = self.user_agent().as_deref(),
        );
    }
}

/// A connection's request was refused before anything of it was known.
pub(super) fn refused(id: &Id, client: IpAddr, status: u16, error: &str) {
    let client = client.to_canonical();
    tracing::info!(target: "tenantry::access", request_id = %id, %client, status, error);
}

/// The beginning of a text of any bytes, in printable ASCII.
fn escaped(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    let is_plain = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b'\\';
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(is_plain) => text.into(),
        _ => bytes.escape_ascii().to_string().into(),
    }
}

/// The beginning of a text, which is all of it where it is short.
fn head_of(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// A path as a well-behaved client would have written it. Beyond ASCII there are line ends,
/// terminal controls and marks that turn the writing around.
fn in_ascii(path: &str) -> Cow<'_, str> {
    if path.is_ascii() {
        return path.into();
    }
    let mut ascii = String::with_capacity(3 * path.len());
    for byte in path.bytes() {
        if byte.is_ascii() {
            ascii.push(byte.into());
        } else {
            ascii += &format!("%{byte:02X}");
        }
    }
    ascii.into()
}

/// The beginning of a text, in ASCII, as it may be logged.
pub(crate) fn logged_text(text: &str) -> Cow<'_, str> {
    in_ascii(head_of(text, MAX_PATH))
}

/// Tells one request from every other: of this process by its number, of other processes
/// by the number that the process took at random.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId {
    process: u32,
    request: u64,
}

impl RequestId {
    /// Bytes of its text, at most: two numbers in hexadecimal, and a hyphen.
    const MAX_BYTES: usize = 8 + 1 + 16;

    /// Its text, which is written to `text`.
    fn write(self, text: &mut [u8; Self::MAX_BYTES]) -> &[u8] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let digits = (self.request.checked_ilog2().unwrap_or(0) / 4 + 1) as usize;
        let digit = |number: u64, place: usize| HEX[(number >> (4 * place)) as usize & 15];
        for (place, byte) in text[..8].iter_mut().rev().enumerate() {
            *byte = digit(self.process.into(), place);
        }
        text[8] = b'-';
        for (place, byte) in text[9..9 + digits].iter_mut().rev().enumerate() {
            *byte = digit(self.request, place);
        }
        &text[..9 + digits]
    }

    /// The id of another request.
    pub(crate) fn next() -> Self {
        static PROCESS: OnceLock<u32> = OnceLock::new();
        static REQUESTS: AtomicU64 = AtomicU64::new(0);
        Self {
            // Without randomness, processes are not told apart; nothing else depends on it.
            process: *PROCESS.get_or_init(|| getrandom::u32().unwrap_or_default()),
            request: REQUESTS.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.process, self.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_it_is_shown() {
        for (process, request) in [(0, 0), (1, 15), (0xfedc_ba98, 16), (7, u64::MAX)] {
            let id = RequestId { process, request };
            let mut text = [0; RequestId::MAX_BYTES];
            assert_eq!(id.write(&mut text), id.to_string().as_bytes());
        }
    }

    #[test]
    fn an_id_of_a_proxy_is_taken_where_it_is_one() {
        let mut headers = HeaderMap::new();
        let of = |headers: &HeaderMap, is_by_proxy| Id::of(headers, is_by_proxy).to_string();
        headers.insert(
            X_REQUEST_ID,
            HeaderValue::from_static("Root=1-67891233-abc/+:~@_."),
        );
        assert_eq!(of(&headers, true), "Root=1-67891233-abc/+:~@_.");
        assert!(!of(&headers, false).contains("Root"));
        headers.append(X_REQUEST_ID, HeaderValue::from_static("another"));
        assert!(!of(&headers, true).contains("Root"));
        for bad in ["", "a b", "a\"b", "a,b", "a;b", "\u{e4}", &"x".repeat(129)] {
            let value = HeaderValue::from_bytes(bad.as_bytes()).expect("a value");
            headers.insert(X_REQUEST_ID, value);
            let id = of(&headers, true);
            assert!(id != bad && is_id(id.as_bytes()), "{bad}: {id}");
        }
        headers.insert(
            X_REQUEST_ID,
            HeaderValue::from_bytes(&[b'x'; 128]).expect("a value"),
        );
        assert_eq!(of(&headers, true), "x".repeat(128));
    }

    #[test]
    fn texts_of_strangers_are_printable_and_short() {
        assert_eq!(escaped(b"curl/8.1 (x; y)"), "curl/8.1 (x; y)");
        assert_eq!(
            escaped(b"a\x1b[31m\xe2\x80\xa8\\"),
            r"a\x1b[31m\xe2\x80\xa8\\"
        );
        assert_eq!(escaped(&[b'x'; 5000]).len(), MAX_TEXT);
    }
}
