//! `POST /v1/completions`.

mod format;
mod prompt;

pub(super) use format::TextCompletion;

use super::{
    constrained::ConstraintFields, envelope::Envelope, error::ErrorBody, options::Options, schema::all_of,
    unsupported::UnsupportedField,
};
use crate::api::common::{
    body::{JsonBody, parse},
    caller::text_for,
    choices::ChoiceRequests,
    error::ApiError,
    options::ValidOptions,
    respond::{blocking, respond},
};
use crate::{
    generate::{GenerationService, ModelText},
    keys::Caller,
};
use axum::{extract::State, response::Response};
use format::TextFormat;
use prompt::{INPUT, MAX_ANSWERS, PromptInput};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The most alternatives that may be asked for beside each token, as in OpenAI's API.
const MAX_LOGPROBS: u32 = 5;

/// The most tokens to emit if the request does not say, as in OpenAI's API.
const DEFAULT_MAX_TOKENS: u32 = 16;

/// A plain completion's own fields; those that it shares with chats are in [`Options`].
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CompletionFields {
    /// The model's name.
    model: String,
    /// What to go on from: a text or token ids, or several of the same kind.
    prompt: PromptInput,
    /// Reports log-probabilities, with this many alternatives to each token.
    #[schema(minimum = 0, maximum = 5)]
    logprobs: Option<u32>,
    /// Whether the answer begins with the prompt. Not together with `logprobs`.
    #[schema(default = false)]
    echo: Option<bool>,
    /// Must be equal to `n`: no choices are made and thrown away.
    #[schema(minimum = 1, maximum = 16)]
    best_of: Option<u32>,
}

/// Go on from a prompt.
#[utoipa::path(post, path = "/v1/completions", tag = "completions", operation_id = "createCompletion",
    request_body(content = CompletionRequest, content_type = "application/json"),
    responses(
        (status = 200, content((TextCompletion = "application/json"), (TextCompletion = "text/event-stream")),
            description = "The whole answer, or with `stream` its chunks as server-sent events, then `data: [DONE]`. An \
                error in the middle of a stream is sent as an event with an `ErrorBody`, without `[DONE]`."),
        (status = 401, body = ErrorBody, description = "`invalid_api_key`"),
        (status = 400, body = ErrorBody, description = "A field cannot be used (`param` names it), or a prompt is \
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
pub(super) async fn create_completion(
    State(service): State<Arc<dyn GenerationService>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (for_models, asks) = (Arc::clone(&service), caller.clone());
    let (requests, format) = blocking(move || prepare_completion(for_models.as_ref(), &asks, &body.bytes)).await?;
    respond(service.as_ref(), &caller, requests, format).await
}

/// Finds everything that can be wrong with a request, except its length and the model's state, which the router checks.
fn prepare_completion(
    service: &dyn GenerationService,
    caller: &Caller,
    body: &[u8],
) -> Result<(ChoiceRequests, TextFormat), ApiError> {
    let fields: CompletionFields = parse(body)?;
    let options: Options = parse(body)?;
    let constraint = parse::<ConstraintFields>(body)?.check()?;
    parse::<UnsupportedField>(body)?.check()?;
    let ModelText { text, context_length, .. } = text_for(caller, service, &fields.model, INPUT)?;
    let max_tokens = options.max_tokens().unwrap_or(DEFAULT_MAX_TOKENS);
    let include_usage = options.include_usage()?;
    let options = options.check(&text, Some(max_tokens))?;
    fields.check(&options)?;

    let echo = fields.echo.unwrap_or(false);
    let (prompts, texts): (Vec<_>, Vec<_>) = fields.prompt.check(&text, context_length, echo)?.into_iter().unzip();
    let answers = prompts.len() * options.choices as usize;
    if answers > MAX_ANSWERS {
        let message = format!(
            "{} prompts with n = {} ask for {answers} answers, but a request may ask for up to {MAX_ANSWERS}",
            prompts.len(),
            options.choices
        );
        return Err(ApiError::invalid(Some("n"), message));
    }

    let envelope = Envelope::new("cmpl", &fields.model);
    let format =
        TextFormat::new(envelope, fields.logprobs.map(|_| text), include_usage, options.choices, echo.then_some(texts));
    let top_logprobs = fields.logprobs.unwrap_or(0) as usize;
    let requests = ChoiceRequests {
        model: fields.model,
        input: INPUT,
        prompts,
        continues: true,
        top_logprobs,
        options,
        constraint,
        answers: None,
        reasoning: None,
    };
    Ok((requests, format))
}

/// The body of a request: [`CompletionFields`], [`Options`] and [`ConstraintFields`].
pub(super) struct CompletionRequest;

all_of!(CompletionRequest, "CompletionRequest", CompletionFields, Options, ConstraintFields);

impl CompletionFields {
    fn check(&self, options: &ValidOptions) -> Result<(), ApiError> {
        if let Some(logprobs) = self.logprobs {
            if logprobs > MAX_LOGPROBS {
                let message = format!("logprobs is {logprobs}, but may be up to {MAX_LOGPROBS}");
                return Err(ApiError::invalid(Some("logprobs"), message));
            }
            if self.echo == Some(true) {
                let message = "echo: this server does not report log-probabilities of prompts".to_owned();
                return Err(ApiError::unsupported("echo", message));
            }
        }
        if let Some(best_of) = self.best_of
            && best_of != options.choices
        {
            let message = format!(
                "best_of is {best_of} and n is {}, but this server supports only equal numbers",
                options.choices
            );
            return Err(ApiError::unsupported("best_of", message));
        }
        Ok(())
    }
}
