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
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::activity::Activity;

/// Room for bytes that is given before others have their turn.
const MAX_READ_ROOM: usize = 128 << 10;

/// A socket that knows how many bytes the last read has brought. hyper's buffers do not tell.
struct Counted {
    stream: TcpStream,
    came: usize,
}

/// A socket and the activity that it is noted in.
pub(super) struct TimedStream {
    socket: TokioIo<Counted>,
    activity: Rc<Activity>,
    /// Read before anything of the socket.
    first: &'static [u8],
    /// What hyper has written by itself, because a request is malformed. It is not sent yet.
    refusal: Vec<u8>,
    /// Whether hyper copies answers to a buffer of its own, which it keeps.
    keeps_answers: bool,
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
    pub(super) fn new(socket: TcpStream, activity: Rc<Activity>, keeps_answers: bool) -> Self {
        Self {
            socket: TokioIo::new(Counted {
                stream: socket,
                came: 0,
            }),
            activity,
            first: &[],
            refusal: Vec::new(),
            keeps_answers,
        }
    }

    /// What hyper has answered by itself, if it has. It was not sent.
    pub(super) fn take_refusal(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.refusal)
    }

    /// Sends these bytes, which are no answer of hyper's.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.inner_mut().stream.write_all(bytes).await
    }

    /// Keeps what hyper says by itself; whether that is what it says.
    fn keep_refusal(&mut self, bytes: &[u8]) -> bool {
        let is_refusal = self.activity.is_between_requests();
        if is_refusal {
            self.refusal.extend_from_slice(bytes);
        }
        is_refusal
    }

    /// Makes the next read give these bytes, as if they had just come.
    pub(super) fn read_first(&mut self, bytes: &'static [u8]) {
        self.first = bytes;
    }

    /// What there is to read, without reading it.
    pub(super) fn unread(&self) -> Unread {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(&self.socket.inner().stream).peek(&mut byte) {
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
        self.activity.reads_into(room);
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if read.is_ready() {
            self.activity.has_read(room, self.socket.inner().came);
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
        if self.keep_refusal(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.activity.has_written(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if flushed.is_ready() {
            self.activity.has_flushed(self.keeps_answers);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.refusal.is_empty() {
            // Something is to be sent first.
            return Poll::Ready(Ok(()));
        }
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
        if self.activity.is_between_requests() {
            let bytes = buffers.iter().map(|buffer| buffer.len()).sum();
            for buffer in buffers {
                self.keep_refusal(buffer);
            }
            return Poll::Ready(Ok(bytes));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, buffers);
        self.activity.has_written(written.is_pending());
        written
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.came = buffer.filled().len() - before;
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }
}
