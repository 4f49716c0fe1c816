//! `tenantry-core` as a WebAssembly component.
//!
//! Conversions only: between the world's types (`host/wit`) and the core's. It keeps
//! nothing from one request to the next.

#[cfg(target_family = "wasm")]
mod allocator;

#[allow(missing_docs, reason = "generated; documented in host/wit")]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "generated: the canonical ABI's own"
)]
pub mod bindings {
    //! The world, as `wit-bindgen` generates it.
    wit_bindgen::generate!({
        path: "../wit",
        world: "guest",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "tenantry_guest::bindings",
    });
}

use std::time::Duration;

use bindings::{
    exports::tenantry::sandbox::handler as wit, tenantry::sandbox::scope,
    wasi::random::random::get_random_u64,
};
use tenantry_core::{
    contract::{self, Allow, Body, ContentType, Method, Payload, Response},
    session::SessionId,
    tenancy::{OpenError, Owner, Tenancy, Unavailable},
    tenant::{ReplyStyle, Tenant, unpacked},
};

/// The handler that this component exports.
pub struct Component;

impl wit::Guest for Component {
    fn handle(call: wit::Call) -> wit::Response {
        handle(&call)
    }
}

#[cfg(feature = "component")]
bindings::export!(Component with_types_in bindings);

/// Answers one request of this sandbox's scope.
#[must_use]
pub fn handle(call: &wit::Call) -> wit::Response {
    let (tenant, request) = from_wit(call);
    to_wit(contract::handle(&request, &mut Scope { tenant }))
}

/// The scope that the host has given this sandbox.
struct Scope<'t> {
    tenant: Option<Tenant<'t>>,
}

impl<'t> Tenancy<'t> for Scope<'t> {
    fn tenant(&self) -> Option<Tenant<'t>> {
        self.tenant
    }

    fn new_session_id(&mut self) -> SessionId {
        let (high, low) = (get_random_u64(), get_random_u64());
        let random = u128::from(high) << 64 | u128::from(low);
        SessionId::from_random(random.to_be_bytes())
    }

    fn open_session(&mut self, id: SessionId) -> Result<(), OpenError> {
        match scope::open_session(session_id(id)) {
            scope::Opening::Opened => Ok(()),
            scope::Opening::Exists => Err(OpenError::Exists),
            scope::Opening::Full => Err(OpenError::Full),
            scope::Opening::Unavailable => Err(Unavailable.into()),
        }
    }

    fn owner(&mut self, id: SessionId) -> Result<Owner, Unavailable> {
        match scope::owner(session_id(id)) {
            scope::Ownership::Mine => Ok(Owner::Mine),
            scope::Ownership::Another => Ok(Owner::Another),
            scope::Ownership::Unknown => Ok(Owner::Unknown),
            scope::Ownership::Unavailable => Err(Unavailable),
        }
    }

    fn admit_chat(&mut self) -> Result<bool, Unavailable> {
        match scope::admit_chat() {
            scope::Admission::Granted => Ok(true),
            scope::Admission::Refused => Ok(false),
            scope::Admission::Unavailable => Err(Unavailable),
        }
    }
}

fn session_id(id: SessionId) -> scope::SessionId {
    let (high, low) = id.as_u64_pair();
    scope::SessionId { high, low }
}

fn from_wit(call: &wit::Call) -> (Option<Tenant<'_>>, contract::Request<'_>) {
    let texts = &call.texts;
    let row_end = call.row.map_or(0, |row| row.ends.4);
    let tenant = call.row.map(|row| {
        let (id, name, welcome, model, tag) = row.ends;
        let style = match row.reply_style {
            wit::ReplyStyle::Reverse => ReplyStyle::Reverse,
            wit::ReplyStyle::Upper => ReplyStyle::Upper,
            wit::ReplyStyle::Ack => ReplyStyle::Ack,
        };
        unpacked(text(texts, 0, tag), [id, name, welcome, model, tag], style)
    });
    let target_end = call.target_end;
    let body_start = call.content_type_end.unwrap_or(target_end);
    let request = contract::Request {
        method: match call.method {
            wit::Method::Get => Method::Get,
            wit::Method::Head => Method::Head,
            wit::Method::Post => Method::Post,
            wit::Method::Other => Method::Other,
        },
        target: text(texts, row_end, target_end),
        content_type: call
            .content_type_end
            .map(|end| bytes(texts, target_end, end)),
        body: match texts {
            wit::Texts::Utf8(texts) => {
                Payload::Text(texts.get(body_start as usize..).unwrap_or_default())
            }
            wit::Texts::Bytes(texts) => {
                Payload::from(texts.get(body_start as usize..).unwrap_or_default())
            }
        },
    };
    (tenant, request)
}

/// A part of the texts that is text; empty where there is none.
fn text(texts: &wit::Texts, start: u32, end: u32) -> &str {
    match texts {
        wit::Texts::Utf8(texts) => texts.get(start as usize..end as usize),
        wit::Texts::Bytes(_) => std::str::from_utf8(bytes(texts, start, end)).ok(),
    }
    .unwrap_or_default()
}

/// A part of the texts; empty where there is none.
fn bytes(texts: &wit::Texts, start: u32, end: u32) -> &[u8] {
    let texts = match texts {
        wit::Texts::Utf8(texts) => texts.as_bytes(),
        wit::Texts::Bytes(texts) => texts,
    };
    texts.get(start as usize..end as usize).unwrap_or_default()
}

fn to_wit(response: Response) -> wit::Response {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    wit::Response {
        status: response.status,
        content_type: response
            .content_type
            .map(|content_type| match content_type {
                ContentType::Json => wit::ContentType::Json,
                ContentType::Html => wit::ContentType::Html,
                ContentType::Text => wit::ContentType::Text,
            }),
        allow: response.allow.map(|allow| match allow {
            Allow::GetHead => wit::Allow::GetHead,
            Allow::Post => wit::Allow::Post,
        }),
        location: response.location,
        retry_after: response.retry_after.map(nanos),
        body: match response.body {
            Body::Bytes(bytes) => wit::Body::Bytes(bytes.into_owned()),
            Body::TenantList => wit::Body::TenantList,
        },
        head_only: response.head_only,
    }
}
