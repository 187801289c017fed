//! The JSON of an endpoint's answers: all that differs between chats and plain completions once the generations run.

use super::{choices::FinishedChoice, envelope::Usage};
use crate::generate::{Completion, TokenEvent};
use serde::Serialize;

/// An endpoint's JSON.
pub(super) trait Format: Send + 'static {
    /// A whole answer.
    type Whole: Serialize;
    /// One chunk of a streamed answer.
    type Chunk: Serialize + Send;

    /// Whether the answer has each token's log-probabilities.
    fn logprobs(&self) -> bool;

    /// The whole answer.
    fn whole(self, choices: Vec<FinishedChoice>, usage: Usage) -> Self::Whole;

    /// The chunk before a choice's first token.
    fn begin(&mut self, choice: usize) -> Option<Self::Chunk>;

    /// One more token; `None` if it tells the client nothing.
    fn token(&mut self, choice: usize, token: &TokenEvent) -> Option<Self::Chunk>;

    /// A choice's end: the text that was held back, if it needs a chunk of its own, and the finish reason.
    fn done(&mut self, choice: usize, completion: Completion) -> (Option<Self::Chunk>, Self::Chunk);

    /// The last chunk of a stream that tells the token counts.
    fn usage(&mut self, usage: Usage) -> Self::Chunk;
}
