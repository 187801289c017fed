//! A client of the coordinator's OpenAI-compatible API, with the requests that the command line and the desktop app need.
//! What a server can make it hold is bounded: an event, a list of models, an error; and so is the time that it takes.

mod client;
mod error;
mod sse;
#[cfg(test)]
mod tests;

pub use client::{ApiClient, Message, ModelInfo, Question, Summary};
pub use error::{ApiClientError, ApiRefusal};
pub use sse::{SseDecoder, SseError};
