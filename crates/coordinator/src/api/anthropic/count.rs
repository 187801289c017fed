//! `POST /v1/messages/count_tokens`.

use super::{INPUT, error::AnthropicError, request::MessageBody};
use crate::{
    api::common::{
        body::{JsonBody, parse},
        caller::text_for,
        error::ApiError,
        respond::blocking,
    },
    chat::Family,
    generate::GenerationService,
    keys::Caller,
};
use axum::{Json, extract::State};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How long a prompt is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenCount {
    /// Tokens of the prompt: messages, tools, and what the template writes around them.
    input_tokens: usize,
}

/// Count the tokens of a message request, without answering it. Costs nothing.
#[utoipa::path(post, path = "/v1/messages/count_tokens", tag = "messages", operation_id = "countMessageTokens",
    request_body(content = MessageBody, content_type = "application/json"),
    responses(
        (status = 200, body = TokenCount),
        (status = 400, body = AnthropicError, description = "`invalid_request_error`: a field cannot be used."),
        (status = 401, body = AnthropicError, description = "`authentication_error`"),
        (status = 404, body = AnthropicError, description = "`not_found_error`: there is no such model."),
    ))]
pub(super) async fn count_tokens(
    State(service): State<Arc<dyn GenerationService>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<TokenCount>, ApiError> {
    let count = move || {
        let request: MessageBody = parse(&body.bytes)?;
        let model = text_for(&caller, service.as_ref(), &request.model, INPUT)?;
        let thinks = Family::of(&model.text, model.tools).thinks();
        let chat = request.chat(thinks)?.prepare(&model).map_err(|error| ApiError::chat(&error, INPUT))?;
        Ok(TokenCount { input_tokens: chat.prompt.len() })
    };
    blocking(count).await.map(Json)
}
