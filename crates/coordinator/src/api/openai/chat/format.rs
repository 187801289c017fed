//! The JSON of a chat's answer.

use crate::{
    api::openai::{
        choices::FinishedChoice,
        envelope::{Delivery, Envelope, Finish, SYSTEM_FINGERPRINT, Usage},
        format::Format,
        logprobs::ChatLogprobs,
    },
    generate::{Completion, TokenEvent},
};
use gogrid_model::TextModel;
use serde::Serialize;
use std::{slice, sync::Arc};
use utoipa::ToSchema;

/// A chat's whole answer.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openai) struct ChatCompletion {
    /// `chatcmpl-…`
    id: String,
    /// Always `chat.completion`.
    object: &'static str,
    /// When the request came, in seconds since the Unix epoch.
    created: u64,
    /// The model's name.
    model: String,
    choices: Vec<ChatChoice>,
    usage: Usage,
    /// With the same fingerprint and seed, the same text comes back.
    system_fingerprint: &'static str,
}

/// One of a chat's answers.
#[derive(Debug, Serialize, ToSchema)]
struct ChatChoice {
    /// From 0 to `n` - 1.
    index: usize,
    message: AssistantMessage,
    #[schema(required)]
    logprobs: Option<ChatLogprobs>,
    #[schema(required)]
    finish_reason: Option<Finish>,
}

/// What the model said.
#[derive(Debug, Serialize, ToSchema)]
struct AssistantMessage {
    /// Always `assistant`.
    role: &'static str,
    content: String,
    /// Always null.
    #[schema(value_type = Option<String>, required)]
    refusal: (),
}

/// A piece of a chat's streamed answer.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openai) struct ChatChunk {
    /// `chatcmpl-…`, the same in all chunks.
    id: String,
    /// Always `chat.completion.chunk`.
    object: &'static str,
    /// When the request came, in seconds since the Unix epoch.
    created: u64,
    /// The model's name.
    model: String,
    /// One, but none in the chunk that tells the token counts.
    choices: Vec<ChunkChoice>,
    /// With `stream_options.include_usage`: null, but in the last chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    usage: Option<Option<Usage>>,
    system_fingerprint: &'static str,
}

/// What a chunk adds to a choice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatChunkChoice)]
struct ChunkChoice {
    /// Which choice.
    index: usize,
    delta: Delta,
    #[schema(required)]
    logprobs: Option<ChatLogprobs>,
    /// Null until the choice's last chunk.
    #[schema(required)]
    finish_reason: Option<Finish>,
}

/// What a chunk adds to a message.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ChatDelta)]
struct Delta {
    /// `assistant`, in a choice's first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    role: Option<&'static str>,
    /// Text to append; never part of a character.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content: Option<String>,
}

/// Writes a chat's answers.
#[derive(Debug)]
pub(super) struct ChatFormat {
    envelope: Envelope,
    /// For the tokens' texts, if log-probabilities are asked for.
    logprobs: Option<Arc<TextModel>>,
    delivery: Delivery,
}

impl ChatFormat {
    /// `logprobs` holds the model's text side if log-probabilities are wanted.
    pub(super) fn new(envelope: Envelope, logprobs: Option<Arc<TextModel>>, delivery: Delivery) -> Self {
        Self { envelope, logprobs, delivery }
    }

    fn chunk(&self, choices: Vec<ChunkChoice>) -> ChatChunk {
        let Envelope { id, created, model } = self.envelope.clone();
        ChatChunk {
            id,
            object: "chat.completion.chunk",
            created,
            model,
            choices,
            usage: self.delivery.usage_placeholder(),
            system_fingerprint: SYSTEM_FINGERPRINT,
        }
    }

    fn delta(&self, index: usize, delta: Delta) -> ChatChunk {
        self.chunk(vec![ChunkChoice { index, delta, logprobs: None, finish_reason: None }])
    }

    fn choice(&self, index: usize, choice: FinishedChoice) -> ChatChoice {
        ChatChoice {
            index,
            message: AssistantMessage { role: "assistant", content: choice.text, refusal: () },
            logprobs: self.logprobs.as_deref().map(|text| ChatLogprobs::of(text, &choice.tokens)),
            finish_reason: choice.reason.map(Finish::from),
        }
    }
}

impl Format for ChatFormat {
    type Whole = ChatCompletion;
    type Chunk = ChatChunk;

    fn logprobs(&self) -> bool {
        self.logprobs.is_some()
    }

    fn whole(self, choices: Vec<FinishedChoice>, usage: Usage) -> ChatCompletion {
        let choices = choices.into_iter().enumerate().map(|(index, choice)| self.choice(index, choice)).collect();
        let Envelope { id, created, model } = self.envelope;
        ChatCompletion {
            id,
            object: "chat.completion",
            created,
            model,
            choices,
            usage,
            system_fingerprint: SYSTEM_FINGERPRINT,
        }
    }

    fn begin(&mut self, choice: usize) -> Option<ChatChunk> {
        let delta = Delta { role: Some("assistant"), content: Some(String::new()) };
        Some(self.delta(choice, delta))
    }

    fn token(&mut self, choice: usize, token: &TokenEvent) -> Option<ChatChunk> {
        let logprobs = self
            .logprobs
            .as_deref()
            .map(|text| ChatLogprobs::of(text, slice::from_ref(token)))
            .filter(|logprobs| !logprobs.content.is_empty());
        if token.text.is_empty() && logprobs.is_none() {
            return None;
        }
        let delta = Delta { role: None, content: Some(token.text.clone()) };
        Some(self.chunk(vec![ChunkChoice { index: choice, delta, logprobs, finish_reason: None }]))
    }

    fn done(&mut self, choice: usize, completion: Completion) -> (Option<ChatChunk>, ChatChunk) {
        let held_back = (!completion.text.is_empty())
            .then(|| self.delta(choice, Delta { role: None, content: Some(completion.text) }));
        let finish_reason = Some(completion.reason.into());
        let last = ChunkChoice { index: choice, delta: Delta::default(), logprobs: None, finish_reason };
        (held_back, self.chunk(vec![last]))
    }

    fn usage(&mut self, usage: Usage) -> ChatChunk {
        ChatChunk { usage: Some(Some(usage)), ..self.chunk(Vec::new()) }
    }
}
