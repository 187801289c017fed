//! `POST /v1/responses`: a chat in the form of OpenAI's Responses API.
//!
//! An answer is stored ([`store`]) unless `store` is false, so that the next request may go on from it by
//! `previous_response_id`. Kinds of tools that are not functions are left out: other servers would run them.

mod events;
mod format;
mod input;
mod request;
mod store;

pub(super) use events::ResponseEvent;
pub(super) use store::StoredResponses;

use super::{error::ErrorBody, schema::all_of};
use crate::{
    api::common::{
        body::JsonBody,
        choices::ChoiceRequests,
        error::ApiError,
        respond::{blocking, respond},
    },
    generate::GenerationService,
    keys::Caller,
};
use axum::{Extension, extract::State, response::Response};
use format::{ResponseFormat, ResponseObject};
use request::{INPUT, Prepared, ResponseFields};
use std::sync::Arc;

/// The body of a request.
pub(super) struct ResponseBody;

all_of!(ResponseBody, "ResponseRequest", ResponseFields);

/// Answer a chat, in the form of the Responses API.
#[utoipa::path(post, path = "/v1/responses", tag = "responses", operation_id = "createResponse",
    request_body(content = ResponseBody, content_type = "application/json"),
    responses(
        (status = 200, content((ResponseObject = "application/json"), (ResponseEvent = "text/event-stream")),
            description = "The whole answer, or with `stream` its events. An error in the middle of a stream is an \
                event `response.failed`."),
        (status = 400, body = ErrorBody, description = "A field cannot be used (`param` names it), or the prompt is \
            too long (`context_length_exceeded`)."),
        (status = 401, body = ErrorBody, description = "`invalid_api_key`"),
        (status = 404, body = ErrorBody, description = "`model_not_found`, or `previous_response_not_found`"),
        (status = 429, body = ErrorBody, description = "The queue is full, or the key's quota is used.",
            headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 500, body = ErrorBody, description = "The answer could not be computed."),
        (status = 503, body = ErrorBody, description = "Machines are missing, or the coordinator is shutting down.",
            headers(("Retry-After" = u32, description = "Seconds"))),
    ))]
pub(super) async fn create_response(
    State(service): State<Arc<dyn GenerationService>>,
    Extension(stored): Extension<StoredResponses>,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (for_models, asks) = (Arc::clone(&service), caller.clone());
    let prepare = move || {
        let Prepared { model, chat, options, response, messages, stores } =
            request::prepare(for_models.as_ref(), &asks, &stored, &body.bytes)?;
        let keep = stores.then(|| store::Keep::new(stored, asks.name(), messages));
        let format = ResponseFormat::new(response, chat.short_ids, keep);
        Ok((ChoiceRequests::of_chat(model, INPUT, chat, 0, options), format))
    };
    let (requests, format): (ChoiceRequests, ResponseFormat) = blocking(prepare).await?;
    respond(service.as_ref(), &caller, requests, format).await
}
