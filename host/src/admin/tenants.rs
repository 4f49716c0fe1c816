//! Tenants: listed, told, added, changed, suspended, resumed, archived and purged.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Path, Request, State as From},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    body,
    condition::{Condition, etag},
    problem::{Issue, Problem},
    query::{Query, cursor, cut},
    row::{self, Checked},
    text::{rfc3339_ms, stored_json},
};
use crate::state::{
    Author, Change, ChangeError, Expected, Record, Stage, State, TenantQuery, TenantStore,
};

/// The answer to a request, or why there is none.
pub(super) type Answer = Result<Response, Problem>;

/// How often a patch is made again that somebody else's change got in the way of.
const MAX_TRIES: usize = 10;

/// A tenant as it is told.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    state: &'static str,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<String>,
    row: Option<Box<RawValue>>,
    /// What is odd about a row that was sent.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [Issue],
}

impl<'a> Told<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            id: &record.id,
            state: record.stage.name(),
            version: record.version,
            created: rfc3339_ms(record.created_ms),
            changed: rfc3339_ms(record.changed_ms),
            row: stored_json(&record.row),
            warnings: &[],
        }
    }
}

/// A page of tenants.
#[derive(Serialize)]
struct Page<'a> {
    tenants: Vec<Told<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // What this module tells can always be written.
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    // Whoever wants to keep an answer must ask whether it is still right.
    let no_cache = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, no_cache);
    response
}

fn told(status: StatusCode, record: &Record) -> Response {
    told_with(status, record, &[])
}

/// The same, after a row was sent that is odd.
fn told_with(status: StatusCode, record: &Record, warnings: &[Issue]) -> Response {
    let told = Told {
        warnings,
        ..Told::of(record)
    };
    let mut response = json(status, &told);
    let tag = etag(record.version);
    response.headers_mut().insert(header::ETAG, tag);
    response
}

pub(super) async fn list(From(state): From<Arc<State>>, uri: Uri) -> Answer {
    let mut query = Query::of(&uri, &["state", "limit", "cursor"]);
    let right = "active, suspended or archived";
    let stage = query.read("state", right, Stage::parse);
    let limit = query.limit();
    let after = query.cursor('t', |place| place.parse().ok());
    query.finish()?;
    let query = TenantQuery {
        stage,
        after,
        max: limit + 1,
    };
    let mut page = state.records.list(query).await?;
    let next = cut(&mut page, limit, |(place, _)| cursor('t', place));
    let tenants = page.iter().map(|(_, record)| Told::of(record));
    let tenants = tenants.collect();
    Ok(json(StatusCode::OK, &Page { tenants, next }))
}

/// The tenant with that id.
///
/// # Errors
/// There is none, or the store does not answer.
pub(super) async fn find(state: &State, id: &str) -> Result<Record, Problem> {
    let record = state.records.get(id).await?;
    record.ok_or_else(Problem::no_such_tenant)
}

