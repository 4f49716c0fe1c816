//! The contract's outline once more, as simply as can be: lists that are searched from
//! end to end. Random calls go to a runner and to the model, which must agree.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Exchange, Reply};

/// Something that a client does, or time that passes.
#[derive(Debug, Clone)]
pub enum Call {
    /// POST /session.
    Open {
        /// The tenant's id.
        tenant: &'static str,
    },
    /// POST /chat.
    Chat {
        /// The tenant's id.
        tenant: &'static str,
        /// The session's id.
        session: Session,
        /// What is said.
        message: String,
    },
    /// Nothing, for this long.
    Wait(Duration),
}

/// Which session id a chat gives.
#[derive(Debug, Clone)]
pub enum Session {
    /// That of the nth session that was opened, counted round and round.
    Opened(usize),
    /// A text that is no session's id.
    Text(String),
}

/// How long a session lives in a service that is given random calls by several runners.
pub const TTL: Duration = Duration::from_secs(60);

/// How many sessions a tenant may have there.
pub const MAX_SESSIONS: u32 = 3;

/// How long may pass there between calls: around the limit's window, and the lifetime.
pub const WAITS: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_millis(3_333),
    Duration::from_secs(10),
    Duration::from_millis(60_001),
    Duration::from_secs(70),
];

/// Tenant ids that calls give; the last ones are unknown.
const TENANT_IDS: [&str; 6] = ["acme", "globex", "initech", "ACME", " acme", ""];

impl Call {
    /// Random calls, up to `max` of them. `waits` are the times that may pass.
    pub fn some(max: usize, waits: &'static [Duration]) -> impl Strategy<Value = Vec<Self>> {
        let tenant = || {
            prop_oneof![
                9 => prop::sample::select(&TENANT_IDS[..3]),
                1 => prop::sample::select(&TENANT_IDS[3..]),
            ]
        };
        let text = prop_oneof![
            Just(String::new()),
            Just("b1946ac9-2492-4d23-8c6b-6f3d1d9f7a10".to_owned()),
            ".{0,40}",
        ];
        let session = prop_oneof![
            12 => any::<usize>().prop_map(Session::Opened),
            1 => text.prop_map(Session::Text),
        ];
        let message = prop_oneof!["[a-c \u{e9}\u{df}]{0,5}", any::<String>()];
        let open = tenant().prop_map(|tenant| Self::Open { tenant });
        let chat = (tenant(), session, message).prop_map(|(tenant, session, message)| Self::Chat {
            tenant,
            session,
            message,
        });
        let call = if waits.is_empty() {
            prop_oneof![1 => open, 4 => chat].boxed()
        } else {
            let wait = prop::sample::select(waits).prop_map(Self::Wait);
            prop_oneof![3 => open, 12 => chat, 3 => wait].boxed()
        };
        prop::collection::vec(call, 1..=max)
    }

    /// The tenant id that it gives; none of a wait.
    #[must_use]
    pub fn tenant(&self) -> Option<&'static str> {
        match self {
            Self::Open { tenant } | Self::Chat { tenant, .. } => Some(tenant),
            Self::Wait(_) => None,
        }
    }
}

/// What the model knows of the world.
#[derive(Debug, Clone)]
pub struct Model {
    limits: bool,
    ttl: Duration,
    max_sessions: usize,
    now: Duration,
    sessions: Vec<Opened>,
    /// Every chat that was answered: whose, and when.
    chats: Vec<(&'static str, Duration)>,
}

#[derive(Debug, Clone)]
struct Opened {
    id: String,
    tenant: &'static str,
    /// When it was last used; `None` once it has ended.
    used: Option<Duration>,
}

/// An answer that the model allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The status.
    pub status: u16,
    /// The body; a session id in it is `null`.
    pub body: Value,
}

