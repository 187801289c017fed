//! What differs between the two kinds of completion once the generations run: how answers are worded.

use super::{
    answers::{Answer, Questions},
    backend::Backend,
    envelope::{Delivery, Usage},
    error::ApiError,
    stream,
};
use crate::generate::{Completion, TokenEvent};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// How an endpoint words its answers.
pub(super) trait Format: Send + 'static {
    /// A whole answer.
    type Whole: Serialize;
    /// One piece of a streamed one.
    type Chunk: Serialize + Send;

    /// Whether each token's log-probabilities are wanted.
    fn logprobs(&self) -> bool;

    /// The whole answer.
    fn whole(self, answers: Vec<Answer>, usage: Usage) -> Self::Whole;

    /// What a streamed choice begins with, before its first token.
    fn begin(&mut self, choice: usize) -> Option<Self::Chunk>;

    /// One more token; nothing if the client would learn nothing from it.
    fn token(&mut self, choice: usize, token: &TokenEvent) -> Option<Self::Chunk>;

    /// A choice's end: the text that was held back, where it needs a chunk of its own, and the reason.
    fn done(&mut self, choice: usize, completion: Completion) -> (Option<Self::Chunk>, Self::Chunk);

    /// The last chunk of a stream that tells its token counts.
    fn usage(&mut self, usage: Usage) -> Self::Chunk;
}

/// Asks the questions and answers the client, whole or in pieces.
///
/// # Errors
/// A refusal; for a whole answer also a failure on the way.
pub(super) async fn respond<F: Format>(
    backend: &dyn Backend,
    questions: Questions,
    format: F,
) -> Result<Response, ApiError> {
    let delivery = questions.options.delivery;
    let answers = questions.ask(backend).await?;
    match delivery {
        Delivery::Whole => {
            let (answers, usage) = answers.collect(format.logprobs()).await?;
            Ok(Json(format.whole(answers, usage)).into_response())
        }
        Delivery::Stream { include_usage } => Ok(stream::respond(answers, format, include_usage)),
    }
}
