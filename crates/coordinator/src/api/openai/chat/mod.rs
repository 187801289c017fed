//! `POST /v1/chat/completions`.

mod format;
mod message;
mod template;
mod tools;

pub(super) use format::{ChatChunk, ChatCompletion};
pub(super) use message::{Message, check_messages};
pub(super) use template::{ReasoningEffort, check_variables};
pub(super) use tools::ToolFields;

use super::{
    constrained::ConstraintFields, envelope::Envelope, error::ErrorBody, options::Options, schema::all_of,
    unsupported::UnsupportedField,
};
use crate::api::common::{
    body::{JsonBody, parse},
    caller::text_for,
    choices::ChoiceRequests,
    error::ApiError,
    lenient::count,
    respond::{blocking, respond},
};
use crate::{chat::ChatRequest, generate::GenerationService, keys::Caller};
use axum::{extract::State, response::Response};
use format::ChatFormat;
use serde::Deserialize;
use std::sync::Arc;
use template::TemplateFields;
use utoipa::ToSchema;

/// The most alternatives that may be asked for beside each token, as in OpenAI's API.
const MAX_TOP_LOGPROBS: u32 = 20;

/// The field that holds the prompt.
const INPUT: &str = "messages";

/// A chat's own fields; those that it shares with plain completions are in [`Options`].
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ChatFields {
    /// The model's name.
    model: String,
    /// The chat so far.
    #[schema(min_items = 1)]
    messages: Vec<Message>,
    /// The same as `max_tokens`, in its newer spelling.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "count")]
    max_completion_tokens: Option<u32>,
    /// Whether to report each token's log-probability.
    #[schema(default = false)]
    logprobs: Option<bool>,
    /// How many alternatives to report beside each token; needs `logprobs`.
    #[schema(minimum = 0, maximum = 20)]
    top_logprobs: Option<u32>,
}

/// Answer a chat.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "completions", operation_id = "createChatCompletion",
    request_body(content = ChatBody, content_type = "application/json"),
    responses(
        (status = 200, content((ChatCompletion = "application/json"), (ChatChunk = "text/event-stream")),
            description = "The whole answer, or with `stream` its chunks as server-sent events, then `data: [DONE]`. An \
                error in the middle of a stream is sent as an event with an `ErrorBody`, without `[DONE]`."),
        (status = 401, body = ErrorBody, description = "`invalid_api_key`"),
        (status = 400, body = ErrorBody, description = "A field cannot be used (`param` names it), or the prompt is \
            too long (`context_length_exceeded`)."),
        (status = 404, body = ErrorBody, description = "`model_not_found`"),
        (status = 408, body = ErrorBody, description = "The body did not arrive in time."),
        (status = 413, body = ErrorBody, description = "The body is too large."),
        (status = 415, body = ErrorBody, description = "The body is not declared as JSON."),
        (status = 429, body = ErrorBody, description = "The queue is full, or the key's quota is used.",
            headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 500, body = ErrorBody, description = "The answer could not be computed."),
        (status = 503, body = ErrorBody, description = "Machines are missing, or the coordinator is shutting down.",
            headers(("Retry-After" = u32, description = "Seconds"))),
    ))]
pub(super) async fn create_chat_completion(
    State(service): State<Arc<dyn GenerationService>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (for_models, asks) = (Arc::clone(&service), caller.clone());
    let (requests, format) = blocking(move || prepare_chat(for_models.as_ref(), &asks, &body.bytes)).await?;
    respond(service.as_ref(), &caller, requests, format).await
}

/// Finds everything that can be wrong with a request, except its length and the model's state, which the router checks.
fn prepare_chat(
    service: &dyn GenerationService,
    caller: &Caller,
    body: &[u8],
) -> Result<(ChoiceRequests, ChatFormat), ApiError> {
    let fields: ChatFields = parse(body)?;
    let options: Options = parse(body)?;
    let template: TemplateFields = parse(body)?;
    let constraint = parse::<ConstraintFields>(body)?.check()?;
    let tools: ToolFields = parse(body)?;
    parse::<UnsupportedField>(body)?.check()?;
    let model = text_for(caller, service, &fields.model, INPUT)?;
    let text = &model.text;
    let top_logprobs = fields.top_logprobs()?;
    let max_tokens = fields.max_tokens(&options)?;
    let include_usage = options.include_usage()?;
    let options = options.check(text, max_tokens)?;
    let (tools, choice, parallel) = tools.check()?;
    let request = template.chat(check_messages(fields.messages)?)?;
    let request = ChatRequest { tools, choice, parallel, constraint, ..request };
    let chat = request.prepare(&model).map_err(|error| ApiError::chat(&error, INPUT))?;

    let logprobs = fields.logprobs.unwrap_or(false).then(|| Arc::clone(text));
    let envelope = Envelope::new("chatcmpl", &fields.model);
    let format = ChatFormat::new(envelope, logprobs, include_usage, chat.short_ids);
    let requests = ChoiceRequests::of_chat(fields.model, INPUT, chat, top_logprobs, options);
    Ok((requests, format))
}

/// The body of a request: [`ChatFields`], [`ToolFields`], [`TemplateFields`], [`Options`] and [`ConstraintFields`].
pub(super) struct ChatBody;

all_of!(ChatBody, "ChatRequest", ChatFields, ToolFields, TemplateFields, Options, ConstraintFields);

impl ChatFields {
    fn top_logprobs(&self) -> Result<usize, ApiError> {
        let invalid = |message| Err(ApiError::invalid(Some("top_logprobs"), message));
        match (self.top_logprobs, self.logprobs) {
            (None | Some(0), _) => Ok(0),
            (Some(_), None | Some(false)) => invalid("top_logprobs needs logprobs to be true".to_owned()),
            (Some(top), Some(true)) if top > MAX_TOP_LOGPROBS => {
                invalid(format!("top_logprobs is {top}, but may be up to {MAX_TOP_LOGPROBS}"))
            }
            (Some(top), Some(true)) => Ok(top as usize),
        }
    }

    fn max_tokens(&self, options: &Options) -> Result<Option<u32>, ApiError> {
        match (self.max_completion_tokens, options.max_tokens()) {
            (Some(new), Some(old)) if new != old => {
                let message = format!("max_completion_tokens is {new}, but max_tokens is {old}: give one of them");
                Err(ApiError::invalid(Some("max_completion_tokens"), message))
            }
            (Some(0), _) => Err(ApiError::invalid(
                Some("max_completion_tokens"),
                "max_completion_tokens is 0, but must be at least 1".to_owned(),
            )),
            (new, old) => Ok(new.or(old)),
        }
    }
}
