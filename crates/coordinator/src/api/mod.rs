//! What the coordinator serves over HTTP. Only [`openai`] knows OpenAI's JSON, and only [`anthropic`] Anthropic's.

mod anthropic;
mod common;
pub mod openai;
mod openapi;

pub use common::body::MAX_BODY_BYTES;
pub(crate) use common::{caller::LIMITS, request_id::REQUEST_ID};
pub use openapi::document;

use crate::{generate::GenerationService, keys::Keys, metrics::Metrics};
use axum::{
    Router,
    extract::{Request, State},
    http::{Method, Uri},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::get,
};
use common::{body::Preparing, caller, error::ApiError, lenient, request_id, state::ApiState};
use openai::{REPLAY_WITHIN, StoredStreams};
use std::sync::Arc;
use tower::util::MapRequest;

/// The routes of all APIs, answered by `service` for those whom `keys` let in.
///
/// It sets the fallbacks for unknown routes and methods (404 and 405 in OpenAI's JSON), so merge it only with routers
/// that set none.
pub(crate) fn router(service: Arc<dyn GenerationService>, keys: Keys, metrics: Metrics) -> Router {
    let routes = router_with(service, keys, StoredStreams::new(REPLAY_WITHIN));
    let routes = routes.layer(from_fn_with_state(metrics, count_refusals));
    // Around the routes: a path must be right before its route is looked for.
    Router::new().fallback_service(MapRequest::new(routes, lenient::normalize))
}

/// Middleware: counts errors by their cause.
async fn count_refusals(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(error) = response.extensions().get::<ApiError>() {
        metrics.refused(error.code().unwrap_or("invalid_request"));
    }
    response
}

fn router_with(service: Arc<dyn GenerationService>, keys: Keys, streams: StoredStreams) -> Router {
    let (openai_costs, openai_free) = openai::routes(streams);
    let (anthropic_costs, anthropic_free) = anthropic::routes();
    let costs = openai_costs.merge(anthropic_costs.route_layer(from_fn(caller::admit)));
    costs
        .merge(openai_free)
        .merge(anthropic_free)
        .route_layer(from_fn_with_state(keys, caller::authenticate))
        .route_layer(from_fn(request_id::give))
        .route_layer(from_fn(anthropic::in_own_words))
        .route("/openapi.json", get(openapi::serve_document))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_url)
        .with_state(ApiState { service, preparing: Preparing::default() })
}

async fn unknown_url(method: Method, uri: Uri) -> ApiError {
    ApiError::unknown_url(&method, uri.path())
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(&method, uri.path())
}
