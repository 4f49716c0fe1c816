//! An HTTP/1.1 client that sends what it is told to, right or wrong, and reads answers.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use tenantry_conformance::{Exchange, Framing, Outcome, Reply, Runner, Wire};

/// What an answer may take before a test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection to a server.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What came and was not read as an answer yet.
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket with a timeout");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends bytes as they are. A server that has closed already is no error here.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Sends a request with its length.
    pub(crate) fn send_exchange(&mut self, exchange: &Exchange) {
        self.send(message(exchange));
    }

    /// Says that no more will be sent.
    pub(crate) fn finish_sending(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The socket itself.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The next answer to a request that was not a HEAD.
    ///
    /// # Errors
    /// Says what came instead of one.
    pub(crate) fn reply(&mut self) -> Result<Reply, String> {
        self.read_reply(false)
    }

    /// The next answer to a HEAD.
    pub(crate) fn head_reply(&mut self) -> Result<Reply, String> {
        self.read_reply(true)
    }

    /// Sends a request and reads its answer.
    pub(crate) fn exchange(&mut self, exchange: &Exchange) -> Result<Reply, String> {
        self.send_exchange(exchange);
        self.read_reply(exchange.method == "HEAD")
    }

    fn read_reply(&mut self, is_to_head: bool) -> Result<Reply, String> {
        let mut continued = false;
        loop {
            let (status, headers) = self.head()?;
            if status == 100 {
                continued = true;
                continue;
            }
            let length = headers
                .iter()
                .find(|(name, _)| name == "content-length")
                .and_then(|(_, length)| length.parse().ok());
            // Answers of these kinds end with their head.
            let length = match status {
                204 | 304 => 0,
                _ => length.ok_or("an answer without content-length")?,
            };
            let body = if is_to_head {
                Vec::new()
            } else {
                self.take(length)?
            };
            return Ok(Reply {
                status,
                headers,
                body,
                continued,
            });
        }
    }

    /// Status and headers of the next answer.
    fn head(&mut self) -> Result<(u16, Vec<(String, String)>), String> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut headers);
            match head.parse(&self.buffer) {
                Ok(httparse::Status::Complete(end)) => {
                    let status = head.code.ok_or("an answer without status")?;
                    let headers = head.headers.iter().map(|header| {
                        let value = String::from_utf8_lossy(header.value).into_owned();
                        (header.name.to_ascii_lowercase(), value)
                    });
                    let headers = headers.collect();
                    self.buffer.drain(..end);
                    return Ok((status, headers));
                }
                Ok(httparse::Status::Partial) => self.fill()?,
                Err(error) => return Err(format!("no HTTP: {error}")),
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill(&mut self) -> Result<(), String> {
        let mut bytes = [0; 16 << 10];
        match self.read(&mut bytes) {
            Ok(0) => Err("the connection was closed".to_owned()),
            Ok(read) => {
                self.buffer.extend_from_slice(&bytes[..read]);
                Ok(())
            }
            Err(error) => Err(format!("the connection broke: {error}")),
        }
    }

    /// Reads what has come. A signal to the process, such as that a child has ended,
    /// interrupts a read that has a timeout; it is no news of the connection.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Everything that comes until the server closes the connection.
    ///
    /// # Errors
    /// It does not close it, but stays silent.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>, String> {
        let mut rest = std::mem::take(&mut self.buffer);
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => Ok(rest),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(rest),
            Err(error) => Err(format!("the connection was not closed: {error}")),
        }
    }

    /// Sends bytes, all of which the server must take, or at least discard.
    pub(crate) fn send_all(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref());
        sent.expect("the server takes what is sent");
    }

    /// Waits until the server closes the connection; whether it closed its side and did
    /// not reset it, which may cost a client the last answer.
    pub(crate) fn is_closed_gently(&mut self) -> bool {
        self.buffer.is_empty() && matches!(self.read(&mut [0]), Ok(0))
    }

    /// Waits until the server closes the connection; whether it did, without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        self.buffer.is_empty()
            && match self.read(&mut byte) {
                Ok(read) => read == 0,
                Err(error) => error.kind() == ErrorKind::ConnectionReset,
            }
    }
}

