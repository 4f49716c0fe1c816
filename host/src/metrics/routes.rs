//! What monitoring asks over HTTP, without a token: numbers, alive, ready.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    routing::get,
};
use serde_json::json;

use super::{CONTENT_TYPE, Exporter, obstacles};
use crate::state::State;

/// `/metrics`, `/healthz` and `/readyz` of a server with this state:
///
/// - GET /metrics: what [`Exporter::render`] writes;
/// - GET /healthz: 200 as long as the process answers;
/// - GET /readyz: 200 where the server serves, does not drain, and its stores answer;
///   otherwise 503, and the body says what is not as it should be.
pub fn routes(state: Arc<State>) -> Router {
    let exporter = Arc::new(Exporter::new(Arc::clone(&state)));
    Router::new()
        .route(
            "/metrics",
            get(async move || match exporter.render().await {
                Ok(text) => answer(StatusCode::OK, CONTENT_TYPE, text),
                Err(error) => {
                    tracing::error!(%error, "the metrics can't be written");
                    let body = json!({ "detail": "the metrics can't be written" });
                    json(StatusCode::INTERNAL_SERVER_ERROR, &body)
                }
            }),
        )
        .route(
            "/healthz",
            get(async || json(StatusCode::OK, &json!({ "alive": true }))),
        )
        .route("/readyz", get(async move || ready(&state).await))
}

async fn ready(state: &State) -> Response<Body> {
    let obstacles = obstacles(state).await;
    if obstacles.is_empty() {
        return json(StatusCode::OK, &json!({ "ready": true }));
    }
    let obstacles = obstacles.iter();
    let obstacles = obstacles.map(|obstacle| json!({ "what": obstacle.what, "why": obstacle.why }));
    let body = json!({ "ready": false, "obstacles": obstacles.collect::<Vec<_>>() });
    json(StatusCode::SERVICE_UNAVAILABLE, &body)
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    answer(status, "application/json", body.to_string())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let content_type = HeaderValue::from_static(content_type);
    headers.insert(header::CONTENT_TYPE, content_type);
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    answer
}
