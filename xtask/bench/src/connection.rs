//! Connections of this program itself: those that have to wait, and one whose requests have to
//! come one by one.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A connection that stays open.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens, or the system does not give a socket.
    pub(crate) fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// There is none, or it is no success.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<()> {
        self.0.write_all(request)?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while !is_whole(&answer)? {
            let read = self.0.read(&mut part)?;
            ensure!(read > 0, "the server has closed the connection");
            answer.extend_from_slice(&part[..read]);
        }
        let text = || String::from_utf8_lossy(&answer).into_owned();
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", text());
        Ok(())
    }
}

/// Whether these are all bytes of an answer that has a length.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length
        .and_then(|length| length.trim().parse().ok())
        .with_context(|| format!("an answer without a length: {head}"))?;
    Ok(answer.len() >= end + 4 + length)
}

/// Files that are open besides connections.
const OTHER_FILES: u64 = 64;

/// Makes sure that this program may have as many connections open.
///
/// # Errors
/// The system does not allow so many.
pub(crate) fn allow(connections: usize) -> Result<()> {
    let wanted = connections as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    // `None` is no limit.
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum.map(|maximum| maximum.max(wanted)),
    };
    setrlimit(Resource::Nofile, raised)
        .with_context(|| format!("{wanted} open files are not allowed (ulimit -n)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        for end in 0..answer.len() {
            assert!(!is_whole(&answer[..end]).expect("a length"), "{end}");
        }
        assert!(is_whole(answer).expect("a length"));
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
