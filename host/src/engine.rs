//! Which way requests are answered.

use std::sync::Arc;

use bytes::Bytes;
use tenantry_core::{
    contract::{Body, Call, Request, Response},
    tenancy::Unavailable,
};

use crate::{
    native,
    sandbox::{Component, Fault, SandboxLimits, Sandboxes},
    state::{Entry, State},
};

/// The kinds of engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// One WebAssembly sandbox for each tenant.
    Wasm,
    /// No sandbox: the same rules as a part of the server.
    Native,
}

/// How one worker thread answers requests.
pub struct Engine {
    state: Arc<State>,
    sandboxes: Option<Sandboxes>,
}

/// What came of a request.
pub struct Answered {
    /// The tenant whose request it was; none where it was nobody's.
    pub tenant: Option<Arc<Entry>>,
    /// The answer.
    pub response: Response,
    /// Why the answer is [`Response::internal_error`], where a sandbox failed.
    pub fault: Option<Fault>,
}

impl Engine {
    /// An engine for the calling thread, a worker: sandboxes of `component`, or, without
    /// one, native.
    #[must_use]
    pub fn new(state: Arc<State>, component: Option<Arc<Component>>) -> Self {
        Self::with(state, component, |limits| limits.max_per_thread)
    }

    /// The same for the thread beside a worker, which answers large requests.
    #[must_use]
    pub fn aside(state: Arc<State>, component: Option<Arc<Component>>) -> Self {
        Self::with(state, component, SandboxLimits::max_aside)
    }

    fn with(
        state: Arc<State>,
        component: Option<Arc<Component>>,
        max: fn(&SandboxLimits) -> usize,
    ) -> Self {
        let sandboxes = component.map(|component| {
            let max = max(component.limits());
            Sandboxes::new(component, Arc::clone(&state), max)
        });
        Self { state, sandboxes }
    }

    /// The state that requests are answered from.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Answers a request.
    pub async fn answer(&self, request: &Request<'_>) -> Answered {
        self.answer_for(request, |_| ()).await
    }

    /// Answers a request; says whose it is as soon as that is known.
    pub async fn answer_for(
        &self,
        request: &Request<'_>,
        whose: impl FnOnce(Option<&Arc<Entry>>),
    ) -> Answered {
        let call = Call::read(request);
        let tenant = match call.scope() {
            Some(id) => match self.state.tenants.find(id).wait().await {
                Ok(tenant) => tenant,
                Err(Unavailable) => return Answered::from(Response::unavailable()),
            },
            None => None,
        };
        whose(tenant.as_ref());
        let answer = match &self.sandboxes {
            Some(sandboxes) => sandboxes.answer(request, &call, tenant.as_ref()).await,
            None => Ok(native::answer(&call, tenant.as_deref(), &self.state).await),
        };
        let (response, fault) = match answer {
            Ok(response) => (response, None),
            Err(fault) => (Response::internal_error(), Some(fault)),
        };
        Answered {
            tenant,
            response,
            fault,
        }
    }

    /// The bytes of a body.
    ///
    /// # Errors
    /// The tenants are out of reach.
    pub async fn body(&self, body: Body) -> Result<Bytes, Unavailable> {
        match body {
            Body::Bytes(std::borrow::Cow::Borrowed(bytes)) => Ok(Bytes::from_static(bytes)),
            Body::Bytes(std::borrow::Cow::Owned(bytes)) => Ok(Bytes::from(bytes)),
            Body::TenantList => self.state.tenants.tenant_list().wait().await,
        }
    }
}

impl From<Response> for Answered {
    fn from(response: Response) -> Self {
        Self {
            tenant: None,
            response,
            fault: None,
        }
    }
}
