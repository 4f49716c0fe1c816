//! Reading a request's body: bounded in size and time.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::{
    Settings,
    activity::Activity,
    linger::{DISCARD_BYTES, DISCARD_TIME},
    service::within,
};

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is longer than a body may be.
    TooLarge,
    /// It took longer to come than a body may.
    TooSlow,
    /// Its chunks are malformed, or the client has gone.
    Broken,
}

/// Reads a body to its end.
pub(super) async fn read(mut body: Incoming, settings: &Settings) -> Result<Bytes, Refusal> {
    // Said before it is sent: not a byte of it needs to come.
    if body.size_hint().lower() > settings.max_body as u64 {
        return Err(Refusal::TooLarge);
    }
    within(settings.body_timeout, collect(&mut body, settings.max_body))
        .await
        .unwrap_or(Err(Refusal::TooSlow))
}

async fn collect(body: &mut Incoming, max_bytes: usize) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Broken)?;
        // Trailers say nothing that the contract looks at.
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        if first.len() + rest.len() + bytes.len() > max_bytes {
            return Err(Refusal::TooLarge);
        }
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && rest.is_empty() {
            first = bytes;
        } else {
            if rest.is_empty() {
                // Where its length is known, it need not be moved when it grows.
                let more = body.size_hint().lower().min(max_bytes as u64) as usize;
                rest.reserve(first.len() + bytes.len() + more);
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&bytes);
        }
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

/// Reads on after the answer, for a while, and forgets what comes, so that the next request
/// can follow on the same connection.
pub(super) fn discard(mut body: Incoming, headers: &HeaderMap, activity: &Rc<Activity>) {
    if body.is_end_stream() {
        return;
    }
    if waits_for_permission(headers) {
        // It may send its body or not: what comes next cannot be told apart.
        activity.cuts_short();
        return;
    }
    activity.discards();
    let activity = Rc::clone(activity);
    tokio::task::spawn_local(async move {
        let read = async {
            let mut left = DISCARD_BYTES;
            while let Some(Ok(frame)) = body.frame().await {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(bytes) {
                    Some(less) => left = less,
                    None => break,
                }
            }
        };
        // hyper closes a connection whose body is dropped before its end.
        let _ = within(DISCARD_TIME, read).await;
        activity.has_discarded();
    });
}

/// Whether the client sends its body only when it is told to.
fn waits_for_permission(headers: &HeaderMap) -> bool {
    let mut expected = headers.get_all(header::EXPECT).iter();
    expected.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}
