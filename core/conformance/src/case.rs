//! A recorded case: the request to send, and what is known about its answer.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::{Outcome, Runner};

/// Every recorded case.
///
/// # Panics
/// Where the data does not have the form that it is known to have.
pub fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let text = include_str!("../../tests/contract/vectors.json");
        serde_json::from_str(text).expect("vectors.json is a list of cases")
    })
}

/// One recorded exchange.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Says what it is about.
    pub name: String,
    /// The kind of thing that it is about.
    #[serde(rename = "class")]
    pub kind: String,
    request: Request,
    /// Sessions that must be open; the suite opens one for each tenant.
    #[serde(rename = "setup")]
    _setup: Vec<String>,
    pub(crate) response: Response,
    pub(crate) parity: Parity,
    /// What is wanted instead, where the reference misbehaves.
    pub expect: Option<Deviation>,
    #[serde(rename = "reference_bug")]
    _reference_bug: Option<serde_json::Value>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

/// What of the recorded answer holds for ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Parity {
    /// Status, content-type, allow and body.
    Exact,
    /// The same, with a relative location.
    Location,
    /// Status and content-type.
    Page,
    /// Any answer below 500: it is about the strictness of an HTTP parser.
    Parser,
    /// Nothing: see [`Case::expect`].
    Differs,
}

/// What we answer where the reference misbehaves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    status: OneOrMore,
    /// The `allow` header.
    pub allow: Option<String>,
    /// Why.
    pub why: String,
    #[serde(rename = "or")]
    _or: Option<String>,
    /// The number of the deviation in docs/http.md.
    #[serde(rename = "deviation")]
    pub number: u32,
    /// The body, with placeholders.
    pub body: String,
}

impl Deviation {
    pub(crate) fn allows(&self, status: u16) -> bool {
        match &self.status {
            OneOrMore::One(one) => *one == status,
            OneOrMore::More(more) => more.contains(&status),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u16),
    More(Vec<u16>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_b64: Option<String>,
    body_gen: Option<Vec<(String, usize)>>,
    raw_b64: Option<String>,
    raw_gen: Option<Vec<(String, usize)>>,
    mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) continue_100: bool,
}

/// A request as a runner gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// A message, in any way that the runner has of sending it.
    Message(Exchange),
    /// A message whose body goes over a socket in this way.
    Framed(Exchange, Framing),
    /// The bytes of a whole request, good or bad.
    Raw(Vec<u8>),
}

/// How a body goes over a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// In chunks of this many bytes.
    Chunks(usize),
    /// After `100 Continue` was waited for.
    ExpectContinue,
}

/// A request message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// Path and query, as they are sent.
    pub target: String,
    /// Headers as they are sent, without those that frame the body.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
}

impl Exchange {
    /// A POST of a JSON text.
    #[must_use]
    pub fn post(target: &str, json: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: vec![("Content-Type".to_owned(), b"application/json".to_vec())],
            body: Some(json.into()),
        }
    }

    /// The first header of that name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}

impl Case {
    /// The request, with placeholders where session ids belong.
    ///
    /// # Panics
    /// Where the data has a form that this suite does not know.
    #[must_use]
    pub fn request(&self) -> Wire {
        self.wire(&Sessions { ids: Vec::new() })
    }

    /// The request, with the ids of `sessions` put in.
    ///
    /// # Panics
    /// Where the data has a form that this suite does not know.
    pub(crate) fn wire(&self, sessions: &Sessions) -> Wire {
        let request = &self.request;
        if let Some(raw) = &request.raw_b64 {
            return Wire::Raw(sessions.put_in(&base64(raw)));
        }
        if let Some(raw) = &request.raw_gen {
            return Wire::Raw(generated(raw, latin1));
        }
        let body = match (&request.body, &request.body_b64, &request.body_gen) {
            (Some(text), None, None) => Some(text.clone().into_bytes()),
            (None, Some(encoded), None) => Some(base64(encoded)),
            (None, None, Some(parts)) => Some(generated(parts, |text| text.into())),
            (None, None, None) => None,
            _ => panic!("{}: more than one body", self.name),
        };
        let exchange = Exchange {
            method: request.method.clone(),
            target: request.path.clone(),
            headers: request
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), latin1(value)))
                .collect(),
            body: body.map(|body| sessions.put_in(&body)),
        };
        let framing = match request.mode.as_deref() {
            None => return Wire::Message(exchange),
            Some("expect") => Framing::ExpectContinue,
            Some(mode) => match mode.strip_prefix("chunk").map(str::parse) {
                Some(Ok(bytes)) => Framing::Chunks(bytes),
                _ => panic!("{}: unknown mode {mode}", self.name),
            },
        };
        Wire::Framed(exchange, framing)
    }
}

fn base64(text: &str) -> Vec<u8> {
    let decoded = data_encoding::BASE64.decode(text.as_bytes());
    decoded.expect("the data holds base64")
}

fn latin1(text: &str) -> Vec<u8> {
    let bytes = text.chars().map(|c| u8::try_from(u32::from(c)));
    bytes
        .collect::<Result<_, _>>()
        .expect("the data holds Latin-1")
}

fn generated(parts: &[(String, usize)], encode: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let parts = parts
        .iter()
        .flat_map(|(text, count)| encode(text).repeat(*count));
    parts.collect()
}

/// The sessions that the cases talk about, one for each tenant.
pub(crate) struct Sessions {
    /// Placeholders, and the ids that stand for them.
    ids: Vec<(String, String)>,
}

impl Sessions {
    pub(crate) fn open(runner: &mut dyn Runner) -> Result<Self, String> {
        let mut ids = Vec::new();
        for tenant in ["acme", "globex", "initech"] {
            let body = format!(r#"{{"tenant_id":"{tenant}"}}"#);
            let outcome = runner.send(&Wire::Message(Exchange::post("/session", body)));
            let Outcome::Reply(reply) = outcome else {
                return Err(format!("no session for {tenant}: {outcome:?}"));
            };
            let id = serde_json::from_slice::<serde_json::Value>(&reply.body)
                .ok()
                .and_then(|body| Some(body["session_id"].as_str()?.to_owned()))
                .ok_or_else(|| format!("no session for {tenant}: {}", reply.text()))?;
            let variants = [
                ("", id.clone()),
                ("|upper", id.to_uppercase()),
                ("|nodash", id.replace('-', "")),
                ("|cut", id[..id.len() - 1].to_owned()),
            ];
            for (variant, text) in variants {
                ids.push((format!("{{{{sid:{tenant}{variant}}}}}"), text));
            }
        }
        Ok(Self { ids })
    }

    pub(crate) fn put_in(&self, text: &[u8]) -> Vec<u8> {
        if !text.windows(2).any(|two| two == b"{{") {
            return text.to_vec();
        }
        // Bodies with placeholders may be no UTF-8; the placeholders are ASCII.
        let mut text: String = text.iter().map(|&byte| char::from(byte)).collect();
        for (placeholder, id) in &self.ids {
            text = text.replace(placeholder, id);
        }
        latin1(&text)
    }
}
