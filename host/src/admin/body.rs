//! Bodies of requests, bounded in size and time.

use axum::extract::Request;
use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use super::{Settings, problem::Problem};

/// Bytes of a body, at most.
pub(super) const MAX_BODY: usize = 1 << 20;

/// Reads a body of this content type.
///
/// # Errors
/// It is of another type, too large or too slow, or breaks off.
pub(super) async fn read(request: Request, media_type: &'static str) -> Result<Bytes, Problem> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let given = content_type.and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split(';').next());
    if !given.is_some_and(|given| given.trim().eq_ignore_ascii_case(media_type)) {
        return Err(Problem::media_type(media_type));
    }
    collect(request).await
}

/// Makes sure that there is no body.
///
/// # Errors
/// There is one.
pub(super) async fn none(request: Request) -> Result<(), Problem> {
    if collect(request).await?.is_empty() {
        Ok(())
    } else {
        Err(Problem::body("this takes no body"))
    }
}

async fn collect(request: Request) -> Result<Bytes, Problem> {
    let settings = request.extensions().get().copied();
    let settings: Settings = settings.unwrap_or_default();
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    match timeout(settings.body_timeout, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::body_too_large(MAX_BODY)),
        Ok(Err(_)) => Err(Problem::body(
            "the body broke off, or was not sent as HTTP wants it",
        )),
        Err(_) => Err(Problem::body_too_slow()),
    }
}
