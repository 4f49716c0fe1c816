//! A client of the admin API.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    time::{Duration, Instant},
};

use http::{Method, Request, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Error, Output, progress::Progress};
use crate::{admin::Tokens, terminal::escaped};

/// Until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes of an answer that is read as a whole: a page of the largest rows there may be, each
/// twice in a record of the audit.
const MAX_ANSWER: u64 = 256 << 20;

/// Bytes of the body of a refusal that are read, and of what it says that are shown.
const MAX_REFUSAL: u64 = 1 << 20;
const MAX_LINE: usize = 8 << 10;

/// Items of a page: of what may be large, and of what is small.
pub(super) const LARGE_ITEMS: usize = 100;
pub(super) const SMALL_ITEMS: usize = 1000;

/// Pages of a list, at most.
const MAX_PAGES: usize = 100_000;

/// Bytes of all pages of a list, at most: of one that is kept until it is whole, and of one
/// that is printed as it comes.
const MAX_KEPT: u64 = 512 << 20;
const MAX_PRINTED: u64 = 16 << 30;

/// How many times as long as an answer a whole list may take.
const LIST_TIMES: u32 = 60;

/// Bytes of a cursor, at most.
const MAX_CURSOR: usize = 4 << 10;

/// Bytes that come within the time of an answer, at least, where an answer has no other end.
const MIN_BYTES: usize = 64 << 10;

/// A text as a part of a path or of a parameter.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Talks to one server.
pub(super) struct Client {
    agent: ureq::Agent,
    /// For an answer that may be of any length.
    streaming: ureq::Agent,
    timeout: Duration,
    server: String,
    authorization: String,
}

/// A request without what every request has.
#[derive(Default)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    /// `if-match` or `if-none-match`, and its value.
    pub(super) condition: Option<(header::HeaderName, String)>,
    /// A body, and its content type.
    pub(super) body: Option<(&'a str, &'static str)>,
}

