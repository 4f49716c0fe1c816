//! What clients and operators ask.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// The token of every admin API here.
pub(crate) const TOKEN: &str = "a-token-for-a-soak-only";

/// Somebody who asks, over connections of its own.
pub(crate) struct Client(ureq::Agent);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// Which server gave it, where the balancer says so.
    pub(crate) by: Option<usize>,
}

impl Answer {
    /// Its JSON.
    ///
    /// # Errors
    /// It is no success, or no JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        ensure!(self.status < 300, "{}: {}", self.status, self.text);
        serde_json::from_str(&self.text).with_context(|| self.text.clone())
    }
}

/// Where the service is at a port of this machine.
pub(crate) fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::patient(PATIENCE)
    }

    pub(crate) fn patient(time: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(time));
        Self(config.build().into())
    }

    fn read(answer: http::Result) -> Result<Answer> {
        let mut answer = answer?;
        let header = |name: &str| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let by = header("x-served-by");
        Ok(Answer {
            status: answer.status().as_u16(),
            by: by.and_then(|name| name.rsplit('-').next()?.parse().ok()),
            text: answer
                .body_mut()
                .with_config()
                .limit(64 << 20)
                .read_to_string()?,
        })
    }

    pub(crate) fn get(&self, url: &str) -> Result<Answer> {
        let request = self.0.get(url);
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        Self::read(request.call())
    }

    fn post(&self, url: String, body: &Value) -> Result<Answer> {
        let request = self.0.post(url).header("content-type", "application/json");
        Self::read(request.send(body.to_string()))
    }

    /// POST /session
    pub(crate) fn open(&self, base: &str, tenant: &str) -> Result<Answer> {
        self.post(format!("{base}/session"), &json!({ "tenant_id": tenant }))
    }

    /// POST /chat
    pub(crate) fn chat(&self, base: &str, tenant: &str, session: &str) -> Result<Answer> {
        let body = json!({ "tenant_id": tenant, "session_id": session, "message": "hi" });
        self.post(format!("{base}/chat"), &body)
    }

    /// PUT of a row whose welcome is a number.
    pub(crate) fn change(&self, base: &str, tenant: &str, welcome: u64) -> Result<Answer> {
        let row = json!({ "id": tenant, "name": "n", "welcome": format!("<{welcome}>") });
        let request = self
            .0
            .put(format!("{base}/tenants/{tenant}"))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {TOKEN}"));
        Self::read(request.send(row.to_string()))
    }
}

mod http {
    pub(super) type Result = std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>;
}

/// The id in the answer to POST /session.
pub(crate) fn session_id(answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_str(&answer.text).ok()?;
    Some(body["session_id"].as_str()?.to_owned())
}

/// The number of a welcome, wherever it stands in a text.
pub(crate) fn welcome(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once('<')?;
    let (number, _) = rest.split_once('>')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_a_welcome() {
        assert_eq!(welcome(r#"{"welcome":"<17>"}"#), Some(17));
        assert_eq!(welcome("Howdy"), None);
        assert_eq!(welcome("<x>"), None);
    }
}
