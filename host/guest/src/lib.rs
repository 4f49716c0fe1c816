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
    exports::tenantry::sandbox::handler as wit,
    tenantry::sandbox::scope,
    wasi::random::random::get_random_u64,
};
use tenantry_core::{
    contract::{self, Allow, Body, ContentType, Method, Response},
    limit::{Admission, Quota},
    session::SessionId,
    tenancy::{OpenError, Owner, Tenancy, Unavailable},
    tenant::{Reply, ReplyStyle, Tenant},
};

/// The handler that this component exports.
pub struct Component;

impl wit::Guest for Component {
    fn handle(request: wit::Request) -> wit::Response {
        handle(&request)
    }
}

#[cfg(feature = "component")]
bindings::export!(Component with_types_in bindings);

/// Answers one request of this sandbox's scope.
#[must_use]
pub fn handle(request: &wit::Request) -> wit::Response {
    let request = contract::Request {
        method: match request.method {
            wit::Method::Get => Method::Get,
            wit::Method::Head => Method::Head,
            wit::Method::Post => Method::Post,
            wit::Method::Other => Method::Other,
        },
        target: &request.target,
        content_type: match &request.content_type {
            wit::RequestContentType::None => None,
            wit::RequestContentType::ApplicationJson => Some(b"application/json"),
            wit::RequestContentType::Other(content_type) => Some(content_type),
        },
        body: &request.body,
    };
    to_wit(contract::handle(&request, &mut Scope))
}

/// The scope that the host has given this sandbox.
struct Scope;

impl Tenancy for Scope {
    type Row = Tenant;

    fn tenant(&mut self) -> Option<Tenant> {
        let row = scope::tenant()?;
        let (id, name, welcome, model, tag) = row.ends;
        let mut start = 0;
        let mut text_to = |end: u32| {
            let end = end as usize;
            let text = row.texts.get(start..end).unwrap_or_default();
            start = end;
            text.into()
        };
        Some(Tenant {
            id: text_to(id),
            name: text_to(name),
            welcome: text_to(welcome),
            model: text_to(model),
            reply: Reply {
                tag: text_to(tag),
                style: match row.reply_style {
                    scope::ReplyStyle::Reverse => ReplyStyle::Reverse,
                    scope::ReplyStyle::Upper => ReplyStyle::Upper,
                    scope::ReplyStyle::Ack => ReplyStyle::Ack,
                },
            },
        })
    }

    fn new_session_id(&mut self) -> SessionId {
        let (high, low) = (get_random_u64(), get_random_u64());
        let random = u128::from(high) << 64 | u128::from(low);
        SessionId::from_random(random.to_be_bytes())
    }

    fn open_session(&mut self, id: SessionId) -> Result<(), OpenError> {
        scope::open_session(session_id(id)).map_err(|error| match error {
            scope::OpenError::Exists => OpenError::Exists,
            scope::OpenError::Full => OpenError::Full,
            scope::OpenError::Unavailable => OpenError::Unavailable(Unavailable),
        })
    }

    fn owner(&mut self, id: SessionId) -> Result<Owner, Unavailable> {
        match scope::owner(session_id(id)) {
            Ok(scope::Ownership::Mine) => Ok(Owner::Mine),
            Ok(scope::Ownership::Another) => Ok(Owner::Another),
            Ok(scope::Ownership::Unknown) => Ok(Owner::Unknown),
            Err(()) => Err(Unavailable),
        }
    }

    fn admit_chat(&mut self) -> Result<Admission, Unavailable> {
        match scope::admit_chat() {
            Ok(scope::Admission::Unlimited) => Ok(Admission::Unlimited),
            Ok(scope::Admission::Granted(left)) => Ok(Admission::Granted(quota(left))),
            Ok(scope::Admission::Refused(left)) => Ok(Admission::Refused(quota(left))),
            Err(()) => Err(Unavailable),
        }
    }
}

fn session_id(id: SessionId) -> scope::SessionId {
    let (high, low) = id.as_u64_pair();
    scope::SessionId { high, low }
}

fn quota(quota: scope::Quota) -> Quota {
    Quota {
        limit: quota.limit,
        remaining: quota.remaining,
        reset: Duration::from_nanos(quota.reset),
    }
}

fn to_wit(response: Response) -> wit::Response {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    wit::Response {
        status: response.status,
        content_type: response.content_type.map(|content_type| match content_type {
            ContentType::Json => wit::ContentType::Json,
            ContentType::Html => wit::ContentType::Html,
            ContentType::Text => wit::ContentType::Text,
        }),
        allow: response.allow.map(|allow| match allow {
            Allow::GetHead => wit::Allow::GetHead,
            Allow::Post => wit::Allow::Post,
        }),
        location: response.location,
        quota: response.quota.map(|quota| wit::Quota {
            limit: quota.limit,
            remaining: quota.remaining,
            reset: nanos(quota.reset),
        }),
        retry_after: response.retry_after.map(nanos),
        body: match response.body {
            Body::Bytes(bytes) => wit::Body::Bytes(bytes.into_owned()),
            Body::TenantList => wit::Body::TenantList,
        },
        head_only: response.head_only,
    }
}
