//! The description of this API.

use axum::response::IntoResponse as _;
use http::{Uri, header};

use super::{query::Query, tenants::Answer};

/// An OpenAPI 3.1 document. Written by hand, as that of the contract is: what matters in it
/// are texts, statuses and headers, which no signature has. A test compares it with answers.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn get(uri: Uri) -> Answer {
    Query::none(&uri)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response())
}