impl Client {
    /// A client that gives each answer this time.
    pub(super) fn new(server: &str, tokens: &Tokens, timeout: Duration) -> Self {
        let config = || {
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                // The token is for this server alone.
                .proxy(None)
                .timeout_connect(Some(CONNECT.min(timeout)))
        };
        let whole = config().timeout_global(Some(timeout)).build();
        let streaming = config()
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout))
            .build();
        Self {
            agent: whole.new_agent(),
            streaming: streaming.new_agent(),
            timeout,
            server: server.to_owned(),
            authorization: tokens.header(),
        }
    }

    fn too_slow(&self) -> Error {
        Error::TooSlow {
            server: self.server.clone(),
            timeout: self.timeout,
        }
    }

    fn foreign(&self, status: u16) -> Error {
        Error::Foreign {
            server: self.server.clone(),
            status,
        }
    }

    /// Why an answer could not be read to its end.
    fn broken_off(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => self.too_slow(),
            _ => Error::BrokenOff(error),
        }
    }

    /// Sends a request. What comes back was done.
    fn send(&self, agent: &ureq::Agent, call: Call<'_>) -> Result<ureq::Body, Error> {
        let unreachable = |source| match source {
            ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
                Error::Unreachable {
                    server: self.server.clone(),
                    source,
                }
            }
            ureq::Error::Timeout(_) => self.too_slow(),
            source => Error::Unreachable {
                server: self.server.clone(),
                source,
            },
        };
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.server, call.path))
            .header(header::AUTHORIZATION, &self.authorization);
        if let Some((name, value)) = call.condition {
            request = request.header(name, value);
        }
        let answer = match call.body {
            Some((body, content_type)) => {
                let request = request.header(header::CONTENT_TYPE, content_type);
                let request = request.body(body).map_err(ureq::Error::Http);
                request.and_then(|request| agent.run(request))
            }
            None => {
                let request = request.body(()).map_err(ureq::Error::Http);
                request.and_then(|request| agent.run(request))
            }
        };
        let answer = answer.map_err(unreachable)?;
        if answer.status().is_success() {
            Ok(answer.into_body())
        } else {
            Err(self.refusal(answer))
        }
    }

    fn refusal(&self, answer: http::Response<ureq::Body>) -> Error {
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        let text = body.with_config().limit(MAX_REFUSAL).read_to_string();
        match serde_json::from_str::<Problem>(&text.unwrap_or_default()) {
            Ok(problem) => Error::Refused(problem.line()),
            Err(_) => self.foreign(status),
        }
    }

    /// The whole answer.
    pub(super) fn ask(&self, call: Call<'_>) -> Result<String, Error> {
        let mut body = self.send(&self.agent, call)?;
        let too_large = || Error::TooLarge {
            server: self.server.clone(),
            max: MAX_ANSWER,
        };
        if body
            .content_length()
            .is_some_and(|length| length > MAX_ANSWER)
        {
            return Err(too_large());
        }
        let config = body.with_config().limit(MAX_ANSWER);
        let text = config.read_to_string();
        text.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => too_large(),
            ureq::Error::Timeout(_) => self.too_slow(),
            error => self.broken_off(error.into_io()),
        })
    }

    /// The answer in JSON.
    pub(super) fn ask_json(&self, call: Call<'_>) -> Result<Box<RawValue>, Error> {
        let text = self.ask(call)?;
        RawValue::from_string(text).map_err(|_| self.foreign(200))
    }

    /// Hands an answer to `take`, a piece at a time, as it comes. It may be of any length, and
    /// must keep coming.
    pub(super) fn stream(
        &self,
        path: String,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let call = Call {
            path,
            ..Call::default()
        };
        let mut answer = self.send(&self.streaming, call)?.into_reader();
        let mut bytes = [0; 16 << 10];
        let mut progress = Progress::of_terminal(Output::Csv);
        let (mut since, mut come) = (Instant::now(), 0);
        loop {
            let read = match answer.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken_off(error)),
            };
            let piece = bytes.get(..read).unwrap_or_default();
            take(piece)?;
            progress.came(piece.iter().filter(|byte| **byte == b'\n').count(), read);
            come += read;
            if come >= MIN_BYTES {
                (since, come) = (Instant::now(), 0);
            } else if since.elapsed() > self.timeout {
                return Err(self.too_slow());
            }
        }
    }

    /// Hands the items of all pages of an answer to `take`, page by page, as the server sends them.
    /// `list` is the member that has them. A table is made once all of them are there.
    pub(super) fn pages(
        &self,
        path: &str,
        list: &str,
        output: Output,
        mut take: impl FnMut(Vec<Box<RawValue>>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let max_bytes = match output {
            Output::Table => MAX_KEPT,
            Output::Json | Output::Csv => MAX_PRINTED,
        };
        let endless = |what| Error::Endless {
            server: self.server.clone(),
            what,
        };
        let mut progress = Progress::of_terminal(output);
        let mut cursors = BTreeSet::new();
        let mut bytes = 0;
        // A cursor says all that was asked but for the tenant, or goes with it.
        let mut this = path.to_owned();
        loop {
            let text = self.ask(Call {
                path: this,
                ..Call::default()
            })?;
            bytes += text.len() as u64;
            let foreign = |_| self.foreign(200);
            let mut page: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(&text).map_err(foreign)?;
            let items = page.remove(list);
            let items = items.as_ref().map_or("null", |items| items.get());
            let items: Vec<Box<RawValue>> = serde_json::from_str(items).map_err(foreign)?;
            progress.came(items.len(), text.len());
            let is_empty = items.is_empty();
            let next = page.remove("next");
            let next = next.map(|next| serde_json::from_str::<String>(next.get()));
            let next = next.transpose().map_err(foreign)?;
            take(items)?;
            let Some(next) = next else {
                return Ok(());
            };
            // All that an admin API makes cursors of. It cannot lead elsewhere.
            let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if next.is_empty() || next.len() > MAX_CURSOR || !next.bytes().all(is_sign) {
                return Err(endless("its next page has no cursor of an admin API"));
            }
            if is_empty {
                return Err(endless("a page has nothing but a next one"));
            }
            if bytes > max_bytes {
                return Err(match output {
                    Output::Table => endless("it is too long for a table; use --output json"),
                    Output::Json | Output::Csv => endless("it has more than 16 GiB"),
                });
            }
            this = next_path(path, &next);
            if !cursors.insert(next) {
                return Err(endless("a page comes again"));
            }
            if cursors.len() >= MAX_PAGES {
                return Err(endless("it has more than 100,000 pages"));
            }
            if start.elapsed() > self.timeout.saturating_mul(LIST_TIMES) {
                return Err(self.too_slow());
            }
        }
    }
}

/// The address of the next page: usage's cursor stands for the span and step asked for.
fn next_path(path: &str, cursor: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let kept = query.split('&').filter(|part| {
        let name = part.split('=').next().unwrap_or_default();
        !["", "from", "to", "step"].contains(&name)
    });
    let kept: String = kept.map(|part| format!("{part}&")).collect();
    format!("{path}?{kept}cursor={cursor}")
}

/// Problem details, as far as they are shown.
#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Issue>,
}

#[derive(Deserialize)]
struct Issue {
    member: Option<String>,
    parameter: Option<String>,
    detail: String,
}

impl Problem {
    fn line(&self) -> String {
        let mut line = format!("{}: {}", self.title, self.detail);
        for issue in &self.errors {
            line += "; ";
            if let Some(about) = issue.member.as_ref().or(issue.parameter.as_ref()) {
                line += about;
                line += ": ";
            }
            line += &issue.detail;
        }
        let line = escaped(&line);
        let end = line.floor_char_boundary(MAX_LINE);
        match line.get(end..) {
            None | Some("") => line.into_owned(),
            Some(_) => format!("{}...", line.get(..end).unwrap_or_default()),
        }
    }
}
