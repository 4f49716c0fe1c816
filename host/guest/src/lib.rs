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

use std::{ops::Range, time::Duration};

use bindings::{
    exports::tenantry::sandbox::handler as wit, tenantry::sandbox::scope,
    wasi::random::random::get_random_u64,
};
use tenantry_core::{
    contract::{self, Allow, Body, ContentType, Method, Operation, Payload, Response},
    session::SessionId,
    tenancy::{OpenError, Owner, Tenancy, Unavailable},
    tenant::{ReplyStyle, Tenant, unpacked},
};

/// The handler that this component exports.
pub struct Component;

impl wit::Guest for Component {
    fn handle(request: wit::Request) -> wit::Response {
        handle(&request)
    }

    fn perform(operation: wit::Operation) -> wit::Response {
        perform(&operation)
    }
}

#[cfg(feature = "component")]
bindings::export!(Component with_types_in bindings);

/// Answers a request that is nobody's.
#[must_use]
pub fn handle(request: &wit::Request) -> wit::Response {
    to_wit(contract::handle(
        &request_from_wit(request),
        &mut Scope { tenant: None },
    ))
}

/// Answers a valid request of this sandbox's scope.
#[must_use]
pub fn perform(operation: &wit::Operation) -> wit::Response {
    let tenant = operation
        .row
        .map(|row| tenant_from_wit(&operation.texts, row));
    to_wit(operation_from_wit(operation).answer(&mut Scope { tenant }))
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

fn tenant_from_wit(texts: &str, row: wit::Row) -> Tenant<'_> {
    let (id, name, welcome, model, tag) = row.ends;
    let style = match row.reply_style {
        wit::ReplyStyle::Reverse => ReplyStyle::Reverse,
        wit::ReplyStyle::Upper => ReplyStyle::Upper,
        wit::ReplyStyle::Ack => ReplyStyle::Ack,
    };
    unpacked(
        part(texts, 0, tag),
        [id, name, welcome, model, tag],
        style,
        row.suspended,
    )
}

fn operation_from_wit(operation: &wit::Operation) -> Operation<'_> {
    let texts = &operation.texts;
    let row_end = operation.row.map_or(0, |row| row.ends.4);
    let tenant_id = part(texts, row_end, operation.tenant_id_end);
    match operation.kind {
        wit::Kind::OpenSession => Operation::OpenSession { tenant_id },
        wit::Kind::Chat => Operation::Chat {
            tenant_id,
            session_id: part(texts, operation.tenant_id_end, operation.session_id_end),
            message: texts
                .get(operation.session_id_end as usize..)
                .unwrap_or_default(),
        },
    }
}

fn request_from_wit(request: &wit::Request) -> contract::Request<'_> {
    let bytes = match &request.texts {
        wit::Texts::Utf8(texts) => texts.as_bytes(),
        wit::Texts::Bytes(texts) => texts,
    };
    let target_end = request.target_end as usize;
    let body_start = request
        .content_type_end
        .map_or(target_end, |end| end as usize);
    let bytes_of = |range: Range<usize>| bytes.get(range).unwrap_or_default();
    contract::Request {
        method: match request.method {
            wit::Method::Get => Method::Get,
            wit::Method::Head => Method::Head,
            wit::Method::Post => Method::Post,
            wit::Method::Other => Method::Other,
        },
        target: str::from_utf8(bytes_of(0..target_end)).unwrap_or_default(),
        content_type: request
            .content_type_end
            .map(|_| bytes_of(target_end..body_start)),
        body: match &request.texts {
            wit::Texts::Utf8(texts) => Payload::Text(texts.get(body_start..).unwrap_or_default()),
            wit::Texts::Bytes(_) => Payload::from(bytes_of(body_start..bytes.len())),
        },
    }
}

/// A part of the texts; empty where there is none.
fn part(texts: &str, start: u32, end: u32) -> &str {
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
