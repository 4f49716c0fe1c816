//! What is answered to a request that is valid in form: the order of checks, and the
//! bodies of the answers.

use alloc::{string::ToString, vec::Vec};

use super::Response;
use crate::{
    json::push_string,
    limit::Admission,
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

pub(super) fn open_session(tenant: &Tenant, tenancy: &mut impl Tenancy) -> Response {
    for _ in 0..MAX_TRIES {
        let id = tenancy.new_session_id();
        match tenancy.open_session(id) {
            Ok(()) => {
                let tenant = object(&[
                    ("id", &tenant.id),
                    ("name", &tenant.name),
                    ("welcome", &tenant.welcome),
                ]);
                let mut body = br#"{"session_id":"#.to_vec();
                push_string(&mut body, &id.to_string());
                body.extend_from_slice(br#","tenant":"#);
                body.extend_from_slice(&tenant);
                body.push(b'}');
                return Response::json(200, body);
            }
            Err(OpenError::Exists) => {}
            Err(OpenError::Full) => return Response::detail(429, "Too many sessions"),
            Err(OpenError::Unavailable(_)) => return Response::unavailable(),
        }
    }
    Response::internal_error()
}

pub(super) fn chat(
    tenant: &Tenant,
    session_id: &str,
    message: &str,
    tenancy: &mut impl Tenancy,
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
    let quota = match tenancy.admit_chat() {
        Ok(Admission::Unlimited) => None,
        Ok(Admission::Granted(quota)) => Some(quota),
        Ok(Admission::Refused(quota)) => {
            return Response {
                quota: Some(quota),
                retry_after: Some(quota.reset),
                ..Response::detail(429, "Rate limit exceeded")
            };
        }
        Err(_) => return Response::unavailable(),
    };
    let mut body = object(&[
        ("tenant_id", &tenant.id),
        ("session_id", session_id),
        ("reply", &tenant.reply.to(&tenant.welcome, message)),
        ("model", &tenant.model),
    ]);
    body.pop();
    body.extend_from_slice(br#","mock":true}"#);
    Response {
        quota,
        ..Response::json(200, body)
    }
}

/// A JSON object of strings.
fn object(members: &[(&str, &str)]) -> Vec<u8> {
    let bytes = members
        .iter()
        .map(|(name, value)| name.len() + value.len() + 6);
    let mut json = Vec::with_capacity(bytes.sum::<usize>() + 16);
    for (n, (name, value)) in members.iter().enumerate() {
        json.push(if n == 0 { b'{' } else { b',' });
        push_string(&mut json, name);
        json.push(b':');
        push_string(&mut json, value);
    }
    json.push(b'}');
    json
}
