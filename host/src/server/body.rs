//! Reading a request's body: bounded in size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::{Settings, service::within};

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

/// What is read of a body that nobody wants, so that a client that is still sending it can
/// see the answer: a socket that is closed with bytes unread takes the answer back.
const DISCARD_BYTES: usize = 8 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Reads a body to its end.
pub(super) async fn read(
    mut body: Incoming,
    headers: &HeaderMap,
    settings: &Settings,
) -> Result<Bytes, Refusal> {
    // Said before it is sent: not a byte of it needs to come.
    if body.size_hint().lower() > settings.max_body as u64 {
        discard(body, headers);
        return Err(Refusal::TooLarge);
    }
    match within(settings.body_timeout, collect(&mut body, settings.max_body)).await {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(refusal)) => {
            if refusal == Refusal::TooLarge {
                discard(body, headers);
            }
            Err(refusal)
        }
        None => Err(Refusal::TooSlow),
    }
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

/// Reads on after the answer, for a while, and forgets what comes.
pub(super) fn discard(mut body: Incoming, headers: &HeaderMap) {
    // A client that waits for permission to send is not sending.
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
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
        // However it ends, the connection takes care of itself.
        let _ = tokio::time::timeout(DISCARD_TIME, read).await;
    });
}
