//! The access log: one line for each request, and never what is in it.

use std::{
    borrow::Cow,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;

use crate::sandbox::Fault;

/// Bytes of a method and of a path that are logged. Lines wait in memory until they are
/// written, and either may be as long as the head of a request.
const MAX_METHOD: usize = 32;
const MAX_PATH: usize = 512;

/// What the log says about one request.
pub(super) struct Entry<'a> {
    method: &'a str,
    path: Cow<'a, str>,
    id: RequestId,
}

impl<'a> Entry<'a> {
    pub(super) fn new(method: &'a http::Method, path: &'a str) -> Self {
        Self {
            method: head_of(method.as_str(), MAX_METHOD),
            path: in_ascii(head_of(path, MAX_PATH)),
            id: RequestId::next(),
        }
    }

    /// A sandbox of that tenant failed.
    pub(super) fn failed(&self, fault: &Fault, tenant: Option<&str>) {
        let reason = chain(fault);
        tracing::error!(request_id = %self.id, tenant, reason, "a sandbox failed");
    }

    /// No answer was ready in time.
    pub(super) fn timed_out(&self) {
        tracing::error!(request_id = %self.id, "no answer was ready in time");
    }

    /// The request, which is that tenant's, is answered.
    pub(super) fn write(&self, tenant: Option<&str>, status: StatusCode, duration: Duration) {
        tracing::info!(
            target: "tenantry::access",
            request_id = %self.id,
            method = self.method,
            path = &*self.path,
            tenant,
            status = status.as_u16(),
            duration_us = duration.as_micros() as u64,
        );
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

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += ": ";
        text += &error.to_string();
        source = error.source();
    }
    text
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

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{:x}", self.process, self.request)
    }
}
