//! The JSON of a chat's answer.

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
            logprobs::ChatLogprobs,
        },
    },
    chat::{self, Part},
    generate::TokenEvent,
};
use gogrid_model::TextModel;
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::HashMap, slice, sync::Arc};
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
    /// Null if the model only calls tools.
    #[schema(required)]
    content: Option<String>,
    /// The model's reasoning, if its format shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reasoning_content: Option<String>,
    /// The same, as some clients call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reasoning: Option<String>,
    /// Tool calls, if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
    /// Always null.
    #[schema(value_type = Option<String>, required)]
    refusal: (),
}

/// A call of a tool.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatToolCall)]
struct ToolCall {
    /// `call_…`: the message with the tool's result names it.
    id: String,
    /// Always `function`.
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionCall,
}

/// Which function is called, and with what.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatFunctionCall)]
struct FunctionCall {
    name: String,
    /// A JSON text, as the model wrote it.
    arguments: String,
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
    /// Reasoning to append.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reasoning_content: Option<String>,
    /// The same, as some clients call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reasoning: Option<String>,
    /// One call that begins or goes on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallDelta>,
}

/// What a chunk adds to a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatToolCallDelta)]
struct ToolCallDelta {
    /// Which of the message's calls, from 0.
    index: usize,
    /// In the call's first delta.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    /// `function`, in the call's first delta.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    kind: Option<&'static str>,
    function: FunctionDelta,
}

/// What a chunk adds to a call's function.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatFunctionDelta)]
struct FunctionDelta {
    /// In the call's first delta.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// Text to append to the arguments.
    arguments: String,
}

impl Delta {
    /// A piece of an answer. `calls` counts the choice's calls so far, this one included. The content is there also where
    /// it says nothing: some clients take a delta without one for the end.
    fn of(part: Part, calls: usize, new_id: impl Fn() -> String) -> Self {
        let said = |content| Self { content: Some(content), ..Self::default() };
        let called = |id: Option<String>, name: Option<String>, arguments: String| {
            let kind = id.as_ref().map(|_| "function");
            let function = FunctionDelta { name, arguments };
            let delta = ToolCallDelta { index: calls.saturating_sub(1), id, kind, function };
            Self { tool_calls: vec![delta], ..said(String::new()) }
        };
        match part {
            Part::Content(text) => said(text),
            Part::Reasoning(text) => {
                Self { reasoning_content: Some(text.clone()), reasoning: Some(text), ..said(String::new()) }
            }
            Part::Call(name) => called(Some(new_id()), Some(name), String::new()),
            Part::Arguments(text) => called(None, None, text),
        }
    }
}

/// Writes a chat's answers.
#[derive(Debug)]
pub(super) struct ChatFormat {
    envelope: Envelope,
    /// For the tokens' texts, if log-probabilities are asked for.
    logprobs: Option<Arc<TextModel>>,
    /// Whether a last chunk tells the token counts.
    include_usage: bool,
    /// Whether the template takes short ids of calls alone.
    short_ids: bool,
    /// Calls of each streamed choice so far.
    calls: HashMap<usize, usize>,
}

impl ChatFormat {
    /// `logprobs` holds the model's text side if log-probabilities are wanted.
    pub(super) fn new(
        envelope: Envelope,
        logprobs: Option<Arc<TextModel>>,
        include_usage: bool,
        short_ids: bool,
    ) -> Self {
        Self { envelope, logprobs, include_usage, short_ids, calls: HashMap::new() }
    }

    /// The `usage` of chunks before the last: null if the last will tell the counts, else the field is left out.
    fn usage_placeholder(&self) -> Option<Option<Usage>> {
        self.include_usage.then_some(None)
    }

    fn chunk(&self, choices: Vec<ChunkChoice>) -> ChatChunk {
        let Envelope { id, created, model } = self.envelope.clone();
        ChatChunk {
            id,
            object: "chat.completion.chunk",
            created,
            model,
            choices,
            usage: self.usage_placeholder(),
            system_fingerprint: SYSTEM_FINGERPRINT,
        }
    }

    fn delta(&self, index: usize, delta: Delta) -> ChatChunk {
        self.chunk(vec![ChunkChoice { index, delta, logprobs: None, finish_reason: None }])
    }

