//! The OpenAPI document, served at `/openapi.json`. A copy is committed beside `Cargo.toml`, so that changes show in
//! reviews; a test compares them.

use super::{anthropic::AnthropicDocument, openai::OpenAiDocument};
use axum::{http::header::CONTENT_TYPE, response::IntoResponse};
use std::sync::LazyLock;
use utoipa::OpenApi;

/// The document, as JSON.
static DOCUMENT: LazyLock<String> = LazyLock::new(document);

/// The OpenAPI document of [`router`](super::router)'s routes, as JSON.
pub fn document() -> String {
    let mut document = OpenAiDocument::openapi();
    document.merge(AnthropicDocument::openapi());
    // It has only maps and strings, so it can always be written as JSON.
    document.to_pretty_json().unwrap_or_default()
}

/// Serves the document.
pub(super) async fn serve_document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
