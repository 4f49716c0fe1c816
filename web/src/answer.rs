//! The last answer, a part at a time: a plain object of all parts costs more than the answer.

use std::borrow::Cow;

use serde::Serialize;
use tenantry_core::{
    contract::{Body, Call, Operation, Response},
    limit::{Quota, WINDOW},
    session::SessionId,
};
use wasm_bindgen::prelude::*;

use crate::{Engine, time::duration_ms};

/// What is left of a limit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limit {
    limit: u32,
    remaining: u32,
    reset_ms: f64,
    window_ms: f64,
}

impl From<Quota> for Limit {
    fn from(quota: Quota) -> Self {
        Self {
            limit: quota.limit,
            remaining: quota.remaining,
            reset_ms: duration_ms(quota.reset),
            window_ms: duration_ms(WINDOW),
        }
    }
}

/// What came of a request, until the next one.
#[derive(Default)]
pub(crate) struct Last {
    operation: Option<&'static str>,
    tenant_id: Option<String>,
    session_id: Option<String>,
    response: Option<Response>,
}

impl Last {
    /// A request that was read.
    pub(crate) fn read(call: &Call<'_>) -> Self {
        let (operation, session_id) = match call.operation() {
            Some(Operation::OpenSession { .. }) => (Some("session"), None),
            Some(Operation::Chat { session_id, .. }) => (Some("chat"), Some(session_id)),
            None => (None, None),
        };
        Self {
            operation,
            tenant_id: call.scope().map(str::to_owned),
            session_id: session_id.map(str::to_owned),
            response: None,
        }
    }

    /// The same, with the answer; where that is a success, the request opened that session.
    pub(crate) fn answered(mut self, response: Response, opened: Option<SessionId>) -> Self {
        if let Some(id) = opened
            && response.status == 200
        {
            self.session_id = Some(id.to_string());
        }
        self.response = Some(response);
        self
    }

    fn quota(&self) -> Option<Quota> {
        self.response.as_ref()?.quota
    }

    fn body(&self) -> &[u8] {
        match self.response.as_ref().map(|response| &response.body) {
            Some(Body::Bytes(bytes)) => bytes,
            // `Memory` puts the list in.
            Some(Body::TenantList) | None => &[],
        }
    }
}

/// Parts of the last answer.
#[wasm_bindgen]
impl Engine {
    /// What the request asked for; `undefined` where the answer did not depend on state.
    #[wasm_bindgen(getter, unchecked_return_type = "\"session\" | \"chat\" | undefined")]
    #[must_use]
    pub fn operation(&self) -> Option<String> {
        self.last.operation.map(str::to_owned)
    }

    /// The tenant that the request named, known or not.
    #[wasm_bindgen(getter, js_name = tenantId)]
    #[must_use]
    pub fn tenant_id(&self) -> Option<String> {
        self.last.tenant_id.clone()
    }

    /// The session that was opened or named.
    #[wasm_bindgen(getter, js_name = sessionId)]
    #[must_use]
    pub fn session_id(&self) -> Option<String> {
        self.last.session_id.clone()
    }

    /// When to try again, in milliseconds.
    #[wasm_bindgen(getter, js_name = retryAfterMs)]
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<f64> {
        let wait = self.last.response.as_ref()?.retry_after?;
        Some(duration_ms(wait))
    }

    /// The limit that was asked, if one was: chats in any `windowMs`.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn limit(&self) -> Option<u32> {
        Some(self.last.quota()?.limit)
    }

    /// What is left of it.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.last.quota().map_or(0, |quota| quota.remaining)
    }

    /// Milliseconds until there is one more.
    #[wasm_bindgen(getter, js_name = resetMs)]
    #[must_use]
    pub fn reset_ms(&self) -> f64 {
        let quota = self.last.quota();
        quota.map_or(0.0, |quota| duration_ms(quota.reset))
    }

    /// The span that limits are about, in milliseconds.
    #[wasm_bindgen(js_name = windowMs)]
    #[must_use]
    pub fn window_ms() -> f64 {
        duration_ms(WINDOW)
    }

    /// The headers, a line each: name, colon, blank, value.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn headers(&self) -> String {
        let mut text = String::new();
        let response = self.last.response.iter();
        let length = self.last.body().len().to_string();
        let length = ("content-length", Cow::Owned(length));
        for (name, value) in response.flat_map(Response::headers).chain([length]) {
            for part in [name, ": ", &value, "\n"] {
                text += part;
            }
        }
        text
    }

    /// The body's bytes, also where the answer leaves them out.
    #[wasm_bindgen(getter, unchecked_return_type = "Uint8Array<ArrayBuffer>")]
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.last.body().to_vec()
    }

    /// The body as text, which it always is.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.last.body()).into_owned()
    }

    /// Whether the answer leaves the body out: it is one to HEAD.
    #[wasm_bindgen(getter, js_name = headOnly)]
    #[must_use]
    pub fn head_only(&self) -> bool {
        let response = self.last.response.as_ref();
        response.is_some_and(|response| response.head_only)
    }
}