    fn choice(&self, index: usize, choice: FinishedChoice) -> ChatChoice {
        let chat::Answer { reasoning, content, calls } = choice.answer;
        let reasoning = Some(reasoning).filter(|reasoning| !reasoning.is_empty());
        let call = |call: chat::Call| ToolCall {
            id: chat::call_id(self.short_ids),
            kind: "function",
            function: FunctionCall { name: call.name, arguments: call.arguments },
        };
        let message = AssistantMessage {
            role: "assistant",
            content: Some(content).filter(|content| !content.is_empty() || calls.is_empty()),
            reasoning_content: reasoning.clone(),
            reasoning,
            tool_calls: calls.into_iter().map(call).collect(),
            refusal: (),
        };
        ChatChoice {
            index,
            message,
            logprobs: self.logprobs.as_deref().map(|text| ChatLogprobs::of(text, &choice.tokens)),
            finish_reason: choice.ending.map(|ending| ending.finish.into()),
        }
    }

    /// The chunks of these parts, at least one if there are log-probabilities, which the first carries.
    fn parts(&mut self, index: usize, parts: Vec<Part>, mut logprobs: Option<ChatLogprobs>) -> Vec<ChatChunk> {
        let mut chunks = Vec::new();
        for part in parts {
            let calls = self.calls.entry(index).or_default();
            *calls += usize::from(matches!(part, Part::Call(_)));
            let delta = Delta::of(part, *calls, || chat::call_id(self.short_ids));
            let choice = ChunkChoice { index, delta, logprobs: logprobs.take(), finish_reason: None };
            chunks.push(self.chunk(vec![choice]));
        }
        if logprobs.is_some() {
            let delta = Delta { content: Some(String::new()), ..Delta::default() };
            chunks.push(self.chunk(vec![ChunkChoice { index, delta, logprobs, finish_reason: None }]));
        }
        chunks
    }
}

impl Format for ChatFormat {
    type FullResponse = ChatCompletion;
    type Chunk = ChatChunk;
    const LAST: Option<&'static str> = Some("[DONE]");

    fn logprobs(&self) -> bool {
        self.logprobs.is_some()
    }

    fn whole(self, choices: Vec<FinishedChoice>, counts: Counts) -> ChatCompletion {
        let choices = choices.into_iter().enumerate().map(|(index, choice)| self.choice(index, choice)).collect();
        let Envelope { id, created, model } = self.envelope;
        ChatCompletion {
            id,
            object: "chat.completion",
            created,
            model,
            choices,
            usage: counts.into(),
            system_fingerprint: SYSTEM_FINGERPRINT,
        }
    }

    fn begin(&mut self, choice: usize, _: Counts) -> Vec<ChatChunk> {
        let delta = Delta { role: Some("assistant"), content: Some(String::new()), ..Delta::default() };
        vec![self.delta(choice, delta)]
    }

    fn token(&mut self, choice: usize, token: &TokenEvent, parts: Vec<Part>) -> Vec<ChatChunk> {
        let logprobs = self
            .logprobs
            .as_deref()
            .map(|text| ChatLogprobs::of(text, slice::from_ref(token)))
            .filter(|logprobs| !logprobs.content.is_empty());
        self.parts(choice, parts, logprobs)
    }

    fn done(&mut self, choice: usize, parts: Vec<Part>, ending: Ending) -> Vec<ChatChunk> {
        let mut chunks = self.parts(choice, parts, None);
        let finish_reason = Some(ending.finish.into());
        let last = ChunkChoice { index: choice, delta: Delta::default(), logprobs: None, finish_reason };
        chunks.push(self.chunk(vec![last]));
        chunks
    }

    fn end(&mut self, counts: Counts) -> Vec<ChatChunk> {
        let last = |chunk: ChatChunk| ChatChunk { usage: Some(Some(counts.into())), ..chunk };
        self.include_usage.then(|| last(self.chunk(Vec::new()))).into_iter().collect()
    }

    fn error(&mut self, error: &ApiError) -> (Option<&'static str>, Value) {
        (None, json!(ErrorBody::from(error)))
    }
}
