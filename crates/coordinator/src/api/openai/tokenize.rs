//! `POST /v1/tokenize` and `/v1/detokenize`, as vLLM and llama.cpp have them (also without `/v1`). They cost nothing.

use super::{
    chat::{Message, ToolFields, check_messages},
    error::ErrorBody,
};
use crate::{
    api::common::{
        body::{JsonBody, parse},
        caller::text_for,
        error::ApiError,
        respond::blocking,
    },
    chat::{ChatRequest, ToolChoice},
    generate::GenerationService,
    keys::Caller,
};
use axum::{Json, extract::State};
use gogrid_model::ChatEnd;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// The most tokens to turn into text at once.
const MAX_TOKENS: usize = 1 << 20;

/// A text or a chat to count.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TokenizeRequest {
    /// The model's name.
    model: String,
    /// The text, as vLLM calls it.
    prompt: Option<String>,
    /// The text, as llama.cpp calls it.
    content: Option<String>,
    /// A chat in place of a text.
    messages: Option<Vec<Message>>,
    /// Whether the prompt of a chat ends where the answer begins.
    #[schema(default = true)]
    add_generation_prompt: Option<bool>,
    /// Variables of the chat template.
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
    /// Whether a text gets what the tokenizer puts around it. As these servers do, llama.cpp's `content` does not by default.
    add_special_tokens: Option<bool>,
    /// Whether each token's text is wanted.
    #[schema(default = false)]
    return_token_strs: Option<bool>,
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenizeResponse {
    count: usize,
    /// The model's context, in tokens.
    max_model_len: usize,
    tokens: Vec<u32>,
    /// Each token's text, if asked for.
    #[schema(required)]
    token_strs: Option<Vec<String>>,
}

/// Tokens to turn into text.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct DetokenizeRequest {
    /// The model's name.
    model: String,
    tokens: Vec<u32>,
}

/// The text of tokens, without special ones.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DetokenizeResponse {
    /// As vLLM calls it.
    prompt: String,
    /// As llama.cpp calls it.
    content: String,
}

/// Turn a text or a chat into tokens.
#[utoipa::path(post, path = "/v1/tokenize", tag = "models", operation_id = "tokenize",
    request_body(content = TokenizeRequest, content_type = "application/json"),
    responses(
        (status = 200, body = TokenizeResponse),
        (status = 400, body = ErrorBody, description = "A field cannot be used (`param` names it)."),
        (status = 401, body = ErrorBody, description = "`invalid_api_key`"),
        (status = 404, body = ErrorBody, description = "`model_not_found`"),
    ))]
pub(super) async fn tokenize(
    State(service): State<Arc<dyn GenerationService>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<TokenizeResponse>, ApiError> {
    let work = move || {
        let request: TokenizeRequest = parse(&body.bytes)?;
        let tools: ToolFields = parse(&body.bytes)?;
        let model = text_for(&caller, service.as_ref(), &request.model, "prompt")?;
        let (text, context) = (&model.text, model.context_length);
        let of_text = |said: &str, field: &str, special: bool| {
            let special = request.add_special_tokens.unwrap_or(special);
            text.encode_for(context.max(said.len()), said, special).map_err(|error| ApiError::text(&error, field))
        };
        let tokens = match (&request.prompt, &request.content, request.messages) {
            (Some(prompt), None, None) => of_text(prompt, "prompt", true)?,
            (None, Some(content), None) => of_text(content, "content", false)?,
            (None, None, Some(messages)) => {
                let (tools, _, parallel) = tools.check()?;
                let answers = request.add_generation_prompt.unwrap_or(true);
                let chat = ChatRequest {
                    messages: check_messages(messages)?,
                    tools,
                    choice: ToolChoice::Auto,
                    parallel,
                    end: if answers { ChatEnd::Answer } else { ChatEnd::Message },
                    variables: request.chat_template_kwargs.unwrap_or_default(),
                    max_reasoning_tokens: None,
                    constraint: None,
                };
                chat.prepare(&model).map_err(|error| ApiError::chat(&error, "messages"))?.prompt
            }
            _ => {
                let message = "one of prompt, content and messages is needed".to_owned();
                return Err(ApiError::invalid(Some("prompt"), message));
            }
        };
        let texts = |tokens: &[u32]| tokens.iter().map(|&token| text.token_text(token)).collect();
        let token_strs = request.return_token_strs.unwrap_or(false).then(|| texts(&tokens));
        Ok(TokenizeResponse { count: tokens.len(), max_model_len: context, tokens, token_strs })
    };
    blocking(work).await.map(Json)
}

/// Turn tokens into text.
#[utoipa::path(post, path = "/v1/detokenize", tag = "models", operation_id = "detokenize",
    request_body(content = DetokenizeRequest, content_type = "application/json"),
    responses(
        (status = 200, body = DetokenizeResponse),
        (status = 400, body = ErrorBody, description = "A field cannot be used (`param` names it)."),
        (status = 401, body = ErrorBody, description = "`invalid_api_key`"),
        (status = 404, body = ErrorBody, description = "`model_not_found`"),
    ))]
pub(super) async fn detokenize(
    State(service): State<Arc<dyn GenerationService>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<DetokenizeResponse>, ApiError> {
    let work = move || {
        let request: DetokenizeRequest = parse(&body.bytes)?;
        let model = text_for(&caller, service.as_ref(), &request.model, "tokens")?;
        if request.tokens.len() > MAX_TOKENS {
            let message = format!("tokens has {} tokens, but may have up to {MAX_TOKENS}", request.tokens.len());
            return Err(ApiError::invalid(Some("tokens"), message));
        }
        let mut detokenizer = model.text.detokenizer(true);
        let mut text: String = request.tokens.iter().map(|&token| detokenizer.push(token)).collect();
        text.push_str(&detokenizer.finish());
        Ok(DetokenizeResponse { prompt: text.clone(), content: text })
    };
    blocking(work).await.map(Json)
}
