//! OpenAI's part of the OpenAPI document, and what the document says about itself.

use super::{
    chat::{self, ChatChunk},
    completions, models,
    responses::{self, ResponseEvent},
    tokenize,
};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "GoGrid",
        description = "OpenAI's and Anthropic's APIs for language models, answered by machines that their users \
            lend.\n\nUnknown fields of requests are ignored; fields that ask for what this server does not have \
            (images, audio …) are refused with status 400.",
    ),
    paths(
        models::list,
        models::retrieve,
        tokenize::tokenize,
        tokenize::detokenize,
        chat::create_chat_completion,
        completions::create_completion,
        responses::create_response,
    ),
    components(schemas(ChatChunk, ResponseEvent)),
    tags(
        (name = "models", description = "What can be asked"),
        (name = "completions", description = "Asking"),
        (name = "responses", description = "Asking in the form of the Responses API"),
    ),
)]
pub(in crate::api) struct OpenAiDocument;
