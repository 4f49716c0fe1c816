//! Around every request: its id, its time, and one line of the log, without what may be
//! secret in it.

use axum::{
    extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue};
use tokio::time::{Instant, timeout};

use super::{
    Settings,
    problem::{self, Problem},
};
use crate::server::{RequestId, logged_text};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What monitoring asks all the time.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Answers a request: in time, with its id, and with a line in the log.
pub(super) async fn answer(
    State(settings): State<Settings>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let id = RequestId::next();
    let method = request.method().clone();
    let (mut head, body) = request.into_parts();
    // The route and not the path: that may have the id of a session in it.
    let route = head.extensions.get::<MatchedPath>().cloned();
    let params = RawPathParams::from_request_parts(&mut head, &()).await;
    let tenant = params.ok().and_then(|params| {
        let mut params = params.iter();
        let (_, id) = params.find(|(name, _)| *name == "id")?;
        Some(logged_text(id).into_owned())
    });
    head.extensions.insert(id);
    head.extensions.insert(settings);
    let answer = next.run(Request::from_parts(head, body));
    let answer = timeout(settings.request_timeout, answer).await;
    let answer = answer.unwrap_or_else(|_| Problem::too_slow().into_response());
    let mut answer = problem::finish(answer, id);
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    let route = route.as_ref().map(MatchedPath::as_str);
    let status = answer.status().as_u16();
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                target: "tenantry::admin",
                request_id = %id,
                method = &*logged_text(method.as_str()),
                route,
                tenant,
                status,
                duration_us = start.elapsed().as_micros() as u64,
            )
        };
    }
    // Probes come every few seconds. One that is refused has a reason to be looked at.
    let is_probe = route.is_some_and(|route| PROBES.contains(&route));
    if is_probe && [200, 503].contains(&status) {
        log!(debug);
    } else {
        log!(info);
    }
    answer
}
