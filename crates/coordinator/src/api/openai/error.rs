//! Errors as OpenAI's clients know them: a status, and `{"error": {message, type, param, code}}`.

use crate::api::common::error::ApiError;
use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error as clients read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorObject,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorObject {
    /// For people.
    pub message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field that the error is about, as a path: `messages[0].role`.
    #[schema(required)]
    pub param: Option<String>,
    /// For programs: `context_length_exceeded`, `model_not_found`, `rate_limit_exceeded` …
    #[schema(required)]
    pub code: Option<String>,
}

impl From<&ApiError> for ErrorBody {
    fn from(error: &ApiError) -> Self {
        let error = ErrorObject {
            message: error.message().to_owned(),
            kind: error.kind().to_owned(),
            param: error.param().map(str::to_owned),
            code: error.code().map(str::to_owned),
        };
        Self { error }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(ErrorBody::from(&self))).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.get().into());
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For counting, and for APIs with other words.
        response.extensions_mut().insert(self);
        response
    }
}
