//! What tenants used, in JSON by the page and in CSV as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    extract::{Path, State as From},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use http_body_util::channel::{Channel, Sender};
use serde::Serialize;
use tenantry_core::session::TenantKey;

use super::{
    query::cut,
    question::{Form, Place, read},
    tenants::{Answer, find, json},
    text::rfc3339,
};
use crate::{
    state::{State, Step, StoreError, Usage, UsageQuery, UsageRow},
    terminal::csv_cell,
};

/// Rows that are asked for at a time where all are wanted.
const CSV_ROWS: usize = 1000;

/// Pieces of CSV that wait for a client to take them.
const CSV_PIECES: usize = 2;

/// What one tenant used in one span, as it is told.
#[derive(Serialize)]
struct Told<'a> {
    start: String,
    /// None where the tenant is not known any more.
    tenant: Option<&'a str>,
    chats: u64,
    refused: u64,
    sessions: u64,
    bytes_in: u64,
    bytes_out: u64,
    busy_ns: u64,
    refused_bytes_in: u64,
}

impl<'a> Told<'a> {
    fn of(row: &UsageRow, ids: &'a BTreeMap<TenantKey, String>) -> Self {
        let Usage {
            chats,
            refused,
            sessions,
            bytes_in,
            bytes_out,
            busy_ns,
            refused_bytes_in,
        } = row.usage;
        Self {
            start: minute(row.minute),
            tenant: ids.get(&row.tenant).map(String::as_str),
            chats,
            refused,
            sessions,
            bytes_in,
            bytes_out,
            busy_ns,
            refused_bytes_in,
        }
    }
}

/// A page of usage, by span and tenant.
#[derive(Serialize)]
struct Page<'a> {
    step: &'static str,
    from: String,
    to: String,
    usage: Vec<Told<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn minute(minute: u64) -> String {
    // Questions end with [`MAX_MINUTE`], and a clock that is past it has nothing to count.
    rfc3339(u128::from(minute) * 60_000_000_000).unwrap_or_default()
}

fn step_name(step: Step) -> &'static str {
    let mut names = Step::NAMES.iter();
    names
        .find_map(|(name, known)| (*known == step).then_some(*name))
        .unwrap_or_default()
}

pub(super) async fn of_all(From(state): From<Arc<State>>, uri: Uri, headers: HeaderMap) -> Answer {
    let (query, form) = read(&uri, &headers, now())?;
    answer(state, query, form).await
}

pub(super) async fn of_tenant(
    From(state): From<Arc<State>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let (mut query, form) = read(&uri, &headers, now())?;
    query.tenant = Some(find(&state, &id).await?.key);
    answer(state, query, form).await
}

/// Seconds of Unix time.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

async fn answer(state: Arc<State>, query: UsageQuery, form: Form) -> Answer {
    match form {
        Form::Json => page(&state, query).await,
        Form::Csv => csv(state, query).await,
    }
}

/// Rows, and the ids of their tenants.
type Rows = (Vec<UsageRow>, BTreeMap<TenantKey, String>);

async fn rows(state: &State, query: UsageQuery) -> Result<Rows, StoreError> {
    let rows = state.usage.query(query).await?;
    let keys: BTreeSet<_> = rows.iter().map(|row| row.tenant).collect();
    let ids = state.records.ids(&keys).await?;
    Ok((rows, ids))
}

async fn page(state: &State, query: UsageQuery) -> Answer {
    let limit = query.max;
    let max = limit + 1;
    let (mut rows, ids) = rows(state, UsageQuery { max, ..query }).await?;
    let next = cut(&mut rows, limit, |row| {
        let after = (row.minute, row.tenant);
        let UsageQuery { from, to, step, .. } = query;
        let place = Place {
            from,
            to,
            step,
            after,
        };
        place.cursor()
    });
    let page = Page {
        step: step_name(query.step),
        from: minute(query.from),
        to: minute(query.to),
        usage: rows.iter().map(|row| Told::of(row, &ids)).collect(),
        next,
    };
    Ok(json(StatusCode::OK, &page))
}

/// All pages, one after the other. The first one is there before the answer begins: where
/// there is none, that can still be said.
async fn csv(state: Arc<State>, query: UsageQuery) -> Answer {
    let query = UsageQuery {
        max: CSV_ROWS,
        ..query
    };
    let first = rows(&state, query).await?;
    let (sender, body) = Channel::<Bytes, StoreError>::new(CSV_PIECES);
    tokio::spawn(send(state, query, first, sender));
    let mut response = Response::new(Body::new(body));
    let content_type = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    let name = HeaderValue::from_static(r#"attachment; filename="usage.csv""#);
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// Sends page after page, for as long as the client takes them. Where the store fails on
/// the way, the answer breaks off: a part of it must not look like all of it.
async fn send(
    state: Arc<State>,
    mut query: UsageQuery,
    (mut page, mut ids): Rows,
    mut sender: Sender<Bytes, StoreError>,
) {
    let mut piece = Usage::NAMES
        .iter()
        .fold("start,tenant".to_owned(), |line, name| line + "," + name);
    piece.push('\n');
    loop {
        for row in &page {
            piece += &line(row, &ids);
        }
        if sender
            .send_data(Bytes::from(std::mem::take(&mut piece)))
            .await
            .is_err()
        {
            return;
        }
        let Some(last) = page.last().filter(|_| page.len() == query.max) else {
            return;
        };
        query.after = Some((last.minute, last.tenant));
        match rows(&state, query).await {
            Ok(next) => (page, ids) = next,
            Err(error) => {
                tracing::error!(target: "tenantry::admin", %error, "an export broke off");
                sender.abort(error);
                return;
            }
        }
    }
}

/// A row as a line of CSV.
fn line(row: &UsageRow, ids: &BTreeMap<TenantKey, String>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let start = minute(row.minute);
    let tenant = ids.get(&row.tenant).map_or("", String::as_str);
    let tenant = csv_cell(tenant);
    let numbers = row.usage.numbers().map(|number| number.to_string());
    let fields = [&*start, &*tenant].into_iter();
    let fields = fields.chain(numbers.iter().map(String::as_str));
    // Writing to memory does not fail.
    let _ = writer.write_record(fields);
    let line = writer.into_inner().unwrap_or_default();
    String::from_utf8(line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_quoted_where_csv_wants_it() {
        let ids = BTreeMap::from([(1, "a,\"b\"\n".to_owned()), (3, "=1+1".to_owned())]);
        let row = |tenant| UsageRow {
            tenant,
            minute: 0,
            usage: Usage::from_numbers([1, 2, 3, 4, 5, 6, 7]),
        };
        let start = "1970-01-01T00:00:00Z";
        let quoted = "\"a,\"\"b\"\"\\u{a}\"";
        assert_eq!(
            line(&row(1), &ids),
            format!("{start},{quoted},1,2,3,4,5,6,7\n")
        );
        assert_eq!(line(&row(2), &ids), format!("{start},,1,2,3,4,5,6,7\n"));
        // No formula for a spreadsheet.
        assert_eq!(
            line(&row(3), &ids),
            format!("{start},'=1+1,1,2,3,4,5,6,7\n")
        );
    }
}
