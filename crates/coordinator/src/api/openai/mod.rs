//! OpenAI's HTTP API, so that any client of it works unchanged.
//!
//! How a request flows: who asks ([`caller`]) → body (bounded, [`body`]) → typed fields (errors name the field) → checked options ([`options`],
//! [`unsupported`]) → token ids → one generation per choice ([`choices`]) → one JSON document or server-sent events
//! ([`respond`], [`stream`]). Everything is checked before the first generation starts. If one of several choices is
//! refused, those before it are dropped, which cancels them. The receivers of a request's generations live in its
//! handler or in its response body. A closed connection drops either, so the work ends on every stage, except for
//! streams that may be replayed ([`event_replay`]).
//!
//! Fields that this server does not know are ignored, as are those that official clients send and that change no answer
//! (`user`, `metadata`, `store` …). A field that would change the answer is refused by name: an error is better than an
//! answer that silently is not the one asked for.

mod body;
mod caller;
mod chat;
mod choices;
mod completions;
mod constrained;
mod envelope;
mod error;
mod event_replay;
mod format;
mod lenient;
mod logprobs;
mod models;
mod openapi;
mod options;
mod respond;
mod schema;
mod stream;
#[cfg(test)]
mod tests;
mod unsupported;

pub use body::MAX_BODY_BYTES;
pub(crate) use caller::LIMITS;
pub use error::{ErrorBody, ErrorObject};
pub use openapi::document;

use crate::{generate::GenerationService, keys::Keys, metrics::Metrics};
use axum::{
    Router,
    extract::{FromRef, Request, State},
    http::{HeaderName, Method, Uri},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use body::Preparing;
use error::{ApiError, Refused};
use event_replay::{REPLAY_WITHIN, StoredStreams};
use std::sync::Arc;
use tower::util::MapRequest;

/// The response header with a completion's id.
pub(crate) const REQUEST_ID: HeaderName = event_replay::REQUEST_ID;

/// What the handlers share.
#[derive(Clone)]
struct ApiState {
    service: Arc<dyn GenerationService>,
    preparing: Preparing,
}

impl FromRef<ApiState> for Arc<dyn GenerationService> {
    fn from_ref(state: &ApiState) -> Self {
        Self::clone(&state.service)
    }
}

impl FromRef<ApiState> for Preparing {
    fn from_ref(state: &ApiState) -> Self {
        state.preparing.clone()
    }
}

/// The routes of OpenAI's API, answered by `service` for those whom `keys` let in.
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
    if let Some(Refused(cause)) = response.extensions().get() {
        metrics.refused(cause);
    }
    response
}

fn router_with(service: Arc<dyn GenerationService>, keys: Keys, streams: StoredStreams) -> Router {
    let completions = Router::new()
        .route("/v1/chat/completions", post(chat::create_chat_completion))
        .route("/v1/completions", post(completions::create_completion))
        .route_layer(from_fn(caller::admit))
        // A replay is no new request.
        .route_layer(from_fn_with_state(streams, event_replay::replay_layer));
    completions
        .route("/v1/models", get(models::list))
        // A wildcard, because names may hold slashes and not every client encodes them.
        .route("/v1/models/{*model}", get(models::retrieve))
        .route_layer(from_fn_with_state(keys, caller::authenticate))
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