pub(super) async fn get(
    From(state): From<Arc<State>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    Query::none(&uri)?;
    let condition = Condition::of(&headers)?;
    let record = find(&state, &id).await?;
    if condition.has(record.version) {
        let tag = [(header::ETAG, etag(record.version))];
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok(told(StatusCode::OK, &record))
}

pub(super) async fn put(
    From(state): From<Arc<State>>,
    Extension(by): Extension<Author>,
    Path(id): Path<String>,
    request: Request,
) -> Answer {
    Query::none(request.uri())?;
    let condition = Condition::of(request.headers())?;
    let body = body::read(request, "application/json").await?;
    let Checked { row, warnings } = row::checked(&id, row::text(&body)?)?;
    let store = &*state.records;
    let expected = condition.expected(store, &id, Expected::Any).await?;
    let (record, is_new) = put_row(store, &id, &row.to_json(), expected, &by).await?;
    if !is_new {
        return Ok(told_with(StatusCode::OK, &record, &warnings));
    }
    let mut response = told_with(StatusCode::CREATED, &record, &warnings);
    let id = utf8_percent_encode(&record.id, NON_ALPHANUMERIC);
    if let Ok(location) = HeaderValue::try_from(format!("/tenants/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Gives a tenant this row. Says whether it is a new tenant: its version does not, as a row
/// that is there already changes nothing.
async fn put_row(
    store: &dyn TenantStore,
    id: &str,
    row: &str,
    expected: Expected,
    by: &Author,
) -> Result<(Record, bool), Problem> {
    let mut tries = 0;
    loop {
        tries += 1;
        // Where either is right, it is asked for the one that is likely to be.
        let this = match expected {
            Expected::Any if store.get(id).await?.is_none() => Expected::Absent,
            Expected::Any => Expected::Present,
            expected => expected,
        };
        let change = Change::Put(row.to_owned());
        match store.change(id, change, this, by).await {
            Err(ChangeError::Conflict(_)) if expected == Expected::Any && tries < MAX_TRIES => {}
            Err(error) => return Err(Problem::of_change(error, "put")),
            Ok(record) => {
                let record = record.ok_or_else(Problem::no_such_tenant)?;
                return Ok((record, this == Expected::Absent));
            }
        }
    }
}

pub(super) async fn patch(
    From(state): From<Arc<State>>,
    Extension(by): Extension<Author>,
    Path(id): Path<String>,
    request: Request,
) -> Answer {
    Query::none(request.uri())?;
    let condition = Condition::of(request.headers())?;
    let body = body::read(request, "application/merge-patch+json").await?;
    let patch = row::text(&body)?;
    let store = &*state.records;
    let expected = condition.expected(store, &id, Expected::Any).await?;
    let mut tries = 0;
    loop {
        tries += 1;
        let record = state.records.get(&id).await?;
        let current = record.as_ref().map(|record| record.version);
        let is_expected = match expected {
            Expected::Any => true,
            Expected::Absent => current.is_none(),
            Expected::Present => current.is_some(),
            Expected::Version(version) => current == Some(version),
        };
        if !is_expected {
            return Err(Problem::precondition_failed(current));
        }
        let record = record.ok_or_else(Problem::no_such_tenant)?;
        let merged = row::merged(&record.row, patch)?;
        let Checked { row, warnings } = row::checked(&id, &merged)?;
        let change = Change::Put(row.to_json());
        let this = Expected::Version(record.version);
        match state.records.change(&id, change, this, &by).await {
            // Somebody was faster; the patch is as good for what there is now.
            Err(ChangeError::Conflict(_)) if tries < MAX_TRIES => {}
            Err(error) => return Err(Problem::of_change(error, "patch")),
            Ok(record) => {
                let record = record.ok_or_else(Problem::no_such_tenant)?;
                return Ok(told_with(StatusCode::OK, &record, &warnings));
            }
        }
    }
}

/// Makes a change that takes no body.
async fn change(state: &State, by: &Author, id: &str, request: Request, change: Change) -> Answer {
    Query::none(request.uri())?;
    let condition = Condition::of(request.headers())?;
    body::none(request).await?;
    let store = &*state.records;
    let expected = condition.expected(store, id, Expected::Any).await?;
    let name = change.name();
    let record = store.change(id, change, expected, by).await;
    let record = record.map_err(|error| Problem::of_change(error, name))?;
    Ok(match record {
        Some(record) => told(StatusCode::OK, &record),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

macro_rules! changes {
    ($($name:ident: $change:expr;)*) => {
        $(
            pub(super) async fn $name(
                From(state): From<Arc<State>>,
                Extension(by): Extension<Author>,
                Path(id): Path<String>,
                request: Request,
            ) -> Answer {
                change(&state, &by, &id, request, $change).await
            }
        )*
    };
}

changes! {
    suspend: Change::Suspend;
    resume: Change::Resume;
    archive: Change::Archive;
    purge: Change::Purge;
}
