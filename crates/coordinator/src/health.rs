//! For load balancers and supervisors, without a key: `/health` (the program answers), `/ready` (some model can be asked),
//! and `HEAD /` for what only looks whether something is there.

use crate::generate::GenerationService;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::sync::Arc;

/// Seconds after which to ask again: a machine that comes back needs about this long.
const ASK_AGAIN: &str = "5";

pub(crate) fn routes(service: Arc<dyn GenerationService>) -> Router {
    Router::new()
        // axum answers HEAD as GET, without the body.
        .route("/", get(|| async { "GoGrid coordinator: see /openapi.json\n" }))
        .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/ready", get(ready))
        .with_state(service)
}

async fn ready(State(service): State<Arc<dyn GenerationService>>) -> Response {
    let models = service.models();
    let ready = models.iter().filter(|model| model.ready).count();
    let body = Json(json!({"ready": ready > 0, "models": models.len(), "ready_models": ready}));
    match ready {
        0 => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, ASK_AGAIN)], body).into_response(),
        _ => body.into_response(),
    }
}
