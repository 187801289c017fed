//! What every answer carries besides its content: id, time, model, and the token counts.

use crate::generate::FinishReason;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

/// Tells clients which build answered: with the same fingerprint and seed, the same text comes back.
pub(super) const SYSTEM_FINGERPRINT: &str = concat!("fp_gogrid_", env!("CARGO_PKG_VERSION"));

/// Id, time and model of one request's answer; equal in all chunks of a stream.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    /// `chatcmpl-…` or `cmpl-…`.
    pub(super) id: String,
    /// Seconds since the Unix epoch.
    pub(super) created: u64,
    /// The model's name, as the request had it.
    pub(super) model: String,
}

impl Envelope {
    /// A new answer's, with an id that begins with `prefix`.
    pub(super) fn new(prefix: &str, model: &str) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { id: format!("{prefix}-{:032x}", rand::random::<u128>()), created, model: model.to_owned() }
    }
}

/// Token counts of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Usage {
    /// Tokens of the prompt, counted once however many choices were asked for.
    pub(super) prompt_tokens: usize,
    /// Tokens emitted, over all choices.
    pub(super) completion_tokens: usize,
    /// The sum of both.
    pub(super) total_tokens: usize,
    pub(super) prompt_tokens_details: PromptTokensDetails,
}

/// What of the prompt's tokens is special.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct PromptTokensDetails {
    /// Tokens that were not computed, as they were in memory from an earlier request.
    pub(super) cached_tokens: usize,
}

impl Usage {
    /// The counts of a prompt and its answers, in tokens.
    pub(super) fn new(prompt_tokens: usize, completion_tokens: usize, cached_tokens: usize) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: PromptTokensDetails { cached_tokens },
        }
    }
}

/// What a request's `stream` and `stream_options` ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// One JSON document.
    Whole,
    /// Server-sent events.
    Stream {
        /// Whether a last chunk tells the token counts.
        include_usage: bool,
    },
}

impl Delivery {
    /// The `usage` of chunks before the last: null if the last will tell the counts, else the field is left out.
    pub(super) fn usage_placeholder(self) -> Option<Option<Usage>> {
        matches!(self, Self::Stream { include_usage: true }).then_some(None)
    }
}

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FinishReason)]
pub(super) enum Finish {
    /// The end-of-sequence token or a stop string.
    Stop,
    /// `max_tokens` or the context's end.
    Length,
}

impl From<FinishReason> for Finish {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop => Self::Stop,
            FinishReason::Length => Self::Length,
        }
    }
}
