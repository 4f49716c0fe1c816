//! Reading a request's body: bounded in size and time.

use std::{future::poll_fn, pin::Pin, rc::Rc, task::Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};

use super::{
    Settings,
    activity::Activity,
    budget::{NoRoom, Room},
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
    /// It stood still for longest when others needed its room.
    Evicted,
    /// There was no room for it in time.
    NoRoom,
}

/// A body that is kept from taking more memory than it may.
pub(super) struct Read {
    pub(super) bytes: Bytes,
    /// To be kept for as long as the bytes are.
    pub(super) room: Room,
}

impl Read {
    /// A body that nobody wants.
    pub(super) fn nothing() -> Self {
        Self {
            bytes: Bytes::new(),
            room: Room::none(),
        }
    }
}

/// Reads a body to its end.
pub(super) async fn read(
    mut body: Incoming,
    settings: &Settings,
    activity: &Activity,
) -> Result<Read, Refusal> {
    if body.is_end_stream() {
        return Ok(Read::nothing());
    }
    // Said before it is sent: not a byte of it needs to come.
    if body.size_hint().lower() > settings.max_body as u64 {
        return Err(Refusal::TooLarge);
    }
    activity.reads_body(true);
    let collected = within(
        settings.body_timeout,
        collect(&mut body, settings.max_body, activity),
    );
    let collected = collected.await.unwrap_or(Err(Refusal::TooSlow));
    activity.reads_body(false);
    match collected {
        Ok(_) if activity.is_told_to_leave() => Err(Refusal::Evicted),
        collected => collected,
    }
}

/// The next part of a body, unless the connection has to end before that comes.
async fn next(body: &mut Incoming, activity: &Activity) -> Option<Result<Frame<Bytes>, Refusal>> {
    poll_fn(|cx| {
        if activity.is_told_to_leave() {
            return Poll::Ready(Some(Err(Refusal::Evicted)));
        }
        let frame = Pin::new(&mut *body).poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(|_| Refusal::Broken)))
    })
    .await
}

/// Room that is given to a body at first, once it does not come in one piece.
const FIRST_ROOM: usize = 16 << 10;

async fn collect(
    body: &mut Incoming,
    max_bytes: usize,
    activity: &Activity,
) -> Result<Read, Refusal> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut room = Room::none();
    while let Some(frame) = next(body, activity).await {
        // Trailers say nothing that the contract looks at.
        let Ok(bytes) = frame?.into_data() else {
            continue;
        };
        let len = first.len() + rest.len() + bytes.len();
        if len > max_bytes {
            return Err(Refusal::TooLarge);
        }
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && rest.is_empty() {
            first = bytes;
            continue;
        }
        if len > rest.capacity() {
            // Not more than has come already: a length that is announced holds nothing.
            let announced = usize::try_from(body.size_hint().lower()).unwrap_or(max_bytes);
            let most = len.saturating_add(announced).min(max_bytes);
            let wanted = if body.size_hint().exact().is_some() {
                (2 * len).max(FIRST_ROOM).min(most)
            } else {
                (2 * len).max(FIRST_ROOM).min(max_bytes)
            };
            let more = activity.room(wanted - rest.capacity()).await;
            room.add(more.map_err(|NoRoom| Refusal::NoRoom)?);
            let mut larger = BytesMut::with_capacity(wanted);
            larger.extend_from_slice(&std::mem::take(&mut first));
            larger.extend_from_slice(&rest);
            rest = larger;
        }
        rest.extend_from_slice(&bytes);
    }
    let bytes = if rest.is_empty() {
        first
    } else {
        rest.freeze()
    };
    Ok(Read { bytes, room })
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
