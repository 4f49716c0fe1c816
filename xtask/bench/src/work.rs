//! What the servers are asked.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// A session that a server has opened.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) tenant: String,
    pub(crate) id: String,
}

/// Opens a session for each of these tenants.
///
/// # Errors
/// The server does not open one.
pub(crate) fn open_sessions(address: &str, tenants: &[usize]) -> Result<Vec<Session>> {
    let agent = ureq::Agent::new_with_defaults();
    let open = |tenant: &usize| {
        let tenant = format!("t{tenant}");
        let id = session_by(&agent, address, &tenant)?;
        Ok(Session { tenant, id })
    };
    tenants.iter().map(open).collect()
}

/// Opens a session for that tenant; returns its id.
///
/// # Errors
/// The server does not open one.
pub(crate) fn open_session_of(address: &str, tenant: &str) -> Result<String> {
    session_by(&ureq::Agent::new_with_defaults(), address, tenant)
}

fn session_by(agent: &ureq::Agent, address: &str, tenant: &str) -> Result<String> {
    let url = format!("http://{address}/session");
    let body = json!({ "tenant_id": tenant }).to_string();
    let request = agent.post(&url).header("content-type", "application/json");
    let mut answer = request.send(&body).with_context(|| url.clone())?;
    let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    let id = answer["session_id"].as_str();
    id.map(str::to_owned)
        .with_context(|| format!("{url}: {answer}"))
}

/// The body of an answer to one chat.
///
/// # Errors
/// There is none.
pub(crate) fn answer(address: &str, session: &Session) -> Result<String> {
    let mut answer = ureq::post(format!("http://{address}/chat"))
        .header("content-type", "application/json")
        .send(&chat_body(session, SHORT))?;
    Ok(answer.body_mut().read_to_string()?)
}

/// A message as in the tutorial.
pub(crate) const SHORT: &str = "hello from acme";

/// The body of a chat, in one line.
pub(crate) fn chat_body(session: &Session, message: &str) -> String {
    let Session { tenant, id } = session;
    json!({ "tenant_id": tenant, "session_id": id, "message": message }).to_string()
}

fn http(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = match method {
        "GET" => String::new(),
        _ => format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{length}\r\n{body}").into_bytes()
}

/// POST /chat
pub(crate) fn chat(session: &Session, message: &str) -> Vec<u8> {
    http("POST", "/chat", &chat_body(session, message))
}

/// POST /session
pub(crate) fn open(tenant: &str) -> Vec<u8> {
    let body = json!({ "tenant_id": tenant }).to_string();
    http("POST", "/session", &body)
}

/// GET /
pub(crate) fn list() -> Vec<u8> {
    http("GET", "/", "")
}

/// Eight chats, a session and a list.
pub(crate) fn mix(sessions: &[Session]) -> Vec<Vec<u8>> {
    let chats = sessions
        .iter()
        .cycle()
        .take(8)
        .map(|session| chat(session, SHORT));
    chats.chain([open("t0"), list()]).collect()
}

/// One of each: another tenant's session, an unknown one, a member missing, a limit spent.
pub(crate) fn refusals(sessions: &[Session], spent: &Session) -> Vec<Vec<u8>> {
    let id = |id: &str| Session {
        tenant: "t0".to_owned(),
        id: id.to_owned(),
    };
    let others = sessions.iter().find(|session| session.tenant != "t0");
    vec![
        chat(&id(others.map_or("", |session| &session.id)), SHORT),
        chat(&id("00000000-0000-4000-8000-000000000000"), SHORT),
        http("POST", "/chat", r#"{"tenant_id":"t0"}"#),
        chat(spent, SHORT),
    ]
}

/// How traffic is spread over tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// All alike.
    Even,
    /// The n-th tenant gets an n-th of the first one's.
    Zipf,
}

/// A sequence of tenants, the same in every run.
pub(crate) fn sequence(tenants: usize, spread: Spread, length: usize) -> Vec<usize> {
    let weight = |n: usize| match spread {
        Spread::Even => 1.0,
        Spread::Zipf => 1.0 / (n + 1) as f64,
    };
    let mut sum = 0.0;
    let ends: Vec<f64> = (0..tenants)
        .map(|n| {
            sum += weight(n);
            sum
        })
        .collect();
    // Marsaglia's xorshift: any even numbers will do, as long as they stay the same.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..length)
        .map(|_| {
            let at = random() * sum;
            ends.partition_point(|&end| end <= at).min(tenants - 1)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_http() {
        let session = Session {
            tenant: "t0".to_owned(),
            id: "x".to_owned(),
        };
        let text = String::from_utf8(chat(&session, "hi")).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("POST /chat HTTP/1.1\r\nHost: bench\r\n"));
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            body,
            json!({ "tenant_id": "t0", "session_id": "x", "message": "hi" })
        );
        assert_eq!(list(), b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n");
    }

    #[test]
    fn traffic_is_spread_as_it_is_said() {
        let count = |spread| {
            let sequence = sequence(10, spread, 10_000);
            assert!(sequence.iter().all(|&tenant| tenant < 10));
            sequence.iter().filter(|&&tenant| tenant == 0).count()
        };
        // A tenth, and 1 of 1 + 1/2 + ... + 1/10.
        assert!((900..1_100).contains(&count(Spread::Even)));
        assert!((3_200..3_600).contains(&count(Spread::Zipf)));
    }
}
