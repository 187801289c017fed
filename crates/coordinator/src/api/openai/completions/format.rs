//! The JSON of a plain completion's answer. FullResponse answers and chunks have the same form.

use crate::{
    api::{
        common::{
            choices::{Counts, Ending, FinishedChoice},
            error::ApiError,
            format::Format,
        },
        openai::{
            envelope::{Envelope, Finish, SYSTEM_FINGERPRINT, Usage},
            error::ErrorBody,
            logprobs::{CompletionLogprobs, TextOffset},
        },
    },
    chat::Part,
    generate::TokenEvent,
};
use gogrid_model::TextModel;
use serde::Serialize;
use serde_json::{Value, json};
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
    /// Whether a last chunk tells the token counts.
    include_usage: bool,
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
        include_usage: bool,
        choices: u32,
        echo: Option<Vec<String>>,
    ) -> Self {
        Self { envelope, logprobs, include_usage, echo, choices: choices as usize, offsets: HashMap::new() }
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
        self.completion(vec![choice], self.include_usage.then_some(None))
    }

    fn choice(&self, index: usize, choice: &FinishedChoice) -> TextChoice {
        let mut offset = TextOffset::default();
        let logprobs = self.logprobs.as_deref().map(|text| CompletionLogprobs::of(text, &choice.tokens, &mut offset));
        let text = self.echo(index).map_or_else(String::new, str::to_owned) + &choice.answer.content;
        TextChoice { index, text, logprobs, finish_reason: choice.ending.as_ref().map(|ending| ending.finish.into()) }
    }
}

impl Format for TextFormat {
    type FullResponse = TextCompletion;
    type Chunk = TextCompletion;
    const LAST: Option<&'static str> = Some("[DONE]");

    fn logprobs(&self) -> bool {
        self.logprobs.is_some()
    }

    fn whole(self, choices: Vec<FinishedChoice>, counts: Counts) -> TextCompletion {
        let choices = choices.iter().enumerate().map(|(index, choice)| self.choice(index, choice)).collect();
        self.completion(choices, Some(Some(counts.into())))
    }

    fn begin(&mut self, choice: usize, _: Counts) -> Vec<TextCompletion> {
        let repeated =
            |text: &str| TextChoice { index: choice, text: text.to_owned(), logprobs: None, finish_reason: None };
        self.echo(choice).map(repeated).map(|choice| self.chunk(choice)).into_iter().collect()
    }

    fn token(&mut self, choice: usize, token: &TokenEvent, parts: Vec<Part>) -> Vec<TextCompletion> {
        let offset = self.offsets.entry(choice).or_default();
        let logprobs = self
            .logprobs
            .as_deref()
            .map(|text| CompletionLogprobs::of(text, slice::from_ref(token), offset))
            .filter(|logprobs| !logprobs.is_empty());
        let text = joined(parts);
        if text.is_empty() && logprobs.is_none() {
            return Vec::new();
        }
        vec![self.chunk(TextChoice { index: choice, text, logprobs, finish_reason: None })]
    }

    fn done(&mut self, choice: usize, parts: Vec<Part>, ending: Ending) -> Vec<TextCompletion> {
        let finish_reason = Some(ending.finish.into());
        vec![self.chunk(TextChoice { index: choice, text: joined(parts), logprobs: None, finish_reason })]
    }

    fn end(&mut self, counts: Counts) -> Vec<TextCompletion> {
        let last = || self.completion(Vec::new(), Some(Some(counts.into())));
        self.include_usage.then(last).into_iter().collect()
    }

    fn error(&mut self, error: &ApiError) -> (Option<&'static str>, Value) {
        (None, json!(ErrorBody::from(error)))
    }
}

/// The text of an answer that is all content.
fn joined(parts: Vec<Part>) -> String {
    let text = |part| match part {
        Part::Content(text) => text,
        Part::Reasoning(_) | Part::Call(_) | Part::Arguments(_) => String::new(),
    };
    parts.into_iter().map(text).collect()
}
