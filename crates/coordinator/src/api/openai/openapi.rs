//! The OpenAPI document, served at `/openapi.json`. A copy is committed beside `Cargo.toml`, so that changes show in
//! reviews; a test compares them.

use super::{
    chat::{self, ChatChunk},
    completions, models,
};
use axum::{http::header::CONTENT_TYPE, response::IntoResponse};
use std::sync::LazyLock;
use utoipa::OpenApi;

/// The document, as JSON.
static DOCUMENT: LazyLock<String> = LazyLock::new(document);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "GoGrid",
        description = "OpenAI's API for language models, answered by machines that their users lend.\n\nUnknown fields \
            of requests are ignored; fields that ask for what this server does not have (tools, images …) \
            are refused with status 400.",
    ),
    paths(models::list, models::retrieve, chat::create_chat_completion, completions::create_completion),
    components(schemas(ChatChunk)),
    tags(
        (name = "models", description = "What can be asked"),
        (name = "completions", description = "Asking"),
    ),
)]
struct ApiDocument;

/// The OpenAPI document of [`router`](super::router)'s routes, as JSON.
pub fn document() -> String {
    // It has only maps and strings, so it can always be written as JSON.
    ApiDocument::openapi().to_pretty_json().unwrap_or_default()
}

/// Serves the document.
pub(super) async fn serve_document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
