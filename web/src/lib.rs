//! Tenantry's core for JavaScript: one class, [`Engine`], that the npm package in `web/npm`
//! wraps. Conversions only: every rule is the core's.
//!
//! Nothing here calls back into JavaScript while a call is running, so whatever a caller's
//! clock, storage or listener does, an engine is never found half way through a request.
//! Times are milliseconds since 1970; what is checked of them is checked by the package.

#![forbid(unsafe_code)]

mod answer;
mod state;
mod tenants;
mod time;

use serde::Serialize;
use tenantry_core::{
    contract::{self, Call, Method, Operation, Payload, Request},
    memory::{self, Memory},
    registry::Registry,
    session::{Lifetime, SessionId},
};
use wasm_bindgen::prelude::*;

use crate::{answer::Last, time::timestamp};

/// What the glue's declarations say about values that are plain objects.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.ts");

/// A value of ours as a plain JavaScript object.
fn to_js(value: &impl Serialize) -> Result<JsValue, JsError> {
    let serializer = serde_wasm_bindgen::Serializer::new();
    value.serialize(&serializer).map_err(JsError::from)
}

/// A whole service: tenants, sessions and limits, in this module's memory.
#[wasm_bindgen]
pub struct Engine {
    memory: Memory,
    found: tenants::Found,
    last: Last,
}

#[wasm_bindgen]
impl Engine {
    /// A service for the tenants of a text, one JSON object a line, in UTF-8. Sessions live
    /// for that time without being used (0 is for ever), and a tenant may have that many
    /// whose row does not say.
    ///
    /// # Errors
    /// The text has problems: what is thrown is the list of them.
    #[wasm_bindgen(constructor)]
    pub fn new(
        tenants: &[u8],
        limits: bool,
        session_ttl_ms: f64,
        max_sessions: u32,
    ) -> Result<Engine, JsValue> {
        let parsed = match Registry::parse(tenants) {
            Ok(parsed) => parsed,
            Err(problems) => return Err(to_js(&tenants::Found::problems(&problems.0))?),
        };
        let found = tenants::Found::accepted(&parsed.registry, &parsed.warnings);
        let settings = memory::Settings {
            limits,
            lifetime: Lifetime::new(time::duration(session_ttl_ms)),
            max_sessions,
        };
        Ok(Self {
            memory: Memory::new(parsed.registry, settings),
            found,
            last: Last::default(),
        })
    }

    /// Reads a request as far as whose it is, and answers nothing.
    pub fn read(&mut self, method: &str, target: &str, content_type: Option<String>, body: &[u8]) {
        let content_type = content_type.map(|text| latin1(&text));
        let call = Call::read(&request(method, target, content_type.as_deref(), body));
        self.last = Last::read(&call);
    }

    /// Whether the answer depends on the request's body.
    #[wasm_bindgen(js_name = wantsBody)]
    #[must_use]
    pub fn wants_body(method: &str, target: &str) -> bool {
        contract::wants_body(method.into(), target)
    }

    /// Answers a request that comes at `now`; returns the status. `random` is 16 bytes for the id of the session
    /// that it may open; without them the platform's own are taken.
    ///
    /// # Errors
    /// The platform gives no random bytes. Nothing has changed then.
    pub fn handle(
        &mut self,
        method: &str,
        target: &str,
        content_type: Option<String>,
        body: &[u8],
        now: f64,
        random: Option<Vec<u8>>,
    ) -> Result<u16, JsError> {
        let content_type = content_type.map(|text| latin1(&text));
        let call = Call::read(&request(method, target, content_type.as_deref(), body));
        let mut bytes = [0; 16];
        if let Some(Operation::OpenSession { .. }) = call.operation() {
            match random.as_deref().map(<[u8; 16]>::try_from) {
                Some(Ok(given)) => bytes = given,
                Some(Err(_)) => return Err(JsError::new("random must be 16 bytes")),
                None => getrandom::fill(&mut bytes)?,
            }
        }
        let mut opened = None;
        let response = self.memory.answer(&call, timestamp(now), || {
            if opened.is_some() && random.is_none() {
                // Where that fails, the id in use is tried again, and refused again.
                let _ = getrandom::fill(&mut bytes);
            }
            opened = Some(SessionId::from_random(bytes));
            bytes
        });
        let status = response.status;
        self.last = Last::read(&call).answered(response, opened);
        Ok(status)
    }

    /// Answers a request whose body is longer than the caller takes; returns the status.
    #[wasm_bindgen(js_name = bodyTooLarge)]
    pub fn body_too_large(&mut self) -> u16 {
        self.refuse(contract::Response::body_too_large())
    }

    /// Answers a request that needs what is written down elsewhere, and out of reach; returns
    /// the status.
    pub fn unavailable(&mut self) -> u16 {
        self.refuse(contract::Response::unavailable())
    }
}

impl Engine {
    fn refuse(&mut self, response: contract::Response) -> u16 {
        let status = response.status;
        self.last = Last::default().answered(response, None);
        status
    }
}

fn request<'a>(
    method: &str,
    target: &'a str,
    content_type: Option<&'a [u8]>,
    body: &'a [u8],
) -> Request<'a> {
    let method = Method::from(method);
    let body = if contract::wants_body(method, target) {
        body.into()
    } else {
        Payload::EMPTY
    };
    Request {
        method,
        target,
        content_type,
        body,
    }
}

/// A header's bytes; JavaScript hands them over as characters below U+0100. Others can't be
/// in a header; the package refuses them.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u8).collect()
}
