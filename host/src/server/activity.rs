//! What each connection of a worker thread is doing, and since when.
//!
//! Nothing is set up for a request: connections write down what they do, and one task of
//! the thread looks at all of them now and then. It closes those that have been silent for
//! too long, and tells all of them when the server is to stop.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Settings,
    budget::{Budget, NoRoom, Room, Share},
    turns::{Party, Turn},
};

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    /// Whether a request waits for the answers before it to be on their way.
    is_awaited: Cell<bool>,
    /// Whether a body is read that nobody wants.
    is_discarding: Cell<bool>,
    was_cut_short: Cell<bool>,
    /// Whom its time is charged to.
    pub(super) party: Cell<Party>,
    pub(super) turn: Cell<Turn>,
    /// Room for bytes that was given in this turn.
    pub(super) read_room: Cell<usize>,
    /// Bytes of a head that have come.
    head_bytes: Cell<usize>,
    /// Whether the service reads a body, and hears by itself that it has to end.
    is_reading_body: Cell<bool>,
    /// What it holds of the memory for all.
    share: Share,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests, and before the first one.
    Idle,
    /// A request's line and headers are coming in.
    Head,
    /// A request is in the service's hands, which times it.
    Busy,
    /// An answer is on its way out.
    Answering,
    /// The client takes no more of an answer for now.
    Stalled,
}

/// What a connection is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Whatever it does.
    Go,
    /// To end after the request that it is in, if it is in one.
    Drain,
    /// To end at once, for a timeout of that name.
    Close(&'static str),
}

impl Activity {
    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }

    /// Bytes are about to be read, and there is room for this many.
    pub(super) fn reads_into(&self, room: usize) {
        let bytes = self.head_bytes.get() + room;
        self.with_waker(|waker| self.share.reads_into(bytes, waker));
    }

    /// Bytes have come, of those that there was room for, or the end of them.
    pub(super) fn has_read(&self, room: usize, bytes: usize) {
        self.read_room.set(self.read_room.get() + room);
        self.share.moves();
        // What is discarded has a timeout of its own.
        if self.phase.get() == Phase::Idle && !self.is_discarding.get() {
            self.enter(Phase::Head);
        }
        if self.phase.get() == Phase::Head {
            self.head_bytes.set(self.head_bytes.get() + bytes);
        }
    }

    /// A request's head is complete. Returns when it began to come.
    pub(super) fn request_begins(&self) -> Instant {
        // The head of a request that was sent behind another one was read with that.
        if self.phase.get() == Phase::Idle {
            self.since.set(Instant::now());
        }
        self.phase.set(Phase::Busy);
        self.head_bytes.set(0);
        self.share.begins();
        // A request that has come is answered: others wait for that.
        self.share.set_busy(true);
        self.since.get()
    }

    /// Waits for room for a body, or for more of one.
    ///
    /// # Errors
    /// There was none in time.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room, NoRoom> {
        let waker = self.with_waker(Waker::clone);
        self.share.room(bytes, &waker).await
    }

    /// The service reads a body, or has read it.
    pub(super) fn reads_body(&self, is_reading: bool) {
        self.is_reading_body.set(is_reading);
        self.share.set_busy(!is_reading);
    }

    /// Whether the connection has to end, so that there is room for others.
    pub(super) fn is_told_to_leave(&self) -> bool {
        self.share.is_told_to_leave()
    }

    /// Whether the service hears by itself that it has to end.
    pub(super) fn is_reading_body(&self) -> bool {
        self.is_reading_body.get()
    }

    /// The answer is ready to be sent; that takes a buffer of this size.
    pub(super) fn answer_begins(&self, buffer: usize) {
        self.phase.set(Phase::Answering);
        self.share.set_busy(false);
        self.with_waker(|waker| self.share.writes(buffer, waker));
    }

    /// Whether hyper has something to say that no service has answered: that a request is
    /// malformed.
    pub(super) fn is_between_requests(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle | Phase::Head)
    }

    fn with_waker<T>(&self, look: impl FnOnce(&Waker) -> T) -> T {
        let waker = self.waker.borrow();
        look(waker.as_ref().unwrap_or(Waker::noop()))
    }

    /// A write was tried.
    pub(super) fn has_written(&self, is_stalled: bool) {
        if !is_stalled {
            self.share.moves();
        }
        match (is_stalled, self.phase.get()) {
            (true, Phase::Answering) => self.enter(Phase::Stalled),
            (false, Phase::Stalled) => self.phase.set(Phase::Answering),
            _ => {}
        }
    }

    /// All that was written is on its way. hyper does this when an answer is complete.
    pub(super) fn has_flushed(&self, keeps_buffer: bool) {
        if self.phase.get() == Phase::Answering {
            self.enter(Phase::Idle);
            self.share.ends(keeps_buffer);
            if self.is_awaited.replace(false) {
                self.wake();
            }
        }
    }

    /// Waits until everything that was answered is on its way. hyper begins with the next
    /// request earlier where a body was discarded, and would gather answers without end
    /// for a client that sends and does not read.
    pub(super) async fn flushed(&self) {
        poll_fn(|_| {
            let is_writing = matches!(self.phase.get(), Phase::Answering | Phase::Stalled);
            self.is_awaited.set(is_writing);
            if is_writing {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// A body is read and forgotten, until [`has_discarded`](Self::has_discarded).
    pub(super) fn discards(&self) {
        self.is_discarding.set(true);
    }

    /// The next bytes that come belong to a request.
    pub(super) fn has_discarded(&self) {
        self.is_discarding.set(false);
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Idle);
        }
    }

    /// The request that is answered last is not read to its end.
    pub(super) fn cuts_short(&self) {
        self.was_cut_short.set(true);
    }

    /// Whether the client may be sending the rest of a request that was answered.
    pub(super) fn was_cut_short(&self) -> bool {
        self.was_cut_short.get()
    }

    /// Whether a request has begun to come.
    pub(super) fn is_in_head(&self) -> bool {
        self.phase.get() == Phase::Head
    }

    /// Whether the connection is to end after the request that it is in.
    pub(super) fn is_draining(&self) -> bool {
        self.order.get() == Order::Drain
    }

    /// What the connection is told to do; its task is woken when that changes.
    pub(super) fn order(&self, cx: &Context<'_>) -> Order {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        self.order.get()
    }

    fn tell(&self, order: Order) {
        self.order.set(order);
        self.wake();
    }

    /// Makes the connection's task look again.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn timeout(&self, settings: &Settings) -> Option<(Duration, &'static str)> {
        match self.phase.get() {
            Phase::Idle => Some((settings.idle_timeout, "idle")),
            Phase::Head => Some((settings.head_timeout, "head")),
            Phase::Stalled => Some((settings.write_timeout, "write")),
            Phase::Busy | Phase::Answering => None,
        }
    }
}

