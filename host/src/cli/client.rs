//! A client of the admin API.

use std::{io::Read, time::Duration};

use http::{Method, Request, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Error, output::plain};
use crate::admin::Tokens;

/// Until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);

/// Until an answer begins, which takes the server 30 seconds at most.
const ANSWER: Duration = Duration::from_secs(40);

/// Bytes of an answer that is read as a whole: a page of the largest rows there may be.
const MAX_ANSWER: u64 = 2 << 30;

/// A text as a part of a path or of a parameter.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Talks to one server.
pub(super) struct Client {
    agent: ureq::Agent,
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
    pub(super) fn new(server: &str, tokens: &Tokens) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // The token is for this server alone.
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .build();
        Self {
            agent: config.new_agent(),
            server: server.to_owned(),
            authorization: tokens.header(),
        }
    }

    /// Sends a request. What comes back was done.
    fn send(&self, call: Call<'_>) -> Result<ureq::Body, Error> {
        let unreachable = |source| Error::Unreachable {
            server: self.server.clone(),
            source,
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
                request.and_then(|request| self.agent.run(request))
            }
            None => {
                let request = request.body(()).map_err(ureq::Error::Http);
                request.and_then(|request| self.agent.run(request))
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
        let text = answer.into_body().read_to_string().unwrap_or_default();
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => Error::Refused(problem.line()),
            Err(_) => Error::Foreign {
                server: self.server.clone(),
                status,
            },
        }
    }

    /// The whole answer.
    pub(super) fn ask(&self, call: Call<'_>) -> Result<String, Error> {
        let mut body = self.send(call)?;
        let config = body.with_config().limit(MAX_ANSWER);
        let text = config.read_to_string();
        text.map_err(|error| Error::BrokenOff(error.into_io()))
    }

    /// The answer, to be read as it comes.
    pub(super) fn stream(&self, path: String) -> Result<impl Read + use<>, Error> {
        let call = Call {
            path,
            ..Call::default()
        };
        Ok(self.send(call)?.into_reader())
    }

    /// The items of all pages of an answer, as they were told. `list` is the member that has
    /// them.
    pub(super) fn pages(&self, path: &str, list: &str) -> Result<Vec<Box<RawValue>>, Error> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            // A cursor says all that was asked but for the tenant, or goes with it.
            let path = match &cursor {
                None => path.to_owned(),
                Some(cursor) => next(path, cursor),
            };
            let text = self.ask(Call {
                path,
                ..Call::default()
            })?;
            let foreign = |_| Error::Foreign {
                server: self.server.clone(),
                status: 200,
            };
            let mut page: std::collections::BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(&text).map_err(foreign)?;
            let page_items = page.remove(list);
            let page_items = page_items.as_ref().map_or("null", |items| items.get());
            let page_items: Vec<Box<RawValue>> =
                serde_json::from_str(page_items).map_err(foreign)?;
            items.extend(page_items);
            let Some(next) = page.remove("next") else {
                return Ok(items);
            };
            cursor = Some(serde_json::from_str(next.get()).map_err(foreign)?);
        }
    }
}

/// The address of the next page: usage's cursor stands for the span and step asked for.
fn next(path: &str, cursor: &str) -> String {
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
        plain(&line)
    }
}
