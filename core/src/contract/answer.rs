//! What is answered to a request that is valid in form: the order of checks, and the
//! bodies of the answers.

use alloc::{string::ToString, vec::Vec};

use super::Response;
use crate::{
    json::push_string,
    reply::reply,
    session::SessionId,
    tenancy::{OpenError, Owner, Tenancy},
    tenant::Tenant,
};

/// New ids that are tried before a session is given up. One collision in the life of the
/// universe is unlikely; this many mean that the random bytes are not random.
const MAX_TRIES: usize = 4;

pub(super) fn unknown_tenant() -> Response {
    Response::detail(404, "Unknown tenant_id")
}

pub(super) fn suspended() -> Response {
    Response::detail(403, "Tenant is suspended")
}

pub(super) fn open_session<'t>(tenant: &Tenant<'_>, tenancy: &mut impl Tenancy<'t>) -> Response {
    for _ in 0..MAX_TRIES {
        let id = tenancy.new_session_id();
        match tenancy.open_session(id) {
            Ok(()) => return opened(tenant, id),
            Err(OpenError::Exists) => {}
            Err(OpenError::Full) => return Response::detail(429, "Too many sessions"),
            Err(OpenError::Unavailable(_)) => return Response::unavailable(),
        }
    }
    Response::internal_error()
}

pub(super) fn chat<'t>(
    tenant: &Tenant<'_>,
    session_id: &str,
    message: &str,
    tenancy: &mut impl Tenancy<'t>,
) -> Response {
    let owner = match SessionId::parse(session_id) {
        Some(id) => tenancy.owner(id),
        None => Ok(Owner::Unknown),
    };
    match owner {
        Ok(Owner::Mine) => {}
        Ok(Owner::Another) => return Response::detail(403, "Session does not belong to tenant"),
        Ok(Owner::Unknown) => return Response::detail(404, "Unknown session_id"),
        Err(_) => return Response::unavailable(),
    }
    match tenancy.admit_chat() {
        Ok(true) => said(tenant, session_id, &reply(tenant, message)),
        Ok(false) => Response::detail(429, "Rate limit exceeded"),
        Err(_) => Response::unavailable(),
    }
}

fn opened(tenant: &Tenant<'_>, id: SessionId) -> Response {
    let texts = tenant.id.len() + tenant.name.len() + tenant.welcome.len();
    let mut body = Vec::with_capacity(texts + 128);
    body.extend_from_slice(br#"{"session_id":"#);
    push_string(&mut body, id.to_string());
    body.extend_from_slice(br#","tenant":{"id":"#);
    push_string(&mut body, tenant.id);
    body.extend_from_slice(br#","name":"#);
    push_string(&mut body, tenant.name);
    body.extend_from_slice(br#","welcome":"#);
    push_string(&mut body, tenant.welcome);
    body.extend_from_slice(b"}}");
    Response::json(200, body)
}

fn said(tenant: &Tenant<'_>, session_id: &str, reply: &[u8]) -> Response {
    let texts = tenant.id.len() + session_id.len() + reply.len() + tenant.model.len();
    let mut body = Vec::with_capacity(texts + 128);
    body.extend_from_slice(br#"{"tenant_id":"#);
    push_string(&mut body, tenant.id);
    body.extend_from_slice(br#","session_id":"#);
    push_string(&mut body, session_id);
    body.extend_from_slice(br#","reply":"#);
    push_string(&mut body, reply);
    body.extend_from_slice(br#","model":"#);
    push_string(&mut body, tenant.model);
    body.extend_from_slice(br#","mock":true}"#);
    Response::json(200, body)
}
