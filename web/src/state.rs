//! Sessions and chats, as they are written down elsewhere and taken in again.

use serde::Serialize;
use tenantry_core::{
    memory::{AdoptError, Session},
    session::SessionId,
};
use wasm_bindgen::prelude::*;

use crate::{
    Engine,
    answer::Limit,
    time::{timestamp, timestamp_ms},
    to_js,
};

#[derive(Serialize)]
struct Usage {
    sessions: u32,
    limit: Option<Limit>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    id: String,
    tenant_id: &'a str,
    last_used_ms: f64,
}

#[wasm_bindgen]
impl Engine {
    /// What a tenant has used; `undefined` where there is no such tenant. Counts nothing.
    ///
    /// # Errors
    /// None that is known.
    #[wasm_bindgen(unchecked_return_type = "EngineUsage | undefined")]
    pub fn usage(&mut self, tenant_id: &str, now: f64) -> Result<JsValue, JsError> {
        let usage = self.memory.usage(tenant_id, timestamp(now));
        to_js(&usage.map(|usage| Usage {
            sessions: usage.sessions,
            limit: usage.quota.map(Limit::from),
        }))
    }

    /// All live sessions.
    ///
    /// # Errors
    /// None that is known.
    #[wasm_bindgen(unchecked_return_type = "EngineSession[]")]
    pub fn sessions(&self, now: f64) -> Result<JsValue, JsError> {
        let sessions = self.memory.sessions(timestamp(now));
        let written: Vec<_> = sessions
            .map(|session| Written {
                id: session.id.to_string(),
                tenant_id: session.tenant_id,
                last_used_ms: timestamp_ms(session.used),
            })
            .collect();
        to_js(&written)
    }

    /// Takes in a session that was opened elsewhere; says what came of it.
    #[wasm_bindgen(
        unchecked_return_type = "\"adopted\" | \"ended\" | \"another\" | \"unknown\" | \"invalid\""
    )]
    #[must_use]
    pub fn adopt(&mut self, id: &str, tenant_id: &str, last_used: f64, now: f64) -> String {
        let Some(id) = SessionId::parse(id) else {
            return "invalid".to_owned();
        };
        let session = Session {
            id,
            tenant_id,
            used: timestamp(last_used),
        };
        let adopted = match self.memory.adopt(&session, timestamp(now)) {
            Ok(()) => "adopted",
            Err(AdoptError::Ended) => "ended",
            Err(AdoptError::AnotherTenants) => "another",
            Err(_) => "unknown",
        };
        adopted.to_owned()
    }

    /// Ends a session before its time; returns whether it was there.
    pub fn close(&mut self, id: &str, now: f64) -> bool {
        SessionId::parse(id).is_some_and(|id| self.memory.close(id, timestamp(now)))
    }

    /// Forgets the sessions that have ended.
    pub fn sweep(&mut self, now: f64) {
        self.memory.sweep(timestamp(now));
    }

    /// When the tenant's last chats were granted, oldest first; `undefined` where there is no
    /// such tenant.
    #[must_use]
    pub fn chats(&self, tenant_id: &str) -> Option<Vec<f64>> {
        Some(self.memory.chats(tenant_id)?.map(timestamp_ms).collect())
    }

    /// Replaces what `chats` says; returns false where there is no such tenant.
    #[wasm_bindgen(js_name = setChats)]
    pub fn set_chats(&mut self, tenant_id: &str, granted: &[f64]) -> bool {
        let granted = granted.iter().map(|ms| timestamp(*ms));
        self.memory.set_chats(tenant_id, granted)
    }

    /// Forgets all sessions and chats.
    pub fn clear(&mut self) {
        self.memory.clear();
    }
}
