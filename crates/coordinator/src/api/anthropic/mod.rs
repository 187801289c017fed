//! Anthropic's Messages API, over the same chats as OpenAI's: [`request`] makes a chat of a message request, and
//! [`mod@format`] writes Anthropic's JSON and events. Errors are Anthropic's as well ([`error`]).
//!
//! Fields that are not known are ignored, as are tools that Anthropic's own servers would run.

mod blocks;
mod count;
mod error;
mod format;
mod openapi;
mod request;
#[cfg(test)]
mod tests;

pub(super) use error::in_own_words;
pub(super) use openapi::AnthropicDocument;

use super::common::{
    body::JsonBody,
    choices::ChoiceRequests,
    error::ApiError,
    respond::{blocking, respond},
    state::ApiState,
};
use crate::{generate::GenerationService, keys::Caller};
use axum::{Router, extract::State, response::Response, routing::post};
use format::{MessageEvent, MessageFormat, MessageResponse};
use request::MessageBody;
use std::sync::Arc;

/// The field that holds the prompt.
const INPUT: &str = "messages";

/// The routes that cost; and those that do not.
pub(super) fn routes() -> (Router<ApiState>, Router<ApiState>) {
    let costs = Router::new().route("/v1/messages", post(create_message));
    (costs, Router::new().route("/v1/messages/count_tokens", post(count::count_tokens)))
}

/// Answer a chat, in Anthropic's form.
#[utoipa::path(post, path = "/v1/messages", tag = "messages", operation_id = "createMessage",
    request_body(content = MessageBody, content_type = "application/json"),
    responses(
        (status = 200, content((MessageResponse = "application/json"), (MessageEvent = "text/event-stream")),
            description = "The whole answer, or with `stream` its events. An error in the middle of a stream is an \
                event `error`."),
        (status = 400, body = error::AnthropicError, description = "`invalid_request_error`: a field cannot be used, \
            or the prompt is too long."),
        (status = 401, body = error::AnthropicError, description = "`authentication_error`"),
        (status = 404, body = error::AnthropicError, description = "`not_found_error`: there is no such model."),
        (status = 413, body = error::AnthropicError, description = "`request_too_large`"),
        (status = 429, body = error::AnthropicError, description = "`rate_limit_error`: the queue is full, or the \
            key's quota is used.", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 500, body = error::AnthropicError, description = "`api_error`: the answer could not be computed."),
        (status = 529, body = error::AnthropicError, description = "`overloaded_error`: machines are missing, or the \
            coordinator is shutting down.", headers(("Retry-After" = u32, description = "Seconds"))),
    ))]
async fn create_message(
    State(service): State<Arc<dyn GenerationService>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (for_models, asks) = (Arc::clone(&service), caller.clone());
    let prepare = move || {
        let prepared = request::prepare(for_models.as_ref(), &asks, &body.bytes)?;
        let format = MessageFormat::new(&prepared.model, prepared.chat.short_ids);
        Ok((ChoiceRequests::of_chat(prepared.model, INPUT, prepared.chat, 0, prepared.options), format))
    };
    let (requests, format): (ChoiceRequests, MessageFormat) = blocking(prepare).await?;
    respond(service.as_ref(), &caller, requests, format).await
}
