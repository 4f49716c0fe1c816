//! The socket of a connection: notes when answers are on their way, and says what hyper says
//! in another way where that is wrong.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    MAX_HEAD, body,
    clients::Client,
    problem::{self, Problem},
};
use crate::server::RequestId;

/// A socket whose client is known.
pub(super) struct Stream<S> {
    socket: S,
    client: Arc<Client>,
    /// What has come of a request's head, as far as a head may go.
    head: Vec<u8>,
    own: Option<Own>,
}

/// An answer that is written instead of another one.
struct Own {
    bytes: Vec<u8>,
    written: usize,
}

impl<S> Stream<S> {
    pub(super) fn new(socket: S, client: Arc<Client>) -> Self {
        Self {
            socket,
            client,
            head: Vec::new(),
            own: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if self.client.is_silent() {
            let new = buffer.filled().get(before..).unwrap_or_default();
            let room = MAX_HEAD.saturating_sub(self.head.len());
            let new = new.get(..room).unwrap_or(new);
            self.head.extend_from_slice(new);
        } else if !self.head.is_empty() {
            self.head = Vec::new();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.own.is_none() && this.client.is_silent() && is_refusal(bytes) {
            let head = std::mem::take(&mut this.head);
            this.own = has_boundless_body(&head).then(|| Own {
                bytes: too_large(),
                written: 0,
            });
        }
        let Some(own) = &mut this.own else {
            return Pin::new(&mut this.socket).poll_write(cx, bytes);
        };
        // hyper closes the connection behind it.
        while let Some(rest) = own.bytes.get(own.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut this.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => own.written += written,
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if flushed.is_ready() {
            self.client.has_flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Whether these bytes begin an answer that hyper gives by itself to a head that it refuses.
fn is_refusal(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(b"HTTP/1.");
    rest.is_some_and(|rest| rest.get(1..3) == Some(b" 4"))
}

/// Whether a head announces a body of more bytes than hyper can count to. It refuses that as
/// a head that is too large (431) or malformed (400).
fn has_boundless_body(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let Some((name, length)) = line.split_at_checked("content-length".len()) else {
            return false;
        };
        let length = length.trim_ascii();
        let Some(length) = length.strip_prefix(b":").map(<[u8]>::trim_ascii) else {
            return false;
        };
        let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        let length = str::from_utf8(length).ok();
        let length = length.and_then(|length| length.parse::<u64>().ok());
        name.eq_ignore_ascii_case(b"content-length")
            && is_number
            && length.is_none_or(|length| length > u64::MAX - 2)
    })
}

fn too_large() -> Vec<u8> {
    let id = RequestId::next();
    let problem = Problem::body_too_large(body::MAX_BODY);
    let (status, body) = problem::text(&problem, id);
    tracing::info!(
        target: "tenantry::admin",
        request_id = %id,
        status = status.as_u16(),
        "a request was refused for the length of its body"
    );
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_no_body_has_is_noticed() {
        for (head, is_boundless) in [
            (
                "PUT / HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\n",
                true,
            ),
            (
                "PUT / HTTP/1.1\r\na: b\r\nContent-Length:18446744073709551614\r\n",
                true,
            ),
            (
                "PUT / HTTP/1.1\ncontent-length: 99999999999999999999999 \n",
                true,
            ),
            (
                "PUT / HTTP/1.1\r\ncontent-length: 18446744073709551613\r\n",
                false,
            ),
            ("PUT / HTTP/1.1\r\ncontent-length: -1\r\n", false),
            ("PUT / HTTP/1.1\r\ncontent-length: \r\n", false),
            (
                "PUT / HTTP/1.1\r\nx-content-length: 99999999999999999999999\r\n",
                false,
            ),
            (
                "PUT / HTTP/1.1\r\ncontent-lengths: 99999999999999999999999\r\n",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(has_boundless_body(head.as_bytes()), is_boundless, "{head}");
        }
    }
}
