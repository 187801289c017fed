//! The Messages API's part of the OpenAPI document.

use super::format::MessageEvent;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    paths(super::create_message, super::count::count_tokens),
    components(schemas(MessageEvent)),
    tags((name = "messages", description = "Asking in Anthropic's form")),
)]
pub(in crate::api) struct AnthropicDocument;
