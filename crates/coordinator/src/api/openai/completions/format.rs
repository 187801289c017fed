//! The JSON of a plain completion's answer. Whole answers and chunks have the same form.

use crate::{
    api::openai::{
        choices::FinishedChoice,
        envelope::{Delivery, Envelope, Finish, SYSTEM_FINGERPRINT, Usage},
        format::Format,
        logprobs::{CompletionLogprobs, TextOffset},
        options::ValidOptions,
    },
    generate::{Completion, TokenEvent},
};
use gogrid_model::TextModel;
use serde::Serialize;
use std::{collections::HashMap, slice, sync::Arc};
use utoipa::ToSchema;

/// A plain completion, whole or a piece of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Completion)]
pub(in crate::api::openai) struct TextCompletion {
    /// `cmpl-…`, the same in all chunks.
    id: String,
    /// Always `text_completion`.
    object: &'static str,
    /// When the request came, in seconds since the Unix epoch.
    created: u64,
    /// The model's name.
    model: String,
    /// In a stream: one, but none in the chunk that tells the token counts.
    choices: Vec<TextChoice>,
    /// In a stream only with `stream_options.include_usage`: null, but in the last chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    usage: Option<Option<Usage>>,
    /// With the same fingerprint and seed, the same text comes back.
    system_fingerprint: &'static str,
}

/// One of the answers, or what a chunk adds to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CompletionChoice)]
struct TextChoice {
    /// The answers to the first prompt come first, then those to the second, and so on.
    index: usize,
    /// Never part of a character.
    text: String,
    #[schema(required)]
    logprobs: Option<CompletionLogprobs>,
    /// Null until a streamed choice's last chunk.
    #[schema(required)]
    finish_reason: Option<Finish>,
}

/// Writes plain completions.
#[derive(Debug)]
pub(super) struct TextFormat {
    envelope: Envelope,
    /// For the tokens' texts, if log-probabilities are asked for.
    logprobs: Option<Arc<TextModel>>,
    delivery: Delivery,
    /// The prompts' texts, if they are to be repeated.
    echo: Option<Vec<String>>,
    /// Choices of each prompt.
    choices: usize,
    /// Where each streamed choice's next token begins.
    offsets: HashMap<usize, TextOffset>,
}

impl TextFormat {
    /// `logprobs` holds the model's text side if log-probabilities are wanted, `echo` the prompts' texts if they are to
    /// be repeated.
    pub(super) fn new(
        envelope: Envelope,
        logprobs: Option<Arc<TextModel>>,
        options: &ValidOptions,
        echo: Option<Vec<String>>,
    ) -> Self {
        let (delivery, choices) = (options.delivery, options.choices as usize);
        Self { envelope, logprobs, delivery, echo, choices, offsets: HashMap::new() }
    }

    /// The prompt that a choice answers, if it is to be repeated.
    fn echo(&self, choice: usize) -> Option<&str> {
        self.echo.as_ref()?.get(choice / self.choices).map(String::as_str)
    }

    fn completion(&self, choices: Vec<TextChoice>, usage: Option<Option<Usage>>) -> TextCompletion {
        let Envelope { id, created, model } = self.envelope.clone();
        let object = "text_completion";
        TextCompletion { id, object, created, model, choices, usage, system_fingerprint: SYSTEM_FINGERPRINT }
    }

    fn chunk(&self, choice: TextChoice) -> TextCompletion {
        self.completion(vec![choice], self.delivery.usage_placeholder())
    }

    fn choice(&self, index: usize, choice: &FinishedChoice) -> TextChoice {
        let mut offset = TextOffset::default();
        let logprobs = self.logprobs.as_deref().map(|text| CompletionLogprobs::of(text, &choice.tokens, &mut offset));
        let text = self.echo(index).map_or_else(String::new, str::to_owned) + &choice.text;
        TextChoice { index, text, logprobs, finish_reason: choice.reason.map(Finish::from) }
    }
}

impl Format for TextFormat {
    type Whole = TextCompletion;
    type Chunk = TextCompletion;

    fn logprobs(&self) -> bool {
        self.logprobs.is_some()
    }

    fn whole(self, choices: Vec<FinishedChoice>, usage: Usage) -> TextCompletion {
        let choices = choices.iter().enumerate().map(|(index, choice)| self.choice(index, choice)).collect();
        self.completion(choices, Some(Some(usage)))
    }

    fn begin(&mut self, choice: usize) -> Option<TextCompletion> {
        let text = self.echo(choice)?.to_owned();
        Some(self.chunk(TextChoice { index: choice, text, logprobs: None, finish_reason: None }))
    }

    fn token(&mut self, choice: usize, token: &TokenEvent) -> Option<TextCompletion> {
        let offset = self.offsets.entry(choice).or_default();
        let logprobs = self
            .logprobs
            .as_deref()
            .map(|text| CompletionLogprobs::of(text, slice::from_ref(token), offset))
            .filter(|logprobs| !logprobs.is_empty());
        if token.text.is_empty() && logprobs.is_none() {
            return None;
        }
        Some(self.chunk(TextChoice { index: choice, text: token.text.clone(), logprobs, finish_reason: None }))
    }

    fn done(&mut self, choice: usize, completion: Completion) -> (Option<TextCompletion>, TextCompletion) {
        let finish_reason = Some(completion.reason.into());
        (None, self.chunk(TextChoice { index: choice, text: completion.text, logprobs: None, finish_reason }))
    }

    fn usage(&mut self, usage: Usage) -> TextCompletion {
        self.completion(Vec::new(), Some(Some(usage)))
    }
}
