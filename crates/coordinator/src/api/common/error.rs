//! Errors of the API, in no API's JSON yet.

use crate::{
    chat::ChatError,
    constraint::{ConstraintError, ConstraintProblem},
    generate::GenerateError,
    keys::KeyError,
};
use axum::http::{Method, StatusCode};
use gogrid_model::{SamplingError, TextError};
use std::{error::Error, iter, num::NonZeroU32, time::Duration};

/// When to ask again while machines are missing: a worker that comes back needs about this long to connect and to load
/// a small stage, and a client that retries at once would only find the same state.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(5);

/// Why a request is refused, or broke off. As a response it is in OpenAI's words, which it carries for other APIs to put
/// in theirs.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    /// In seconds.
    retry_after: Option<NonZeroU32>,
    message: String,
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: Option<&'static str>, message: String) -> Self {
        Self { status, retry_after: None, message, kind, param: None, code }
    }

    pub(in crate::api) fn status(&self) -> StatusCode {
        self.status
    }

    /// For people.
    pub(in crate::api) fn message(&self) -> &str {
        &self.message
    }

    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    pub(in crate::api) fn kind(&self) -> &'static str {
        self.kind
    }

    /// The field that it is about, as a path.
    pub(in crate::api) fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// For programs.
    pub(in crate::api) fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// When to ask again, in seconds.
    pub(in crate::api) fn retry_after(&self) -> Option<NonZeroU32> {
        self.retry_after
    }

    fn client(status: StatusCode, code: Option<&'static str>, message: String) -> Self {
        Self::new(status, "invalid_request_error", code, message)
    }

    fn unavailable(code: &'static str, message: String) -> Self {
        Self {
            retry_after: Some(whole_seconds(RETRY_UNAVAILABLE)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", Some(code), message)
        }
    }

    /// The same, about this field.
    pub(in crate::api) fn about(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    /// 429: somebody asks for more than their part.
    fn too_many(retry_after: Duration, message: String) -> Self {
        let (status, kind) = (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error");
        let error = Self::new(status, kind, Some("rate_limit_exceeded"), message);
        Self { retry_after: Some(whole_seconds(retry_after)), ..error }
    }

    /// 401 without a valid key, 429 where its quota is used.
    pub(in crate::api) fn key(error: &KeyError) -> Self {
        match error {
            KeyError::Missing | KeyError::Invalid | KeyError::NoKeys => {
                Self::client(StatusCode::UNAUTHORIZED, Some("invalid_api_key"), error.to_string())
            }
            KeyError::Requests { again, .. } | KeyError::Tokens { again, .. } => {
                Self::too_many(*again, error.to_string())
            }
            // An answer takes some seconds.
            KeyError::Streams { .. } => Self::too_many(Duration::from_secs(1), error.to_string()),
        }
    }

    /// 400: a field's value cannot be used.
    pub(in crate::api) fn invalid(param: Option<&str>, message: String) -> Self {
        let error = Self::client(StatusCode::BAD_REQUEST, None, message);
        match param {
            Some(param) => error.about(param),
            None => error,
        }
    }

    /// 400: a field asks for what this server does not have.
    pub(in crate::api) fn unsupported(param: &str, message: String) -> Self {
        Self::client(StatusCode::BAD_REQUEST, Some("unsupported_parameter"), message).about(param)
    }

    /// 400: a sampling option is out of its range.
    pub(in crate::api) fn sampling(error: &SamplingError) -> Self {
        Self::invalid(Some(error.field), error.to_string())
    }

    /// 400: a schema or grammar cannot be used.
    pub(in crate::api) fn constraint(error: &ConstraintError) -> Self {
        let code = match error.problem {
            ConstraintProblem::Unsupported { .. } => Some("unsupported_schema_keyword"),
            ConstraintProblem::Invalid { .. } | ConstraintProblem::TooLarge { .. } | ConstraintProblem::TooSlow => None,
        };
        Self::client(StatusCode::BAD_REQUEST, code, error.to_string()).about(&error.field)
    }

    /// 400: the tokenizer or the chat template refuses what the field `input` holds.
    pub(in crate::api) fn text(error: &TextError, input: &str) -> Self {
        if let &TextError::TooLong { bytes, least, most } = error {
            let message = format!(
                "this model's maximum context length is {most} tokens, but the prompt has {bytes} bytes, which are at least {least} tokens"
            );
            return Self::client(StatusCode::BAD_REQUEST, Some("context_length_exceeded"), message).about(input);
        }
        let causes = iter::successors(error.source(), |&cause| cause.source());
        let message = causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"));
        Self::invalid(Some(input), message)
    }

    /// 400: the chat that the field `input` holds cannot be answered as it is asked for.
    pub(in crate::api) fn chat(error: &ChatError, input: &str) -> Self {
        let about = |field: &str| Self::invalid(Some(field), format!("{field}: {error}"));
        match error {
            ChatError::Text(error) => Self::text(error, input),
            ChatError::NoSuchTool { .. } | ChatError::NoTools => about("tool_choice"),
            ChatError::UnknownForm => Self::unsupported("tools", format!("tools: {error}")),
            ChatError::NoReasoning => about("max_reasoning_tokens"),
        }
    }

    /// 400: the body is no JSON.
    pub(in crate::api) fn malformed_json(error: &serde_json::Error) -> Self {
        Self::client(StatusCode::BAD_REQUEST, Some("invalid_json"), format!("the body is not valid JSON: {error}"))
    }

    /// 415: the content type is another one.
    pub(in crate::api) fn not_json() -> Self {
        let message = "the body must be JSON: send the header 'Content-Type: application/json'".to_owned();
        Self::client(StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("unsupported_media_type"), message)
    }

    /// 413: the body is too large.
    pub(in crate::api) fn large_body(max_bytes: usize) -> Self {
        let message = format!("the body is larger than {max_bytes} bytes");
        Self::client(StatusCode::PAYLOAD_TOO_LARGE, Some("request_too_large"), message)
    }

    /// 503: too many bodies are being read.
    pub(in crate::api) fn too_many_bodies() -> Self {
        Self::unavailable("overloaded", "too many requests are being read at once; try again soon".to_owned())
    }

    /// 400: the body broke off.
    pub(in crate::api) fn unreadable_body() -> Self {
        Self::client(StatusCode::BAD_REQUEST, None, "the body could not be read to its end".to_owned())
    }

    /// 408: the body did not arrive in time.
    pub(in crate::api) fn slow_body(within: Duration) -> Self {
        let message = format!("the body did not arrive within {} s", within.as_secs());
        Self::client(StatusCode::REQUEST_TIMEOUT, Some("request_timeout"), message)
    }

    /// 404: something that a field names is not there.
    pub(in crate::api) fn not_found(code: &'static str, message: String) -> Self {
        Self::client(StatusCode::NOT_FOUND, Some(code), message)
    }

    /// 415: the body is compressed in another way.
    pub(in crate::api) fn unknown_encoding(encoding: &str) -> Self {
        let message = format!("the body's encoding '{encoding}' is not supported: only gzip is");
        Self::client(StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("unsupported_encoding"), message)
    }

    /// 404: no such route.
    pub(in crate::api) fn unknown_url(method: &Method, path: &str) -> Self {
        let message = format!("unknown request URL: {method} {path}; see /openapi.json");
        Self::client(StatusCode::NOT_FOUND, Some("unknown_url"), message)
    }

    /// 404: a stream that cannot be replayed.
    pub(in crate::api) fn no_stream(last: &str, why: &str) -> Self {
        let message = format!("the stream after event '{last}' is not here: {why}");
        Self::client(StatusCode::NOT_FOUND, Some("stream_not_found"), message)
    }

    /// 405: the route has other methods.
    pub(in crate::api) fn method_not_allowed(method: &Method, path: &str) -> Self {
        let message = format!("{method} is not allowed for {path}");
        Self::client(StatusCode::METHOD_NOT_ALLOWED, Some("method_not_supported"), message)
    }

    /// 500: the cause goes to the log, the client gets a reference to that line.
    pub(in crate::api) fn internal(cause: &dyn std::fmt::Display) -> Self {
        let reference = format!("{:016x}", rand::random::<u64>());
        tracing::error!(%reference, %cause, "a request failed");
        let message =
            format!("the answer could not be computed; the coordinator's log has the cause under {reference}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", Some("internal_error"), message)
    }
}

impl ApiError {
    /// What the router refused or failed to do. `input` is the field that holds the prompt: `messages` or `prompt`.
    pub(in crate::api) fn generate(error: &GenerateError, input: &str) -> Self {
        let message = error.to_string();
        let bad_request = |code, message| Self::client(StatusCode::BAD_REQUEST, code, message);
        match error {
            GenerateError::UnknownModel { .. } => {
                Self::client(StatusCode::NOT_FOUND, Some("model_not_found"), message).about("model")
            }
            GenerateError::PromptTooLong { .. } | GenerateError::AnswerTooLong { .. } => {
                bad_request(Some("context_length_exceeded"), message).about(input)
            }
            GenerateError::EmptyPrompt | GenerateError::TokenOutOfRange { .. } => {
                bad_request(None, message).about(input)
            }
            GenerateError::Sampling(error) => Self::sampling(error),
            GenerateError::Constraint(error) => Self::constraint(error),
            GenerateError::TooLarge { .. } => bad_request(Some("sequence_too_large"), message).about(input),
            GenerateError::QueueFull { retry_after, .. } => Self::too_many(*retry_after, message),
            GenerateError::CannotConstrain { .. } => Self::unavailable("cannot_constrain", message),
            GenerateError::NotReady { .. } => Self::unavailable("model_not_ready", message),
            GenerateError::PipelineLost { .. } => Self::unavailable("pipeline_lost", message),
            GenerateError::ShuttingDown => Self::unavailable("shutting_down", message),
            GenerateError::Stage { .. } | GenerateError::BadCandidates { .. } => Self::internal(error),
        }
    }
}

/// FullResponse seconds, rounded up and at least one: with 0 clients would ask again at once.
fn whole_seconds(time: Duration) -> NonZeroU32 {
    let seconds = u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    NonZeroU32::new(seconds).unwrap_or(NonZeroU32::MIN)
}
