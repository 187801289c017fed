//! From a checked request to its HTTP response.

use super::{
    choices::ChoiceRequests,
    error::ApiError,
    format::Format,
    stream::{event_stream, sse},
};
use crate::{generate::GenerationService, keys::Caller};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;

/// Starts the generations and answers the client, with one document or with a stream.
///
/// # Errors
/// A refusal; for a whole answer also a failure on the way.
pub(in crate::api) async fn respond<F: Format>(
    service: &dyn GenerationService,
    caller: &Caller,
    requests: ChoiceRequests,
    format: F,
) -> Result<Response, ApiError> {
    let stream = requests.options.stream;
    let choices = requests.start(service, caller).await?;
    if stream {
        return Ok(sse(event_stream(choices, format)));
    }
    let (choices, counts) = choices.collect(format.logprobs()).await?;
    Ok(Json(format.whole(choices, counts)).into_response())
}

/// Requests that are parsed and encoded at once. Each may take a core and, for the longest prompts, hundreds of MiB.
static ENCODING: Semaphore = Semaphore::const_new(4);

/// Runs what may take long, such as tokenizing a long prompt, off the async workers, and few of them at once.
///
/// # Errors
/// What `work` returns, or 500 if it panicked.
pub(in crate::api) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let place = ENCODING.acquire().await.map_err(|closed| ApiError::internal(&closed))?;
    let work = move || {
        let _place = place;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))?
}
