//! The JSON of a message, whole and as events.

use super::error::AnthropicError;
use crate::{
    api::common::{
        choices::{Counts, Ending, FinishedChoice},
        error::ApiError,
        format::Format,
    },
    chat::{self, Finish, Part},
    generate::TokenEvent,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// An answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AnthropicResponse)]
pub(super) struct MessageResponse {
    /// `msg_…`
    id: String,
    /// Always `message`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Always `assistant`.
    role: &'static str,
    /// The model's name.
    model: String,
    content: Vec<ContentBlock>,
    /// `end_turn`, `max_tokens`, `stop_sequence` or `tool_use`.
    #[schema(required)]
    stop_reason: Option<&'static str>,
    /// Which of the request's stop sequences ended the answer.
    #[schema(required)]
    stop_sequence: Option<String>,
    usage: MessageUsage,
}

/// A block of an answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AnthropicContentBlock)]
pub(super) enum ContentBlock {
    /// What the model thinks. The signature is empty: nothing checks it.
    Thinking { thinking: String, signature: &'static str },
    /// What it says.
    Text { text: String },
    /// A call of a tool.
    ToolUse {
        id: String,
        name: String,
        #[schema(value_type = Object)]
        input: Value,
    },
}

/// Token counts.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = AnthropicUsage)]
pub(super) struct MessageUsage {
    /// Tokens of the prompt that were computed.
    input_tokens: usize,
    output_tokens: usize,
    cache_creation_input_tokens: usize,
    /// Tokens of the prompt that were in memory from an earlier request.
    cache_read_input_tokens: usize,
}

/// An event of a streamed answer; `type` is the event's name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AnthropicEvent)]
pub(super) enum MessageEvent {
    /// The first event: the message without content.
    MessageStart { message: MessageResponse },
    /// Nothing.
    Ping,
    /// A block begins.
    ContentBlockStart { index: usize, content_block: ContentBlock },
    /// More of a block.
    ContentBlockDelta { index: usize, delta: Delta },
    /// A block is complete.
    ContentBlockStop { index: usize },
    /// Why the answer ended, and what it took.
    MessageDelta { delta: MessageEnd, usage: MessageUsage },
    /// The last event.
    MessageStop,
}

/// What is added to a block.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AnthropicDelta)]
pub(super) enum Delta {
    /// Text to append.
    #[serde(rename = "text_delta")]
    Text { text: String },
    /// Reasoning to append.
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    /// Ends reasoning; empty.
    #[serde(rename = "signature_delta")]
    Signature { signature: &'static str },
    /// JSON text to append to the input.
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
}

/// How a message ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnthropicMessageEnd)]
pub(super) struct MessageEnd {
    #[schema(required)]
    stop_reason: Option<&'static str>,
    #[schema(required)]
    stop_sequence: Option<String>,
}

impl From<Counts> for MessageUsage {
    fn from(counts: Counts) -> Self {
        let Counts { prompt_tokens, completion_tokens, cached_tokens, .. } = counts;
        Self {
            input_tokens: prompt_tokens.saturating_sub(cached_tokens),
            output_tokens: completion_tokens,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: cached_tokens,
        }
    }
}

/// The kind of a block that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Thinking,
    Text,
    ToolUse,
}

/// Writes a message.
#[derive(Debug)]
pub(super) struct MessageFormat {
    id: String,
    model: String,
    short_ids: bool,
    /// Blocks so far.
    blocks: usize,
    open: Option<Open>,
    ending: Ending,
}

impl MessageFormat {
    pub(super) fn new(model: &str, short_ids: bool) -> Self {
        let id = format!("msg_{:032x}", rand::random::<u128>());
        let ending = Ending { finish: Finish::Stop, stop: None };
        Self { id, model: model.to_owned(), short_ids, blocks: 0, open: None, ending }
    }

    fn message(&self, content: Vec<ContentBlock>, ending: Option<Ending>, counts: Counts) -> MessageResponse {
        let (stop_reason, stop_sequence) = ending.map_or((None, None), stopped);
        MessageResponse {
            id: self.id.clone(),
            kind: "message",
            role: "assistant",
            model: self.model.clone(),
            content,
            stop_reason,
            stop_sequence,
            usage: counts.into(),
        }
    }

    fn call_id(&self) -> String {
        let id = chat::call_id(self.short_ids);
        id.strip_prefix("call_").map_or_else(|| id.clone(), |id| format!("toolu_{id}"))
    }

    /// Ends the block that is open.
    fn close(&mut self, events: &mut Vec<MessageEvent>) {
        let Some(open) = self.open.take() else { return };
        let index = self.blocks - 1;
        if open == Open::Thinking {
            events.push(MessageEvent::ContentBlockDelta { index, delta: Delta::Signature { signature: "" } });
        }
        events.push(MessageEvent::ContentBlockStop { index });
    }

    /// Sees to it that a block of this kind is open. Every call is a block of its own.
    fn open(&mut self, kind: Open, block: ContentBlock, events: &mut Vec<MessageEvent>) {
        if self.open == Some(kind) && kind != Open::ToolUse {
            return;
        }
        self.close(events);
        events.push(MessageEvent::ContentBlockStart { index: self.blocks, content_block: block });
        self.open = Some(kind);
        self.blocks += 1;
    }

    fn parts(&mut self, parts: Vec<Part>) -> Vec<MessageEvent> {
        let mut events = Vec::new();
        for part in parts {
            let delta = match part {
                Part::Reasoning(thinking) => {
                    let block = ContentBlock::Thinking { thinking: String::new(), signature: "" };
                    self.open(Open::Thinking, block, &mut events);
                    Delta::Thinking { thinking }
                }
                Part::Content(text) => {
                    self.open(Open::Text, ContentBlock::Text { text: String::new() }, &mut events);
                    Delta::Text { text }
                }
                Part::Call(name) => {
                    let block = ContentBlock::ToolUse { id: self.call_id(), name, input: json!({}) };
                    self.open(Open::ToolUse, block, &mut events);
                    continue;
                }
                Part::Arguments(partial_json) => Delta::InputJson { partial_json },
            };
            events.push(MessageEvent::ContentBlockDelta { index: self.blocks.saturating_sub(1), delta });
        }
        events
    }
}

/// Anthropic's words for an ending.
fn stopped(ending: Ending) -> (Option<&'static str>, Option<String>) {
    let reason = match (ending.finish, &ending.stop) {
        (Finish::Length, _) => "max_tokens",
        (Finish::ToolCalls, _) => "tool_use",
        (Finish::Stop, Some(_)) => "stop_sequence",
        (Finish::Stop, None) => "end_turn",
    };
    (Some(reason), ending.stop)
}

impl Format for MessageFormat {
    type FullResponse = MessageResponse;
    type Chunk = MessageEvent;

    fn whole(self, choices: Vec<FinishedChoice>, counts: Counts) -> MessageResponse {
        let FinishedChoice { answer, ending, .. } = choices.into_iter().next().unwrap_or_default();
        let mut content = Vec::new();
        if !answer.reasoning.is_empty() {
            content.push(ContentBlock::Thinking { thinking: answer.reasoning, signature: "" });
        }
        if !answer.content.is_empty() {
            content.push(ContentBlock::Text { text: answer.content });
        }
        for call in answer.calls {
            // A call that was cut off has no object yet.
            let input = serde_json::from_str(&call.arguments).unwrap_or_else(|_| Value::Object(Map::new()));
            content.push(ContentBlock::ToolUse { id: self.call_id(), name: call.name, input });
        }
        self.message(content, ending, counts)
    }

    fn begin(&mut self, _: usize, counts: Counts) -> Vec<MessageEvent> {
        vec![MessageEvent::MessageStart { message: self.message(Vec::new(), None, counts) }, MessageEvent::Ping]
    }

    fn token(&mut self, _: usize, _: &TokenEvent, parts: Vec<Part>) -> Vec<MessageEvent> {
        self.parts(parts)
    }

    fn done(&mut self, _: usize, parts: Vec<Part>, ending: Ending) -> Vec<MessageEvent> {
        let mut events = self.parts(parts);
        self.close(&mut events);
        self.ending = ending;
        events
    }

    fn end(&mut self, counts: Counts) -> Vec<MessageEvent> {
        let (stop_reason, stop_sequence) = stopped(self.ending.clone());
        let delta = MessageEnd { stop_reason, stop_sequence };
        vec![MessageEvent::MessageDelta { delta, usage: counts.into() }, MessageEvent::MessageStop]
    }

    fn name(event: &MessageEvent) -> Option<&'static str> {
        Some(match event {
            MessageEvent::MessageStart { .. } => "message_start",
            MessageEvent::Ping => "ping",
            MessageEvent::ContentBlockStart { .. } => "content_block_start",
            MessageEvent::ContentBlockDelta { .. } => "content_block_delta",
            MessageEvent::ContentBlockStop { .. } => "content_block_stop",
            MessageEvent::MessageDelta { .. } => "message_delta",
            MessageEvent::MessageStop => "message_stop",
        })
    }

    fn error(&mut self, error: &ApiError) -> (Option<&'static str>, Value) {
        (Some("error"), json!(AnthropicError::of(error, None)))
    }
}
