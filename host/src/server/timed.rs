//! A socket that says what its connection is doing.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::activity::Activity;

/// Room for bytes that is given before others have their turn.
const MAX_READ_ROOM: usize = 128 << 10;

/// A socket and the activity that it is noted in.
pub(super) struct TimedStream {
    socket: TokioIo<TcpStream>,
    activity: Rc<Activity>,
    /// Read before anything of the socket.
    first: &'static [u8],
}

/// What a socket has to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// Something.
    Bytes,
    /// Nothing for now.
    Nothing,
    /// Nothing any more: the client has closed its side, or has gone.
    End,
}

impl TimedStream {
    pub(super) fn new(socket: TcpStream, activity: Rc<Activity>) -> Self {
        Self {
            socket: TokioIo::new(socket),
            activity,
            first: &[],
        }
    }

    /// Makes the next read give these bytes, as if they had just come.
    pub(super) fn read_first(&mut self, bytes: &'static [u8]) {
        self.first = bytes;
    }

    /// What there is to read, without reading it.
    pub(super) fn unread(&self) -> Unread {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(self.socket.inner()).peek(&mut byte) {
            Ok(0) => Unread::End,
            Ok(_) => Unread::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Unread::Nothing,
            Err(_) => Unread::End,
        }
    }
}

impl Read for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let first = std::mem::take(&mut self.first);
        if !first.is_empty() {
            // At a connection's beginning: hyper's buffer is far larger.
            buffer.put_slice(first);
            return Poll::Ready(Ok(()));
        }
        if self.activity.read_room.get() >= MAX_READ_ROOM {
            self.activity.read_room.set(0);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = buffer.remaining();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if read.is_ready() {
            self.activity.has_read(room);
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
        self.activity.has_written(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if flushed.is_ready() {
            self.activity.has_flushed();
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
        self.activity.has_written(written.is_pending());
        written
    }
}
