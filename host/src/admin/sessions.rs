//! The sessions of a tenant: listed, and ended before their time.
//!
//! A session's id is a secret. It is told to who has an admin token, and neither logged nor
//! written into the audit.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, Request, State as From},
    response::IntoResponse as _,
};
use http::{StatusCode, Uri};
use serde::Serialize;
use tenantry_core::session::SessionId;

use super::{
    body,
    problem::Problem,
    query::{Query, cursor, cut},
    tenants::{Answer, find, json},
    text::rfc3339,
};
use crate::state::{Author, Entry, State, StoreError};

/// A session as it is told.
#[derive(Serialize)]
struct Told {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<String>,
}

/// A page of sessions.
#[derive(Serialize)]
struct Page {
    /// Of the tenant, on all pages together.
    count: u64,
    sessions: Vec<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The tenant as sessions know it, whatever its stage.
async fn entry(state: &State, id: &str) -> Result<Arc<Entry>, Problem> {
    // A tenant that is gone from a file is none here.
    find(state, id).await?;
    let entry = state.tenants.look_up(id).wait().await;
    let entry = entry.map_err(|_| {
        let which = "the tenants are out of reach".to_owned();
        StoreError::Unavailable(which)
    })?;
    entry.ok_or_else(Problem::no_such_tenant)
}

pub(super) async fn list(
    From(state): From<Arc<State>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer {
    let mut query = Query::of(&uri, &["limit", "cursor"]);
    let limit = query.limit();
    let after = query.cursor('s', SessionId::parse);
    query.finish()?;
    let tenant = entry(&state, &id).await?;
    let count = state.session_records.count(&tenant).await?;
    let sessions = state.session_records.list(&tenant, after, limit + 1);
    let mut sessions = sessions.await?;
    let next = cut(&mut sessions, limit, |session| cursor('s', session.id));
    let told = sessions.iter().map(|session| Told {
        id: session.id.to_string(),
        used: rfc3339(session.used.as_nanos().into()),
    });
    let page = Page {
        count,
        sessions: told.collect(),
        next,
    };
    Ok(json(StatusCode::OK, &page))
}

pub(super) async fn revoke(
    From(state): From<Arc<State>>,
    Extension(by): Extension<Author>,
    Path((id, session)): Path<(String, String)>,
    request: Request,
) -> Answer {
    Query::none(request.uri())?;
    body::none(request).await?;
    let tenant = entry(&state, &id).await?;
    let session = SessionId::parse(&session).ok_or_else(Problem::no_such_session)?;
    if state.session_records.revoke(&tenant, session, &by).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::no_such_session())
    }
}

/// How many sessions were ended.
#[derive(Serialize)]
struct Revoked {
    revoked: u64,
}

pub(super) async fn revoke_all(
    From(state): From<Arc<State>>,
    Extension(by): Extension<Author>,
    Path(id): Path<String>,
    request: Request,
) -> Answer {
    Query::none(request.uri())?;
    body::none(request).await?;
    let tenant = entry(&state, &id).await?;
    let revoked = state.session_records.revoke_all(&tenant, &by).await?;
    Ok(json(StatusCode::OK, &Revoked { revoked }))
}