/// A request as bytes, with its length.
pub(crate) fn message(exchange: &Exchange) -> Vec<u8> {
    let body = exchange.body.as_deref();
    let mut bytes = head(exchange);
    if let Some(body) = body {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// Line and headers of a request, without the blank line at their end.
fn head(exchange: &Exchange) -> Vec<u8> {
    let Exchange { method, target, .. } = exchange;
    let mut bytes = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    let names_host = exchange.header("host").is_some();
    if !names_host {
        bytes.extend_from_slice(b"host: localhost\r\n");
    }
    for (name, value) in &exchange.headers {
        bytes.extend_from_slice(format!("{name}: ").as_bytes());
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A GET.
pub(crate) fn get(target: &str) -> Exchange {
    Exchange {
        method: "GET".to_owned(),
        target: target.to_owned(),
        ..Exchange::default()
    }
}

/// A request with a further header.
pub(crate) fn with_header(mut exchange: Exchange, name: &str, value: &str) -> Exchange {
    let header = (name.to_owned(), value.as_bytes().to_vec());
    exchange.headers.push(header);
    exchange
}

/// All that is answered to one request, byte for byte, but for the date.
pub(crate) fn ask_raw(address: SocketAddr, exchange: &Exchange) -> String {
    let mut connection = Connection::open(address);
    connection.send_exchange(&with_header(exchange.clone(), "connection", "close"));
    let answer = connection.rest().expect("an answer, and its end");
    let answer = String::from_utf8_lossy(&answer);
    let lines = answer.split_inclusive('\n');
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

/// The same without the request's id: what is answered to a like request again.
pub(crate) fn ask_alike(address: SocketAddr, exchange: &Exchange) -> String {
    let answer = ask_raw(address, exchange);
    let lines = answer.split_inclusive('\n');
    let is_id = |line: &&str| line.starts_with("x-request-id: ");
    lines.filter(|line| !is_id(line)).collect()
}

/// Sends one request over a connection of its own.
pub(crate) fn ask(address: SocketAddr, exchange: &Exchange) -> Reply {
    let reply = Connection::open(address).exchange(exchange);
    reply.unwrap_or_else(|error| panic!("{} {}: {error}", exchange.method, exchange.target))
}

/// Opens a session and returns its id.
pub(crate) fn open_session(address: SocketAddr, tenant: &str) -> String {
    let body = serde_json::json!({ "tenant_id": tenant }).to_string();
    session_id(&ask(address, &Exchange::post("/session", body)))
}

/// The session id in an answer.
pub(crate) fn session_id(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    let id = body["session_id"].as_str().expect("a session id");
    id.to_owned()
}

/// A POST /chat.
pub(crate) fn chat(tenant: &str, session: &str, message: &str) -> Exchange {
    let body = serde_json::json!({
        "tenant_id": tenant, "session_id": session, "message": message,
    });
    Exchange::post("/chat", body.to_string())
}

/// The recorded contract's client: a connection for each request.
pub(crate) struct Sockets(pub(crate) SocketAddr);

impl Runner for Sockets {
    fn send(&mut self, wire: &Wire) -> Outcome {
        let mut connection = Connection::open(self.0);
        let reply = match wire {
            Wire::Message(exchange) => connection.exchange(exchange),
            Wire::Framed(exchange, Framing::Chunks(size)) => {
                connection.send(chunked(exchange, *size));
                connection.reply()
            }
            Wire::Framed(exchange, Framing::ExpectContinue) => {
                expect_continue(&mut connection, exchange)
            }
            Wire::Raw(bytes) => {
                connection.send(bytes);
                connection.finish_sending();
                if bytes.starts_with(b"HEAD ") {
                    connection.head_reply()
                } else {
                    connection.reply()
                }
            }
        };
        match reply {
            Ok(reply) => Outcome::Reply(reply),
            Err(error) => Outcome::Broken(error),
        }
    }
}

/// A request whose body comes in chunks of `size` bytes.
fn chunked(exchange: &Exchange, size: usize) -> Vec<u8> {
    let mut bytes = head(exchange);
    bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    for chunk in exchange.body.as_deref().unwrap_or_default().chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// Sends the body only once the server has asked for it, or after a moment without a word.
fn expect_continue(connection: &mut Connection, exchange: &Exchange) -> Result<Reply, String> {
    let mut exchange = exchange.clone();
    if exchange.header("expect").is_none() {
        let expect = ("expect".to_owned(), b"100-continue".to_vec());
        exchange.headers.push(expect);
    }
    let bytes = message(&exchange);
    let body = exchange.body.as_deref().unwrap_or_default();
    let (head, body) = bytes.split_at(bytes.len() - body.len());
    connection.send(head);
    let (status, headers) = connection.head()?;
    if status != 100 {
        // Answered without the body, which is not sent then.
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, length)| length.parse().ok());
        return Ok(Reply {
            status,
            headers,
            body: connection.take(length.unwrap_or(0))?,
            continued: false,
        });
    }
    connection.send(body);
    let reply = connection.read_reply(exchange.method == "HEAD")?;
    Ok(Reply {
        continued: true,
        ..reply
    })
}
