//! A socket whose silences are timed.
//!
//! A connection is idle, in a request's head, in its body or at work, or writing. The
//! first and the last two have a timeout here; the others are the service's. Nothing is
//! set up for a request: the moments are written down, and one timer for each connection
//! looks at them now and then.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

use super::Settings;

/// What a connection is doing, and since when.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Cell<Phase>,
    since: Cell<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A request's line and headers are coming in.
    Head,
    /// A request is in the service's hands.
    Busy,
    /// An answer is on its way out.
    Answering,
    /// The client takes no more of an answer for now.
    Stalled,
}

impl Activity {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
        })
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }

    /// A request's head is complete.
    pub(super) fn request_begins(&self) {
        self.phase.set(Phase::Busy);
    }

    /// Its answer is ready to be sent.
    pub(super) fn answer_begins(&self) {
        self.phase.set(Phase::Answering);
    }

    /// Waits until a timeout has passed; says which.
    pub(super) async fn timed_out(&self, settings: &Settings) -> &'static str {
        let shortest = settings
            .idle_timeout
            .min(settings.head_timeout)
            .min(settings.write_timeout);
        loop {
            let now = Instant::now();
            // A phase that begins later ends no earlier than this.
            let mut look_again = now + shortest;
            if let Some((timeout, name)) = self.timeout(settings) {
                let end = self.since.get() + timeout;
                if end <= now {
                    return name;
                }
                look_again = look_again.min(end);
            }
            tokio::time::sleep_until(look_again).await;
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

/// A socket that writes down what its connection is doing.
pub(super) struct TimedStream {
    socket: TokioIo<TcpStream>,
    activity: Rc<Activity>,
}

impl TimedStream {
    pub(super) fn new(socket: TcpStream, activity: Rc<Activity>) -> Self {
        Self {
            socket: TokioIo::new(socket),
            activity,
        }
    }

    fn wrote<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match (&written, self.activity.phase.get()) {
            (Poll::Pending, Phase::Answering) => self.activity.enter(Phase::Stalled),
            (Poll::Ready(_), Phase::Stalled) => self.activity.enter(Phase::Answering),
            _ => {}
        }
        written
    }
}

impl Read for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        // What is read between requests is the beginning of one, or the end of all.
        if read.is_ready() && self.activity.phase.get() == Phase::Idle {
            self.activity.enter(Phase::Head);
        }
        read
    }
}

impl Write for TimedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        // hyper flushes once the whole answer is written.
        if flushed.is_ready() && self.activity.phase.get() == Phase::Answering {
            self.activity.enter(Phase::Idle);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, buffers);
        self.wrote(written)
    }
}
