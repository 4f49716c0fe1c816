//! What was changed, by whom and when.

use std::sync::Arc;

use axum::extract::State as From;
use http::{StatusCode, Uri};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    query::{Query, cursor, cut},
    tenants::{Answer, json},
    text::{rfc3339_ms, stored_json},
};
use crate::state::{AuditQuery, AuditRecord, State};

/// A record of the audit as it is told.
#[derive(Serialize)]
struct Told<'a> {
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    who: &'a str,
    request_id: &'a str,
    action: &'a str,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Box<RawValue>>,
}

impl<'a> Told<'a> {
    fn of(AuditRecord { seq, event }: &'a AuditRecord) -> Self {
        Self {
            seq: *seq,
            at: rfc3339_ms(event.at_ms),
            who: &event.by.who,
            request_id: &event.by.request_id,
            action: &event.action,
            tenant: &event.tenant_id,
            before: event.before.as_deref().and_then(stored_json),
            after: event.after.as_deref().and_then(stored_json),
        }
    }
}

/// A page of the audit, oldest first.
#[derive(Serialize)]
struct Page<'a> {
    records: Vec<Told<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn list(From(state): From<Arc<State>>, uri: Uri) -> Answer {
    let mut query = Query::of(&uri, &["tenant", "limit", "cursor"]);
    let tenant_id = query.text("tenant").map(str::to_owned);
    let limit = query.limit();
    let after = query.cursor('a', |seq| seq.parse().ok());
    query.finish()?;
    let query = AuditQuery {
        tenant_id,
        after,
        max: limit + 1,
    };
    let mut page = state.records.audit(query).await?;
    let next = cut(&mut page, limit, |record| cursor('a', record.seq));
    let records = page.iter().map(Told::of).collect();
    Ok(json(StatusCode::OK, &Page { records, next }))
}
