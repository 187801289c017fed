//! OpenAI's HTTP API, so that any client of it works unchanged.
//!
//! How a request flows: body (bounded) → typed request ([`body`], errors name the field) → checked options
//! ([`options`], [`refused`]) → token ids → one generation per choice ([`answers`]) → one JSON document, or server-sent
//! events ([`stream`]). Everything is checked before the first generation is asked for, and when one of several choices
//! is refused, those before it are dropped, which cancels them. The receivers of a request's generations live in its
//! handler or in its response body; a closed connection drops either, so the work ends on every stage (but for streams that
//! may be resumed: [`resume`]).
//!
//! Fields that this server does not know are ignored, as are those that official clients send and that change no answer
//! (`user`, `metadata`, `store` …). Those that would change the answer are refused by name: an answer that silently is
//! not the one asked for is worse than an error.

mod answers;
mod backend;
mod body;
mod chat;
mod completions;
mod envelope;
mod error;
mod format;
mod logprobs;
mod models;
mod openapi;
mod options;
mod refused;
mod resume;
mod stream;
#[cfg(test)]
mod tests;

pub use backend::Backend;
pub use error::{ErrorBody, ErrorObject};
pub use openapi::document;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, Uri},
    middleware::from_fn_with_state,
    routing::{get, post},
};
use error::ApiError;
use resume::{RESUME_WITHIN, Streams};
use std::sync::Arc;

/// The largest request body that is read, in bytes. A context of 131,072 tokens at four characters each, every
/// character written as `\uXXXX`, is 3 MiB; the rest is room for the other fields. Each open request may hold this much.
pub const MAX_BODY_BYTES: usize = 4 << 20;

/// The routes of OpenAI's API, answered by `backend`.
///
/// It sets the fallbacks for unknown routes and methods (404 and 405 in OpenAI's JSON), so merge it with routers that
/// set none.
pub fn router(backend: Arc<dyn Backend>) -> Router {
    router_with(backend, Streams::new(RESUME_WITHIN))
}

fn router_with(backend: Arc<dyn Backend>, streams: Streams) -> Router {
    let completions = Router::new()
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/completions", post(completions::create))
        .route_layer(from_fn_with_state(streams, resume::serve));
    completions
        .route("/v1/models", get(models::list))
        // a wildcard: names may hold slashes, and not every client encodes them
        .route("/v1/models/{*model}", get(models::retrieve))
        .route("/openapi.json", get(openapi::serve))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_url)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(backend)
}

async fn unknown_url(method: Method, uri: Uri) -> ApiError {
    ApiError::unknown_url(&method, uri.path())
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(&method, uri.path())
}

/// Runs what may take long (a long prompt's tokens) off the async workers. Each open request has at most one such task,
/// so the queue is as bounded as the connections are.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))?
}