impl Model {
    /// A world of the three recorded tenants. A `ttl` of zero is for ever.
    #[must_use]
    pub fn new(limits: bool, ttl: Duration, max_sessions: usize) -> Self {
        Self {
            limits,
            ttl,
            max_sessions,
            now: Duration::ZERO,
            sessions: Vec::new(),
            chats: Vec::new(),
        }
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// The request that a call is; none of a wait.
    #[must_use]
    pub fn request(&self, call: &Call) -> Option<Exchange> {
        match call {
            Call::Wait(_) => None,
            Call::Open { tenant } => {
                let body = json!({ "tenant_id": tenant });
                Some(Exchange::post("/session", body.to_string()))
            }
            Call::Chat {
                tenant,
                session,
                message,
            } => {
                let body = json!({
                    "tenant_id": tenant,
                    "session_id": self.session_id(session),
                    "message": message,
                });
                Some(Exchange::post("/chat", body.to_string()))
            }
        }
    }

    fn session_id<'a>(&'a self, session: &'a Session) -> &'a str {
        match session {
            Session::Opened(n) => match self.sessions.len() {
                0 => "none yet",
                len => &self.sessions[n % len].id,
            },
            Session::Text(text) => text,
        }
    }

    /// Checks the answer to a call, and learns from it.
    ///
    /// # Errors
    /// Says which answers are allowed.
    pub fn check(&mut self, call: &Call, reply: &Reply) -> Result<(), String> {
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let mut session_id = Value::Null;
        if let Some(id) = body.get_mut("session_id") {
            session_id = id.take();
        }
        let found = Expected {
            status: reply.status,
            body,
        };
        let expected = self.expected(call);
        if !expected.contains(&found) {
            return Err(format!(
                "{call:?}: {found:?} instead of one of {expected:?}"
            ));
        }
        self.learn(call, reply.status, session_id.as_str().unwrap_or_default())
    }

    fn learn(&mut self, call: &Call, status: u16, answered_id: &str) -> Result<(), String> {
        let now = self.now;
        match call {
            Call::Open { tenant } if status == 200 => {
                if self
                    .sessions
                    .iter()
                    .any(|session| session.id == answered_id)
                {
                    return Err("a session id was given out twice".to_owned());
                }
                self.sessions.push(Opened {
                    id: answered_id.to_owned(),
                    tenant,
                    used: Some(now),
                });
            }
            Call::Chat {
                tenant, session, ..
            } => {
                let id = self.session_id(session).to_owned();
                if status == 200 {
                    if id != answered_id {
                        return Err("the answer is for another session".to_owned());
                    }
                    self.chats.push((tenant, now));
                }
                let session = self.sessions.iter_mut().find(|session| session.id == id);
                if let Some(session) = session {
                    match status {
                        // Asking is a use, even where the limit is spent.
                        200 | 429 => session.used = Some(now),
                        404 if row(tenant).is_some() => session.used = None,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The answers that are allowed now. More than one where a session's end is near: it
    /// comes between one lifetime and one 256th more.
    fn expected(&self, call: &Call) -> Vec<Expected> {
        match call {
            Call::Wait(_) => Vec::new(),
            Call::Open { tenant } => {
                let Some((name, welcome, ..)) = row(tenant) else {
                    return vec![error(404, "Unknown tenant_id")];
                };
                let body = json!({
                    "session_id": null,
                    "tenant": { "id": tenant, "name": name, "welcome": welcome },
                });
                let (least, most) = self.live(tenant);
                let mut allowed = Vec::new();
                if !self.limits || least < self.max_sessions {
                    allowed.push(Expected { status: 200, body });
                }
                if self.limits && most >= self.max_sessions {
                    allowed.push(error(429, "Too many sessions"));
                }
                allowed
            }
            Call::Chat {
                tenant,
                session,
                message,
            } => {
                let Some((_, welcome, model, limit)) = row(tenant) else {
                    return vec![error(404, "Unknown tenant_id")];
                };
                let id = self.session_id(session);
                let unknown = error(404, "Unknown session_id");
                let Some(session) = self.sessions.iter().find(|session| session.id == id) else {
                    return vec![unknown];
                };
                let mut allowed = Vec::new();
                if self.may_have_ended(session) {
                    allowed.push(unknown);
                }
                if !self.may_live(session) {
                    return allowed;
                }
                if session.tenant != *tenant {
                    allowed.push(error(403, "Session does not belong to tenant"));
                    return allowed;
                }
                let recent = self
                    .chats
                    .iter()
                    .filter(|(by, at)| by == tenant && self.now - *at < Duration::from_secs(10));
                if self.limits && recent.count() >= limit {
                    allowed.push(error(429, "Rate limit exceeded"));
                } else {
                    allowed.push(Expected {
                        status: 200,
                        body: json!({
                            "tenant_id": tenant,
                            "session_id": null,
                            "reply": said(tenant, welcome, message),
                            "model": model,
                            "mock": true,
                        }),
                    });
                }
                allowed
            }
        }
    }

    fn may_live(&self, session: &Opened) -> bool {
        session.used.is_some_and(|used| {
            self.ttl.is_zero() || self.now - used <= self.ttl + self.ttl / 256 + TICK_SLACK
        })
    }

    fn may_have_ended(&self, session: &Opened) -> bool {
        session
            .used
            .is_none_or(|used| !self.ttl.is_zero() && self.now - used > self.ttl)
    }

    /// The least and the most live sessions that a tenant may have now.
    fn live(&self, tenant: &str) -> (usize, usize) {
        let own = || {
            self.sessions
                .iter()
                .filter(|session| session.tenant == tenant)
        };
        let least = own()
            .filter(|session| !self.may_have_ended(session))
            .count();
        (
            least,
            own().filter(|session| self.may_live(session)).count(),
        )
    }
}

/// A tick is a whole number of nanoseconds.
const TICK_SLACK: Duration = Duration::from_nanos(256);

fn error(status: u16, detail: &str) -> Expected {
    Expected {
        status,
        body: json!({ "detail": detail }),
    }
}

/// Name, welcome, model and limit of a known tenant.
fn row(tenant: &str) -> Option<(&'static str, &'static str, &'static str, usize)> {
    match tenant {
        "acme" => Some(("Acme Corp", "Howdy from Acme!", "mock-1", 8)),
        "globex" => Some(("Globex Inc.", "Welcome from Globex.", "mock-2", 4)),
        "initech" => Some(("Initech", "Initech says hi.", "mock-3", 6)),
        _ => None,
    }
}

fn said(tenant: &str, welcome: &str, message: &str) -> String {
    let is_blank = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    let message = message.trim_matches(is_blank);
    match tenant {
        "acme" => {
            let backwards: String = message.chars().rev().collect();
            format!(
                "{welcome} [ACME MOCK] You said: '{message}'. Here's it reversed: '{backwards}'"
            )
        }
        "globex" => format!("{welcome} [GLOBEX MOCK] Echo: {}", message.to_uppercase()),
        _ => format!("{welcome} [INITECH MOCK] Got it. '{message}'. (pretend-smart summary)."),
    }
}
