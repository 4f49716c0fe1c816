//! Closing a connection so that its client can read the last answer.
//!
//! A socket that is closed while bytes are unread, or before more of them come, resets the
//! connection, and a client that is still sending then may lose the answer.

use std::{future::poll_fn, pin::Pin, time::Duration};

use hyper::rt::{Read, ReadBuf, Write};

use super::timed::{TimedStream, Unread};

/// What is read of a request that nobody wants, and for how long.
pub(super) const DISCARD_BYTES: usize = 8 << 20;
pub(super) const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Closes a connection. Where more is to come (`is_expecting`), or has come already, reads
/// and forgets it for a while.
pub(super) async fn close(mut stream: TimedStream, is_expecting: bool) {
    match stream.unread() {
        Unread::Bytes => {}
        Unread::Nothing if is_expecting => {}
        Unread::Nothing | Unread::End => return,
    }
    let discard = async {
        // Says that no more is answered. hyper has said so, but after requests to upgrade.
        if poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx))
            .await
            .is_err()
        {
            return;
        }
        let mut left = DISCARD_BYTES;
        let mut bytes = vec![0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, buffer.unfilled()));
            if read.await.is_err() {
                return;
            }
            let read = buffer.filled().len();
            if read == 0 || read > left {
                return;
            }
            left -= read;
        }
    };
    // However it ends, the socket is closed after it.
    let _ = tokio::time::timeout(DISCARD_TIME, discard).await;
}