/// The connections of one worker thread.
#[derive(Debug, Default)]
pub(super) struct Activities {
    all: RefCell<Vec<Weak<Activity>>>,
    is_draining: Cell<bool>,
}

impl Activities {
    /// A connection that begins now.
    pub(super) fn add(&self, budget: &Arc<Budget>) -> Rc<Activity> {
        let order = if self.is_draining.get() {
            Order::Drain
        } else {
            Order::Go
        };
        let activity = Rc::new(Activity {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
            order: Cell::new(order),
            waker: RefCell::new(None),
            is_awaited: Cell::new(false),
            is_discarding: Cell::new(false),
            was_cut_short: Cell::new(false),
            party: Cell::default(),
            turn: Cell::default(),
            read_room: Cell::default(),
            head_bytes: Cell::default(),
            is_reading_body: Cell::default(),
            share: Share::new(budget),
        });
        self.all.borrow_mut().push(Rc::downgrade(&activity));
        activity
    }

    /// Closes silent connections, for ever. They live for up to a twentieth of the
    /// shortest timeout longer than they should.
    pub(super) async fn watch(&self, settings: &Settings) {
        let shortest = settings
            .idle_timeout
            .min(settings.head_timeout)
            .min(settings.write_timeout);
        let pause = (shortest / 20).clamp(Duration::from_millis(5), Duration::from_secs(1));
        loop {
            tokio::time::sleep(pause).await;
            let now = Instant::now();
            self.for_each(|activity| {
                if let Some((timeout, name)) = activity.timeout(settings)
                    && now.duration_since(activity.since.get()) >= timeout
                {
                    activity.tell(Order::Close(name));
                }
            });
        }
    }

    /// Tells every connection to end after the request that it is in.
    pub(super) fn drain(&self) {
        self.is_draining.set(true);
        self.for_each(|activity| activity.tell(Order::Drain));
    }

    /// Looks at every connection that lives, and forgets the others.
    fn for_each(&self, mut look: impl FnMut(&Activity)) {
        self.all.borrow_mut().retain(|activity| {
            let activity = activity.upgrade();
            activity.inspect(|activity| look(activity)).is_some()
        });
    }
}
