//! Recorded tenant files, and what came of them.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::{Exchange, Outcome, Runner, Wire};

/// Every recorded tenant file.
///
/// # Panics
/// Where the data does not have the form that it is known to have.
pub fn tenants_files() -> &'static [TenantsFile] {
    static FILES: OnceLock<Vec<TenantsFile>> = OnceLock::new();
    FILES.get_or_init(|| {
        let text = include_str!("../../tests/contract/tenants_files.json");
        serde_json::from_str(text).expect("tenants_files.json is a list of files")
    })
}

/// A tenant file, and what came of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantsFile {
    /// Says what it is about.
    pub name: String,
    file: Option<String>,
    file_b64: Option<String>,
    /// What the reference did.
    #[serde(rename = "startup")]
    _startup: serde_json::Value,
    get_root: Option<Answer>,
    tenants: Option<Vec<Tenant>>,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
struct Expect {
    start: bool,
    #[serde(rename = "answers")]
    _answers: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    status: u16,
    body: String,
}

#[derive(Debug, Deserialize)]
struct Tenant {
    tenant_id: String,
    session: Answer,
    chat: Option<Chat>,
}

/// A chat, and its answer.
#[derive(Debug, Deserialize)]
pub struct Chat {
    message: String,
    status: u16,
    body: String,
}

impl TenantsFile {
    /// The file's bytes; `None` where it is a file that does not exist.
    ///
    /// # Panics
    /// Where the data is not the base64 that it should be.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let decode = |text: &String| data_encoding::BASE64.decode(text.as_bytes());
        let decoded = self
            .file_b64
            .as_ref()
            .map(|text| decode(text).expect("base64"));
        decoded.or_else(|| Some(self.file.clone()?.into_bytes()))
    }

    /// Whether a service starts with this file.
    #[must_use]
    pub fn starts(&self) -> bool {
        self.expect.start
    }

    /// Sends a runner that was started with this file the recorded requests.
    ///
    /// # Errors
    /// Says what came out otherwise.
    pub fn replay(&self, runner: &mut dyn Runner) -> Result<(), String> {
        let root = Exchange {
            method: "GET".to_owned(),
            target: "/".to_owned(),
            ..Exchange::default()
        };
        if let Some(answer) = &self.get_root {
            answer.check(runner, root, "")?;
        }
        for tenant in self.tenants.iter().flatten() {
            let id = serde_json::Value::from(tenant.tenant_id.as_str());
            let body = serde_json::json!({ "tenant_id": id }).to_string();
            let session_id = tenant
                .session
                .check(runner, Exchange::post("/session", body), "")?;
            let Some(chat) = &tenant.chat else { continue };
            let body = serde_json::json!({
                "tenant_id": id, "session_id": session_id, "message": chat.message,
            });
            let answer = Answer {
                status: chat.status,
                body: chat.body.clone(),
            };
            let chat = Exchange::post("/chat", body.to_string());
            answer.check(runner, chat, &session_id)?;
        }
        Ok(())
    }
}

impl Answer {
    /// Checks the answer; returns the session id in it. An empty `session_id` is one that
    /// the answer brings.
    fn check(
        &self,
        runner: &mut dyn Runner,
        exchange: Exchange,
        session_id: &str,
    ) -> Result<String, String> {
        let outcome = runner.send(&Wire::Message(exchange));
        let Outcome::Reply(reply) = outcome else {
            return Err(format!("no answer: {outcome:?}"));
        };
        let found = reply.text();
        let mut session_id = session_id.to_owned();
        if session_id.is_empty() {
            let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            session_id = json["session_id"].as_str().unwrap_or_default().to_owned();
        }
        let wanted = self.body.replace("{{new_sid}}", &session_id);
        if reply.status != self.status || found != wanted {
            return Err(format!(
                "{} {found} instead of {} {wanted}",
                reply.status, self.status
            ));
        }
        Ok(session_id)
    }
}
