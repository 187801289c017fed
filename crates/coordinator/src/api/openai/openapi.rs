//! The description of this API for programs, at `/openapi.json`. A copy is committed beside `Cargo.toml`, so that changes
//! show in reviews; a test compares them.

use super::{
    chat::{self, ChatChunk, ChatFields},
    completions::{self, CompletionFields},
    models,
    options::Options,
};
use axum::{http::header::CONTENT_TYPE, response::IntoResponse};
use std::{borrow::Cow, sync::LazyLock};
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{AllOfBuilder, Ref, RefOr, Schema},
};

/// The document, as JSON.
static DOCUMENT: LazyLock<String> = LazyLock::new(document);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "GoGrid",
        description = "OpenAI's API for language models, answered by machines that their users lend.\n\nUnknown fields \
            of requests are ignored; fields that ask for what this server does not have (tools, JSON schemas, images …) \
            are refused with status 400.",
    ),
    paths(models::list, models::retrieve, chat::create, completions::create),
    components(schemas(ChatChunk)),
    tags(
        (name = "models", description = "What can be asked"),
        (name = "completions", description = "Asking"),
    ),
)]
struct ApiDocument;

/// The OpenAPI document of [`router`](super::router)'s routes, as JSON.
pub fn document() -> String {
    // plain maps and strings: there is nothing in them that JSON could not hold
    ApiDocument::openapi().to_pretty_json().unwrap_or_default()
}

/// Serves the document.
pub(super) async fn serve() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// The body of a chat request: [`ChatFields`] and [`Options`].
pub(super) struct ChatRequest;

/// The body of a plain completion request: [`CompletionFields`] and [`Options`].
pub(super) struct CompletionRequest;

macro_rules! all_of {
    ($request:ty, $name:literal, $($part:ty),+) => {
        impl PartialSchema for $request {
            fn schema() -> RefOr<Schema> {
                AllOfBuilder::new()$(.item(Ref::from_schema_name(<$part as ToSchema>::name())))+.into()
            }
        }

        impl ToSchema for $request {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                $(
                    schemas.push((<$part as ToSchema>::name().into_owned(), <$part as PartialSchema>::schema()));
                    <$part as ToSchema>::schemas(schemas);
                )+
            }
        }
    };
}

all_of!(ChatRequest, "ChatRequest", ChatFields, Options);
all_of!(CompletionRequest, "CompletionRequest", CompletionFields, Options);
