//! What one request costs, and what comes of it. It is counted when the request ends, however
//! it ends.

use std::{
    cell::{Cell, OnceCell},
    future::poll_fn,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    metrics::{Requests, Route},
    state::{Entry, State, Traffic, Usage},
};

/// Counts one request.
pub(super) struct Tally<'a> {
    state: &'a State,
    requests: &'a Requests,
    method: &'a http::Method,
    pub(super) route: Cell<Route>,
    pub(super) tenant: OnceCell<Arc<Entry>>,
    pub(super) bytes_in: Cell<usize>,
    pub(super) bytes_out: Cell<usize>,
    /// Where the engine of this thread was at work. The thread beside it counts for itself.
    pub(super) busy: Cell<Duration>,
    answer: Option<(u16, Duration)>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(state: &'a State, requests: &'a Requests, method: &'a http::Method) -> Self {
        Self {
            state,
            requests,
            method,
            route: Cell::new(Route::Other),
            tenant: OnceCell::new(),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            busy: Cell::default(),
            answer: None,
        }
    }

    /// The request is a tenant's.
    pub(super) fn is_of(&self, tenant: Option<&Arc<Entry>>) {
        if let Some(tenant) = tenant {
            // It is said once, or again the same.
            let _ = self.tenant.set(Arc::clone(tenant));
        }
    }

    /// The id of the tenant whose request it is, where that is known.
    pub(super) fn tenant_id(&self) -> Option<&str> {
        self.tenant.get().map(|tenant| tenant.id())
    }

    /// The request is answered, after this time.
    pub(super) fn answered(&mut self, status: u16, duration: Duration) {
        self.answer = Some((status, duration));
    }

    fn usage(&self) -> Usage {
        let status = self.answer.map(|(status, _)| status);
        let route = self.route.get();
        let is = |wanted, at| u64::from(status == Some(wanted) && route == at);
        // Anybody can send in a tenant's name what is refused.
        let is_answered = status.is_some_and(|status| (200..300).contains(&status));
        let bytes_in = self.bytes_in.get() as u64;
        let (bytes_in, refused_bytes_in) = match is_answered {
            true => (bytes_in, 0),
            false => (0, bytes_in),
        };
        Usage {
            chats: is(200, Route::Chat),
            refused: is(429, Route::Chat) + is(429, Route::Session),
            sessions: is(200, Route::Session),
            bytes_in,
            bytes_out: self.bytes_out.get() as u64,
            busy_ns: nanos(self.busy.get()),
            refused_bytes_in,
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let mut traffic = Traffic::default();
        if let Some((status, duration)) = self.answer {
            let route = self.route.get();
            self.requests
                .answered(route, self.method.as_str(), status, duration);
            traffic = Traffic {
                requests: 1,
                errors: u64::from(status >= 500),
                duration_ns: nanos(duration),
            };
        }
        if let Some(tenant) = self.tenant.get() {
            self.state.meters.add_with(tenant, self.usage(), traffic);
        }
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds to `busy` the time in which `future` runs, and not that in which it waits.
pub(super) async fn timed<F: Future>(busy: &Cell<Duration>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let start = Instant::now();
        let polled = future.as_mut().poll(cx);
        busy.set(busy.get() + start.elapsed());
        polled
    })
    .await
}
