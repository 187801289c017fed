//! OpenAI's HTTP API, so that any client of it works unchanged.
//!
//! Answers that are streamed may be replayed ([`event_replay`]).
//!
//! Fields that this server does not know are ignored, as are those that official clients send and that change no answer
//! (`user`, `metadata`, `store` …). A field that would change the answer is refused by name: an error is better than an
//! answer that silently is not the one asked for.

mod chat;
mod completions;
mod constrained;
mod envelope;
mod error;
mod event_replay;
mod logprobs;
mod models;
mod openapi;
mod options;
mod responses;
mod schema;
#[cfg(test)]
pub(crate) mod tests;
mod tokenize;
mod unsupported;

pub use error::{ErrorBody, ErrorObject};
pub(super) use event_replay::{REPLAY_WITHIN, StoredStreams};
pub(super) use openapi::OpenAiDocument;

use super::common::{caller::admit, state::ApiState};
use axum::{
    Extension, Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};

/// The routes that cost; and those that do not. Streams of completions are kept in `streams`.
pub(super) fn routes(streams: StoredStreams) -> (Router<ApiState>, Router<ApiState>) {
    let costs = Router::new()
        .route("/v1/chat/completions", post(chat::create_chat_completion))
        .route("/v1/completions", post(completions::create_completion));
    let free = Router::new()
        .route("/v1/models", get(models::list))
        // A wildcard, because names may hold slashes and not every client encodes them.
        .route("/v1/models/{*model}", get(models::retrieve))
        .route("/v1/tokenize", post(tokenize::tokenize))
        .route("/v1/detokenize", post(tokenize::detokenize));
    // A replay is no new request, and does not count as one.
    let costs = costs.route_layer(from_fn(admit)).route_layer(from_fn_with_state(streams, event_replay::replay_layer));
    let responses = Router::new().route("/v1/responses", post(responses::create_response)).route_layer(from_fn(admit));
    let responses = responses.layer(Extension(responses::StoredResponses::default()));
    (costs.merge(responses), free)
}
