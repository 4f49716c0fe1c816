//! Who is connected, and which connection makes room for another one.
//!
//! Every connection is accepted. Where there are as many as there may be, one is closed: the
//! one that has waited longest among those of the lowest [`Rank`]. A request that came with a
//! token is never cut off for a newcomer, and there are fewer of them at a time than
//! connections, so probes always find room.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// All open connections of the listener.
pub(super) struct Clients {
    max_connections: usize,
    max_requests: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    clients: BTreeMap<u64, Arc<Client>>,
}

/// One open connection.
pub(super) struct Client {
    doing: Mutex<Doing>,
    closing: Notify,
}

struct Doing {
    phase: Phase,
    since: Instant,
    /// Whether an earlier request on this connection had a token.
    is_known: bool,
    /// Whether the answer is in the connection's hands, as far as it goes.
    is_handed_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No whole request has come since the last answer, however much of a head has.
    Silent,
    /// A request without a token, until its answer is on its way.
    Open,
    /// A request with a token, until its answer is on its way.
    Trusted,
}

/// Who is closed first: the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    SilentStranger,
    AskingStranger,
    SilentOperator,
}

/// A place among the open connections, held until the connection ends.
pub(super) struct Seat {
    clients: Arc<Clients>,
    id: u64,
    client: Arc<Client>,
}

impl Clients {
    pub(super) fn new(max_connections: usize, max_requests: usize) -> Self {
        Self {
            max_connections,
            max_requests,
            open: Mutex::default(),
        }
    }

    /// Takes a new connection in; closes another one where that is needed. `None` where every
    /// connection has a request with a token under way.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Seat> {
        let mut open = self.open.lock();
        if open.clients.len() >= self.max_connections {
            let ranked = open.clients.iter();
            let ranked = ranked.filter_map(|(id, client)| Some((client.rank()?, *id)));
            let (_, id) = ranked.min()?;
            if let Some(client) = open.clients.remove(&id) {
                client.closing.notify_one();
            }
        }
        let client = Arc::new(Client {
            doing: Mutex::new(Doing {
                phase: Phase::Silent,
                since: Instant::now(),
                is_known: false,
                is_handed_over: false,
            }),
            closing: Notify::new(),
        });
        let id = open.next;
        open.next += 1;
        open.clients.insert(id, Arc::clone(&client));
        Some(Seat {
            clients: Arc::clone(self),
            id,
            client,
        })
    }

    /// Notes that the request on a connection has a token. Whether there is room for it: its
    /// connection is not closed for another one.
    pub(super) fn trust(&self, client: &Client) -> bool {
        let open = self.open.lock();
        let trusted = open.clients.values().filter(|client| client.is_trusted());
        if trusted.count() >= self.max_requests {
            return false;
        }
        let mut doing = client.doing.lock();
        doing.phase = Phase::Trusted;
        doing.is_known = true;
        true
    }
}

impl Seat {
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.clients.open.lock().clients.remove(&self.id);
    }
}

impl Client {
    /// A whole head has come.
    pub(super) fn asks(&self) {
        let mut doing = self.doing.lock();
        doing.phase = Phase::Open;
        doing.since = Instant::now();
        doing.is_handed_over = false;
    }

    /// Everything that was to be written is on its way.
    pub(super) fn has_flushed(&self) {
        let mut doing = self.doing.lock();
        if std::mem::take(&mut doing.is_handed_over) {
            doing.phase = Phase::Silent;
            doing.since = Instant::now();
        }
    }

    /// Whether no whole request is there that is not answered.
    pub(super) fn is_silent(&self) -> bool {
        self.doing.lock().phase == Phase::Silent
    }

    /// Waits until the connection is to make room for another one.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }

    fn is_trusted(&self) -> bool {
        self.doing.lock().phase == Phase::Trusted
    }

    fn rank(&self) -> Option<(Rank, Instant)> {
        let doing = self.doing.lock();
        let rank = match doing.phase {
            Phase::Silent if doing.is_known => Rank::SilentOperator,
            Phase::Silent => Rank::SilentStranger,
            Phase::Open => Rank::AskingStranger,
            Phase::Trusted => return None,
        };
        Some((rank, doing.since))
    }
}

/// The body of an answer, which says when the connection has all of it.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) client: Arc<Client>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.client.doing.lock().is_handed_over = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_closed(seat: &Seat) -> bool {
        let mut closing = std::pin::pin!(seat.client.closing());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        closing.as_mut().poll(&mut cx).is_ready()
    }

    #[test]
    fn strangers_make_room_before_operators_and_silent_ones_before_those_that_ask() {
        let clients = Arc::new(Clients::new(4, 4));
        let admit = || clients.admit().expect("room");
        let seats = [(); 4].map(|()| admit());
        let [operator, trusted, asking, silent] = &seats;
        for seat in [operator, trusted] {
            seat.client.asks();
            assert!(clients.trust(&seat.client));
        }
        drop(Answer {
            body: Body::empty(),
            client: Arc::clone(&operator.client),
        });
        operator.client.has_flushed();
        asking.client.asks();
        let mut newcomers = Vec::new();
        for (n, closed) in [silent, asking, operator].into_iter().enumerate() {
            // Those that came since have asked with a token, and stay.
            assert!(!is_closed(closed), "{n}");
            let newcomer = admit();
            newcomer.client.asks();
            assert!(clients.trust(&newcomer.client));
            newcomers.push(newcomer);
            assert!(is_closed(closed), "{n}");
        }
        assert!(!is_closed(trusted));
        assert!(newcomers.iter().all(|seat| !is_closed(seat)));
        // Every one has a request with a token now.
        assert!(clients.admit().is_none());
        drop(newcomers);
        assert!(clients.admit().is_some());
    }

    #[test]
    fn the_one_that_has_waited_longest_goes_first_and_bytes_of_a_head_are_no_excuse() {
        let clients = Arc::new(Clients::new(3, 2));
        let admit = || clients.admit().expect("room");
        let (first, second, third) = (admit(), admit(), admit());
        // An answered request makes it the last to have waited.
        first.client.asks();
        drop(Answer {
            body: Body::empty(),
            client: Arc::clone(&first.client),
        });
        assert!(!first.client.is_silent());
        first.client.has_flushed();
        assert!(first.client.is_silent());
        let _fourth = admit();
        assert!(is_closed(&second));
        assert!(!is_closed(&first) && !is_closed(&third));
    }

    #[test]
    fn requests_with_a_token_leave_room_for_others() {
        let clients = Arc::new(Clients::new(4, 2));
        let seats = [(); 4].map(|()| clients.admit().expect("room"));
        let trusted = seats.iter().map(|seat| {
            seat.client.asks();
            clients.trust(&seat.client)
        });
        assert_eq!(trusted.collect::<Vec<_>>(), [true, true, false, false]);
        assert!(clients.admit().is_some());
    }
}
