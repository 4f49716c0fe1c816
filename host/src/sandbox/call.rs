//! One call of a guest, and what becomes of guests that misbehave.

use std::{borrow::Cow, sync::Arc, time::Duration};

use tenantry_core::{
    contract::{Allow, Body, Call, ContentType, Method, Operation, Payload, Request, Response},
    tenant::{PackedTenant, ReplyStyle},
};
use wasmtime::{Store, Trap, UpdateDeadline};

use super::{
    Component, KEEP_MEMORY_BYTES, TICK,
    bindings::{self, exports::tenantry::sandbox::handler as wit},
    pause::pause,
    scope::Scope,
};
use crate::state::{Entry, State};

/// Why a call gave no answer. It cost the sandbox its life, and nothing else.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It ran for longer than a request may.
    #[error("the guest ran past its deadline")]
    Deadline,
    /// It wanted more memory than a sandbox may have.
    #[error("the guest wanted more memory than it may have")]
    Memory,
    /// It nested calls deeper than a sandbox's stack.
    #[error("the guest used up its stack")]
    Stack,
    /// Its answer, body and location, was longer than one may be.
    #[error("the guest's reply was of {0} bytes, more than it may be")]
    Reply(usize),
    /// A tenant's guest asked for the list of all tenants.
    #[error("the guest answered with the tenant list outside the anonymous scope")]
    TenantList,
    /// Its answer has a status that is none.
    #[error("the guest answered with a status of {0}")]
    Status(u16),
    /// Its answer's location is no value of a header.
    #[error("the guest answered with a location that is none")]
    Location,
    /// Its answer is to HEAD, and the request was not. Sent so, with a length and no body,
    /// it would take the next answer on the connection, whoever's that is, for its body.
    #[error("the guest answered without a body to a request that was not HEAD")]
    HeadOnly,
    /// It did something else that WebAssembly does not allow.
    #[error("the guest trapped")]
    Trap(#[source] wasmtime::Error),
    /// A new sandbox could not be made.
    #[error("no sandbox could be made")]
    Make(#[source] wasmtime::Error),
}

/// A sandbox: memory and code of one scope.
pub(super) struct Sandbox {
    store: Store<Scope>,
    guest: bindings::Guest,
}

impl Sandbox {
    pub(super) async fn make(
        component: &Component,
        tenant: Option<Arc<Entry>>,
        state: Arc<State>,
    ) -> Result<Self, Fault> {
        let scope = Scope::new(tenant, state, component.limits.max_memory);
        let mut store = Store::new(&component.engine, scope);
        store.limiter(|scope| &mut scope.memory);
        let max_ticks = ticks(component.limits.deadline);
        store.epoch_deadline_callback(move |mut store| {
            let scope = store.data_mut();
            scope.ticks += 1;
            Ok(if scope.ticks > max_ticks {
                UpdateDeadline::Interrupt
            } else {
                // Not a plain yield: that would not let the thread look at its sockets.
                UpdateDeadline::YieldCustom(1, Box::pin(pause()))
            })
        });
        store.set_epoch_deadline(1);
        let guest = component.pre.instantiate_async(&mut store).await;
        Ok(Self {
            guest: guest.map_err(Fault::Make)?,
            store,
        })
    }

    pub(super) fn is_of(&self, tenant: Option<&Arc<Entry>>) -> bool {
        self.store.data().is_of(tenant)
    }

    /// Whether another request may use it.
    pub(super) fn is_fit(&self) -> bool {
        self.store.data().memory.size <= KEEP_MEMORY_BYTES
    }

    /// Has the guest answer one request, which `call` was read from. After a fault the
    /// sandbox must not be used again.
    pub(super) async fn call(
        &mut self,
        request: &Request<'_>,
        call: &Call<'_>,
        max_reply: usize,
    ) -> Result<Response, Fault> {
        self.store.data_mut().begin_call();
        self.store.set_epoch_deadline(1);
        let handler = self.guest.tenantry_sandbox_handler();
        let answered = match call.operation() {
            Some(operation) => {
                let tenant = self.store.data().tenant().map(|entry| &entry.packed);
                let operation = OperationTexts::new(tenant, operation);
                let operation = operation.to_wit();
                handler.call_perform(&mut self.store, operation).await
            }
            None => {
                let request = RequestTexts::new(request);
                handler.call_handle(&mut self.store, request.to_wit()).await
            }
        };
        let response = match answered {
            Ok(response) => response,
            Err(error) => return Err(self.fault(error)),
        };
        self.check(&response, request.method, max_reply)?;
        Ok(from_wit(response).with_quota(self.store.data().quota))
    }

    /// Refuses what the core never answers: what would be no HTTP, or tell more than this
    /// scope's own.
    fn check(
        &self,
        response: &wit::Response,
        method: Method,
        max_reply: usize,
    ) -> Result<(), Fault> {
        let body = match &response.body {
            wit::Body::Bytes(bytes) => bytes.len(),
            wit::Body::TenantList if self.is_of(None) => 0,
            wit::Body::TenantList => return Err(Fault::TenantList),
        };
        let location = response.location.as_deref().unwrap_or_default();
        if body + location.len() > max_reply {
            return Err(Fault::Reply(body + location.len()));
        }
        if !(200..=599).contains(&response.status) {
            return Err(Fault::Status(response.status));
        }
        if http::HeaderValue::from_str(location).is_err() {
            return Err(Fault::Location);
        }
        if response.head_only && method != Method::Head {
            return Err(Fault::HeadOnly);
        }
        Ok(())
    }

    fn fault(&self, error: wasmtime::Error) -> Fault {
        if self.store.data().memory.was_refused {
            return Fault::Memory;
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Fault::Deadline,
            Some(Trap::StackOverflow) => Fault::Stack,
            _ => Fault::Trap(error),
        }
    }
}

/// A deadline in ticks. The first tick may come at once, so it does not count.
fn ticks(deadline: Duration) -> u32 {
    let ticks = deadline.as_nanos().div_ceil(TICK.as_nanos());
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// A valid request as it goes into a sandbox, with the row of the sandbox's tenant.
struct OperationTexts {
    texts: String,
    row: Option<wit::Row>,
    kind: wit::Kind,
    tenant_id_end: u32,
    session_id_end: u32,
}

impl OperationTexts {
    fn new(tenant: Option<&PackedTenant>, operation: Operation<'_>) -> Self {
        let row = tenant.map_or("", PackedTenant::texts);
        let (kind, tenant_id, session_id, message) = match operation {
            Operation::OpenSession { tenant_id } => (wit::Kind::OpenSession, tenant_id, "", ""),
            Operation::Chat {
                tenant_id,
                session_id,
                message,
            } => (wit::Kind::Chat, tenant_id, session_id, message),
        };
        let tenant_id_end = row.len() + tenant_id.len();
        let session_id_end = tenant_id_end + session_id.len();
        let mut texts = String::with_capacity(session_id_end + message.len());
        for text in [row, tenant_id, session_id, message] {
            texts.push_str(text);
        }
        Self {
            texts,
            row: tenant.map(row_to_wit),
            kind,
            tenant_id_end: end(tenant_id_end),
            session_id_end: end(session_id_end),
        }
    }

    fn to_wit(&self) -> wit::Operation<'_> {
        wit::Operation {
            kind: self.kind,
            texts: &self.texts,
            row: self.row,
            tenant_id_end: self.tenant_id_end,
            session_id_end: self.session_id_end,
        }
    }
}

fn row_to_wit(tenant: &PackedTenant) -> wit::Row {
    let [id, name, welcome, model, tag] = tenant.ends();
    wit::Row {
        ends: (id, name, welcome, model, tag),
        reply_style: match tenant.style() {
            ReplyStyle::Reverse => wit::ReplyStyle::Reverse,
            ReplyStyle::Upper => wit::ReplyStyle::Upper,
            ReplyStyle::Ack => wit::ReplyStyle::Ack,
        },
        suspended: tenant.is_suspended(),
    }
}

/// A request as it goes into the anonymous scope's sandbox.
struct RequestTexts {
    texts: Texts,
    method: wit::Method,
    target_end: u32,
    content_type_end: Option<u32>,
}

enum Texts {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl RequestTexts {
    fn new(request: &Request<'_>) -> Self {
        let target = request.target;
        let content_type = request.content_type.unwrap_or_default();
        let texts = match (str::from_utf8(content_type), request.body) {
            (Ok(content_type), Payload::Text(body)) => {
                Texts::Utf8([target, content_type, body].concat())
            }
            (_, body) => Texts::Bytes([target.as_bytes(), content_type, body.as_bytes()].concat()),
        };
        let content_type_end = target.len() + content_type.len();
        Self {
            texts,
            method: match request.method {
                Method::Get => wit::Method::Get,
                Method::Head => wit::Method::Head,
                Method::Post => wit::Method::Post,
                Method::Other => wit::Method::Other,
            },
            target_end: end(target.len()),
            content_type_end: request.content_type.map(|_| end(content_type_end)),
        }
    }

    fn to_wit(&self) -> wit::Request<'_> {
        wit::Request {
            texts: match &self.texts {
                Texts::Utf8(texts) => wit::Texts::Utf8(texts),
                Texts::Bytes(texts) => wit::Texts::Bytes(texts),
            },
            method: self.method,
            target_end: self.target_end,
            content_type_end: self.content_type_end,
        }
    }
}

/// Where a text ends, as a guest is told. Every part is bounded far below 4 GiB; what does
/// not fit is no text's end.
fn end(end: usize) -> u32 {
    u32::try_from(end).unwrap_or(u32::MAX)
}

fn from_wit(response: wit::Response) -> Response {
    Response {
        status: response.status,
        content_type: response
            .content_type
            .map(|content_type| match content_type {
                wit::ContentType::Json => ContentType::Json,
                wit::ContentType::Html => ContentType::Html,
                wit::ContentType::Text => ContentType::Text,
            }),
        allow: response.allow.map(|allow| match allow {
            wit::Allow::GetHead => Allow::GetHead,
            wit::Allow::Post => Allow::Post,
        }),
        location: response.location,
        quota: None,
        retry_after: response.retry_after.map(Duration::from_nanos),
        body: match response.body {
            wit::Body::Bytes(bytes) => Body::Bytes(Cow::Owned(bytes)),
            wit::Body::TenantList => Body::TenantList,
        },
        head_only: response.head_only,
    }
}
