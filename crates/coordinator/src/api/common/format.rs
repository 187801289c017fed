//! The JSON of an endpoint's answers: all that differs between APIs once the generations run.

use super::{
    choices::{Counts, Ending, FinishedChoice},
    error::ApiError,
};
use crate::{chat::Part, generate::TokenEvent};
use serde::Serialize;
use serde_json::Value;

/// An endpoint's JSON.
pub(in crate::api) trait Format: Send + 'static {
    /// A whole answer.
    type FullResponse: Serialize;
    /// One event of a streamed answer.
    type Chunk: Serialize + Send;
    /// What the last event of a stream says that is no chunk.
    const LAST: Option<&'static str> = None;

    /// Whether the answer has each token's log-probabilities.
    fn logprobs(&self) -> bool {
        false
    }

    /// The whole answer.
    fn whole(self, choices: Vec<FinishedChoice>, counts: Counts) -> Self::FullResponse;

    /// What comes before a choice's first token.
    fn begin(&mut self, choice: usize, counts: Counts) -> Vec<Self::Chunk>;

    /// One more token, and what is certain with it; none if it tells the client nothing.
    fn token(&mut self, choice: usize, token: &TokenEvent, parts: Vec<Part>) -> Vec<Self::Chunk>;

    /// A choice's end: what is certain with it, and how it ended.
    fn done(&mut self, choice: usize, parts: Vec<Part>, ending: Ending) -> Vec<Self::Chunk>;

    /// What comes behind the last choice's end.
    fn end(&mut self, counts: Counts) -> Vec<Self::Chunk>;

    /// The event's name, where events have names.
    fn name(_: &Self::Chunk) -> Option<&'static str> {
        None
    }

    /// An error in the middle of a stream, which ends with it: the event's name and data.
    fn error(&mut self, error: &ApiError) -> (Option<&'static str>, Value);
}
