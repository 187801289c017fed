//! Errors as Anthropic's clients know them: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

use crate::api::common::{error::ApiError, request_id::REQUEST_ID};
use axum::{
    Json,
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AnthropicError {
    /// Always `error`.
    #[serde(rename = "type")]
    kind: &'static str,
    error: Cause,
    /// The request's id, as in the header `request-id`.
    request_id: Option<String>,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnthropicErrorCause)]
struct Cause {
    /// `invalid_request_error`, `authentication_error`, `not_found_error` …
    #[serde(rename = "type")]
    kind: &'static str,
    /// For people.
    message: String,
}

impl AnthropicError {
    pub(super) fn of(error: &ApiError, request_id: Option<String>) -> Self {
        let cause = Cause { kind: kind(error.status()), message: error.message().to_owned() };
        Self { kind: "error", error: cause, request_id }
    }
}

/// The error's type, by the status.
fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 | 405 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// Middleware around the Messages API's routes: errors in Anthropic's words. What Anthropic calls overloaded has its
/// status 529.
pub(in crate::api) async fn in_own_words(request: Request, next: Next) -> Response {
    let is_own = request.uri().path().starts_with("/v1/messages");
    let response = next.run(request).await;
    let Some(error) = response.extensions().get::<ApiError>().filter(|_| is_own).cloned() else { return response };
    let id = response.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let (mut parts, _) = response.into_parts();
    if parts.status == StatusCode::SERVICE_UNAVAILABLE {
        parts.status = StatusCode::from_u16(529).unwrap_or(parts.status);
    }
    let body = Json(AnthropicError::of(&error, id)).into_response().into_body();
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    Response::from_parts(parts, body)
}
