//! What every answer carries besides its content: id, time, model, and the token counts.

use crate::{api::common::choices::Counts, chat};
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
        let created = unix_seconds();
        Self { id: format!("{prefix}-{:032x}", rand::random::<u128>()), created, model: model.to_owned() }
    }
}

/// The time now, in seconds since the Unix epoch.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
    /// What the emitted tokens are, where the model's format shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) completion_tokens_details: Option<CompletionDetails>,
}

/// What of the prompt's tokens is special.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct PromptTokensDetails {
    /// Tokens that were not computed, as they were in memory from an earlier request.
    pub(super) cached_tokens: usize,
}

/// What emitted tokens are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CompletionTokensDetails)]
pub(super) struct CompletionDetails {
    /// Tokens of reasoning, marks included.
    pub(super) reasoning_tokens: usize,
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        let Counts { prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens } = counts;
        let details = reasoning_tokens.map(|reasoning_tokens| CompletionDetails { reasoning_tokens });
        let total_tokens = prompt_tokens + completion_tokens;
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens,
            prompt_tokens_details: PromptTokensDetails { cached_tokens },
            completion_tokens_details: details,
        }
    }
}

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FinishReason)]
pub(super) enum Finish {
    /// The end-of-sequence token or a stop string.
    Stop,
    /// `max_tokens` or the context's end.
    Length,
    /// The model called tools.
    ToolCalls,
}

impl From<chat::Finish> for Finish {
    fn from(finish: chat::Finish) -> Self {
        match finish {
            chat::Finish::Stop => Self::Stop,
            chat::Finish::Length => Self::Length,
            chat::Finish::ToolCalls => Self::ToolCalls,
        }
    }
}
