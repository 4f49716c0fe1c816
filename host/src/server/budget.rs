//! How much memory bodies, heads and answers of all connections take together, and which
//! connection has to go when it is too much.
//!
//! A connection that takes little is not counted, so that a short request touches nothing that
//! threads share. What is counted is what is held: the capacity of buffers, and not the bytes
//! in them. A body waits until there is room for it; buffers and answers can't wait, and are
//! counted anyway. Where there is too little room, connections have to leave, those first
//! whose bytes have stood still for longest.

use std::{
    cell::{Cell, RefCell},
    future::{Future as _, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Settings;
use crate::metrics::Metrics;

/// Buffers of a connection that are not counted: those of one that reads short requests.
const FREE_BUFFERS: usize = 20 << 10;

/// A body that is not counted.
const FREE_BODY: usize = 4 << 10;

/// A buffer that hyper reads into may grow to the size of a head, or to this.
const MIN_BUFFER: usize = 64 << 10;

/// How long a body waits for room. What has to end first may be answered on the thread that runs
/// only when no other has to.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the log says about it, at most this often.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// There was no room for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Budget {
    max: usize,
    metrics: Arc<Metrics>,
    /// Bytes of connections that were told to leave, and hold them still.
    leaving: AtomicUsize,
    holders: Mutex<Holders>,
    /// Told when there is more room.
    freed: Notify,
    start: Instant,
    /// Milliseconds from the start to when the log said that room is scarce, from 1.
    said: AtomicU64,
}

#[derive(Debug, Default)]
struct Holders {
    next: u64,
    all: HashMap<u64, Arc<Holder>>,
}

/// A connection that holds something that counts, as others see it.
#[derive(Debug)]
struct Holder {
    /// What it holds now.
    bytes: AtomicUsize,
    /// Bytes that it was told to let go of.
    told: AtomicUsize,
    /// When its last bytes came or went, in milliseconds from the budget's start.
    moved: AtomicU64,
    state: AtomicU8,
    waker: Waker,
}

/// It may be told to leave.
const OPEN: u8 = 0;
/// It is being answered: others have to wait for it.
const BUSY: u8 = 1;
/// It was told to leave.
const TOLD: u8 = 2;
/// It waits for room. It stands still because it has to.
const WAITS: u8 = 3;

impl Holder {
    /// Changes its state, if that is `from`; whether it was.
    fn goes_from(&self, from: u8, to: u8) -> bool {
        let gone = self
            .state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
        gone.is_ok()
    }
}

impl Budget {
    /// A budget of this size, or of what it takes for the largest body and the buffers of its
    /// connection: that fits, if it is alone.
    pub(super) fn new(settings: &Settings, metrics: Arc<Metrics>) -> Arc<Self> {
        let largest = settings.max_body + 4 * settings.max_head.max(MIN_BUFFER);
        Self::of(settings.max_buffered.max(largest), metrics)
    }

    /// A budget of exactly this size.
    pub(super) fn of(max: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        metrics.max_buffered.set(max as u64);
        Arc::new(Self {
            max,
            metrics,
            leaving: AtomicUsize::new(0),
            holders: Mutex::default(),
            freed: Notify::new(),
            start: Instant::now(),
            said: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn held(&self) -> usize {
        usize::try_from(self.metrics.buffered.get()).unwrap_or(usize::MAX)
    }

    /// Counts these bytes where there is room for them.
    fn try_add(&self, bytes: usize) -> bool {
        let max = self.max.saturating_sub(bytes) as u64;
        bytes <= self.max && self.metrics.buffered.add_up_to(bytes as u64, max)
    }

    fn sub(&self, bytes: usize) {
        if bytes > 0 {
            self.metrics.buffered.sub(bytes as u64);
            self.freed.notify_one();
        }
    }

    /// A connection has let go of these bytes.
    fn release(&self, holder: &Holder, bytes: usize) {
        holder.bytes.fetch_sub(bytes, Ordering::SeqCst);
        let told = holder
            .told
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |told| {
                (told > 0).then(|| told.saturating_sub(bytes))
            });
        if let Ok(told) = told {
            self.leaving.fetch_sub(told.min(bytes), Ordering::SeqCst);
        }
        self.sub(bytes);
    }

    /// Tells as many connections to leave as it takes for `wanted` bytes, and an eighth of all
    /// beside them, so that not every further body looks through the connections again. What
    /// waits for room itself goes only for what could not wait, and after all others.
    fn make_room(&self, wanted: usize, but: Option<u64>) {
        let kept = (self.max - self.max / 8).saturating_sub(wanted);
        let holders = self.holders.lock();
        let held = self.held();
        let leaving = self.leaving.load(Ordering::SeqCst);
        let Some(mut excess) = held
            .checked_sub(leaving)
            .and_then(|held| held.checked_sub(kept))
        else {
            return;
        };
        let may_go = |state| state == OPEN || (state == WAITS && wanted == 0);
        let candidates = holders.all.iter().filter_map(|(id, holder)| {
            let state = holder.state.load(Ordering::SeqCst);
            let holds = holder.bytes.load(Ordering::SeqCst) > 0;
            let moved = holder.moved.load(Ordering::Relaxed);
            (Some(*id) != but && may_go(state) && holds).then_some((state, moved, holder))
        });
        let mut candidates: Vec<_> = candidates.collect();
        candidates.sort_by_key(|(state, moved, _)| (*state, *moved));
        let mut told = 0;
        for (state, _, holder) in candidates {
            if excess == 0 {
                break;
            }
            if !holder.goes_from(state, TOLD) {
                continue;
            }
            let bytes = holder.bytes.load(Ordering::SeqCst);
            holder.told.store(bytes, Ordering::SeqCst);
            self.leaving.fetch_add(bytes, Ordering::SeqCst);
            excess = excess.saturating_sub(bytes);
            told += 1;
            holder.waker.wake_by_ref();
        }
        drop(holders);
        if told > 0 {
            self.metrics.evict_connections(told);
            self.say();
        }
    }

    fn say(&self) {
        let now = self.now() + 1;
        let said = self.said.load(Ordering::Relaxed);
        let is_due = said == 0 || now - said >= SAY_AGAIN.as_millis() as u64;
        if is_due
            && self
                .said
                .compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            tracing::warn!(
                max_buffered = self.max,
                "bodies and answers take all memory that they may (--max-buffered); connections \
                 that have stalled for longest are closed"
            );
        }
    }
}

/// What one connection holds of the budget.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    holder: RefCell<Option<(u64, Arc<Holder>)>>,
    is_busy: Cell<bool>,
    /// The buffer that the head of the current request came in.
    head: Cell<usize>,
    /// The buffer that is read into.
    buffer: Cell<usize>,
    /// The largest answer so far: the buffer that it was written to is kept.
    reply: Cell<usize>,
    /// What is counted of these.
    counted: Cell<usize>,
}

impl Share {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            holder: RefCell::default(),
            is_busy: Cell::default(),
            head: Cell::default(),
            buffer: Cell::default(),
            reply: Cell::default(),
            counted: Cell::default(),
        }
    }

    /// The buffer that is read into has this size. `waker` is that of the connection's task.
    pub(super) fn reads_into(&self, bytes: usize, waker: &Waker) {
        if self.buffer.replace(bytes) != bytes {
            self.recount(waker);
        }
    }

    /// A request begins: its head keeps the buffer that it came in.
    pub(super) fn begins(&self) {
        self.head.set(self.buffer.get());
    }

    /// An answer of this size is written, to a buffer of its own.
    pub(super) fn writes(&self, bytes: usize, waker: &Waker) {
        if bytes > self.reply.get() {
            self.reply.set(bytes);
            self.recount(waker);
        }
    }

    /// A request has ended. Whether the buffer of its answer is kept depends on how hyper writes.
    pub(super) fn ends(&self, keeps_reply: bool) {
        self.head.set(0);
        if !keeps_reply {
            self.reply.set(0);
        }
        // It can only be less than before.
        if self.counted.get() > 0 {
            self.recount(Waker::noop());
        }
    }

    fn recount(&self, waker: &Waker) {
        let all = self.head.get() + self.buffer.get() + self.reply.get();
        let bytes = if all > FREE_BUFFERS { all } else { 0 };
        let before = self.counted.replace(bytes);
        if bytes > before {
            let more = bytes - before;
            self.budget.metrics.buffered.add(more as u64);
            self.holder(waker).bytes.fetch_add(more, Ordering::SeqCst);
            let leaving = self.budget.leaving.load(Ordering::SeqCst);
            if self.budget.held().saturating_sub(leaving) > self.budget.max {
                self.budget.make_room(0, self.id());
            }
        } else if bytes < before {
            let less = before - bytes;
            match &*self.holder.borrow() {
                Some((_, holder)) => self.budget.release(holder, less),
                None => self.budget.sub(less),
            }
        }
    }

    /// Bytes have come or gone.
    pub(super) fn moves(&self) {
        if let Some((_, holder)) = &*self.holder.borrow() {
            holder.moved.store(self.budget.now(), Ordering::Relaxed);
        }
    }

    /// Whether the connection has to end, to make room.
    pub(super) fn is_told_to_leave(&self) -> bool {
        let holder = self.holder.borrow();
        holder
            .as_ref()
            .is_some_and(|(_, holder)| holder.state.load(Ordering::SeqCst) == TOLD)
    }

    /// Whether others have to wait for it. It stays told what it was told before.
    pub(super) fn set_busy(&self, is_busy: bool) {
        if self.is_busy.replace(is_busy) == is_busy {
            return;
        }
        if let Some((_, holder)) = &*self.holder.borrow() {
            let (from, to) = if is_busy { (OPEN, BUSY) } else { (BUSY, OPEN) };
            // What is in no such state was told to leave.
            holder.goes_from(from, to);
        }
    }

    fn id(&self) -> Option<u64> {
        self.holder.borrow().as_ref().map(|(id, _)| *id)
    }

    /// The connection as others see it.
    fn holder(&self, waker: &Waker) -> Arc<Holder> {
        let mut own = self.holder.borrow_mut();
        let (_, holder) = own.get_or_insert_with(|| {
            let holder = Arc::new(Holder {
                bytes: AtomicUsize::new(0),
                told: AtomicUsize::new(0),
                moved: AtomicU64::new(self.budget.now()),
                state: AtomicU8::new(if self.is_busy.get() { BUSY } else { OPEN }),
                waker: waker.clone(),
            });
            let mut holders = self.budget.holders.lock();
            let id = holders.next;
            holders.next += 1;
            holders.all.insert(id, Arc::clone(&holder));
            (id, holder)
        });
        Arc::clone(holder)
    }

    /// Waits until there is room for a body, or for more of it.
    ///
    /// # Errors
    /// There was none in time.
    pub(super) async fn room(&self, bytes: usize, waker: &Waker) -> Result<Room, NoRoom> {
        if bytes <= FREE_BODY {
            return Ok(Room::none());
        }
        let budget = &self.budget;
        let holder = self.holder(waker);
        // The usual case.
        if !budget.try_add(bytes) {
            holder.goes_from(OPEN, WAITS);
            let waited = tokio::time::timeout(PATIENCE, self.wait_for(bytes)).await;
            holder.goes_from(WAITS, OPEN);
            self.moves();
            waited.map_err(|_| NoRoom)??;
        }
        holder.bytes.fetch_add(bytes, Ordering::SeqCst);
        Ok(Room(Some((Arc::clone(budget), holder, bytes))))
    }

    async fn wait_for(&self, bytes: usize) -> Result<(), NoRoom> {
        let budget = &self.budget;
        loop {
            let mut freed = pin!(budget.freed.notified());
            freed.as_mut().enable();
            budget.make_room(bytes, self.id());
            if budget.try_add(bytes) {
                // There may be room for the next one, too.
                budget.freed.notify_one();
                return Ok(());
            }
            // A connection that has to leave is woken, too.
            poll_fn(|cx| match freed.as_mut().poll(cx) {
                Poll::Pending if !self.is_told_to_leave() => Poll::Pending,
                _ => Poll::Ready(()),
            })
            .await;
            if self.is_told_to_leave() {
                return Err(NoRoom);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some((id, holder)) = self.holder.get_mut().take() {
            self.budget.holders.lock().all.remove(&id);
            let told = holder.told.swap(0, Ordering::SeqCst);
            self.budget.leaving.fetch_sub(told, Ordering::SeqCst);
        }
        self.budget.sub(self.counted.get());
    }
}

/// Room for a body. It goes wherever the body goes.
#[derive(Debug)]
pub(super) struct Room(Option<(Arc<Budget>, Arc<Holder>, usize)>);

impl Room {
    /// For a body that is not counted.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Takes over room for more of the same body.
    pub(super) fn add(&mut self, mut more: Self) {
        match (&mut self.0, more.0.take()) {
            (Some((.., bytes)), Some((.., more))) => *bytes += more,
            (own @ None, more) => *own = more,
            (Some(_), None) => {}
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some((budget, holder, bytes)) = self.0.take() {
            budget.release(&holder, bytes);
        }
    }
}
