//! The JSON of a response, whole and as events.

use super::{
    events::{ResponseEvent, Writer},
    store::Keep,
};
use crate::{
    api::{
        common::{
            choices::{Counts, Ending, FinishedChoice},
            error::ApiError,
            format::Format,
        },
        openai::envelope::unix_seconds,
    },
    chat::{self, Answer, Finish, Part},
    generate::TokenEvent,
};
use gogrid_model::ChatMessage;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// What an answer repeats of its request.
#[derive(Debug, Clone)]
pub(super) struct RequestEcho {
    pub(super) model: String,
    pub(super) instructions: Option<String>,
    pub(super) previous_response_id: Option<String>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) tools: Vec<Value>,
    pub(super) tool_choice: Value,
    pub(super) parallel_tool_calls: bool,
    pub(super) metadata: Value,
    pub(super) effort: Option<&'static str>,
    pub(super) store: bool,
}

/// An answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Response)]
pub(super) struct ResponseObject {
    /// `resp_…`
    pub(super) id: String,
    /// Always `response`.
    object: &'static str,
    /// When the request came, in seconds since the Unix epoch.
    created_at: u64,
    /// `in_progress`, `completed`, `incomplete` or `failed`.
    status: &'static str,
    /// Why it failed.
    #[schema(value_type = Option<Object>, required)]
    error: Option<Value>,
    /// Why it is incomplete: `{"reason": "max_output_tokens"}`.
    #[schema(value_type = Option<Object>, required)]
    incomplete_details: Option<Value>,
    #[schema(required)]
    instructions: Option<String>,
    #[schema(required)]
    max_output_tokens: Option<u32>,
    /// The model's name.
    model: String,
    output: Vec<OutputItem>,
    parallel_tool_calls: bool,
    #[schema(required)]
    previous_response_id: Option<String>,
    #[schema(value_type = Object)]
    reasoning: Value,
    store: bool,
    #[schema(required)]
    temperature: Option<f32>,
    #[schema(value_type = Object)]
    text: Value,
    #[schema(value_type = Object)]
    tool_choice: Value,
    #[schema(value_type = Vec<Object>)]
    tools: Vec<Value>,
    #[schema(required)]
    top_p: Option<f32>,
    /// Always `disabled`: a prompt that is too long is refused.
    truncation: &'static str,
    /// Null until the answer is complete.
    #[schema(required)]
    usage: Option<ResponseUsage>,
    #[schema(value_type = Object)]
    metadata: Value,
}

/// An item of an answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = ResponseOutputItem)]
pub(super) enum OutputItem {
    /// The model's reasoning.
    Reasoning {
        id: String,
        /// Always empty.
        #[schema(value_type = Vec<Object>)]
        summary: Vec<Value>,
        content: Vec<OutputPart>,
        status: &'static str,
    },
    /// What it says.
    Message { id: String, status: &'static str, role: &'static str, content: Vec<OutputPart> },
    /// A call of a function.
    FunctionCall { id: String, call_id: String, name: String, arguments: String, status: &'static str },
}

/// A part of an item.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = ResponseOutputPart)]
pub(super) enum OutputPart {
    /// Text.
    OutputText {
        text: String,
        #[schema(value_type = Vec<Object>)]
        annotations: Vec<Value>,
        #[schema(value_type = Vec<Object>)]
        logprobs: Vec<Value>,
    },
    /// Reasoning.
    ReasoningText { text: String },
}

impl OutputPart {
    pub(super) fn text(text: String) -> Self {
        Self::OutputText { text, annotations: Vec::new(), logprobs: Vec::new() }
    }
}

/// Token counts.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(super) struct ResponseUsage {
    input_tokens: usize,
    input_tokens_details: InputDetails,
    output_tokens: usize,
    output_tokens_details: OutputDetails,
    total_tokens: usize,
}

/// What a prompt's tokens are.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = ResponseInputTokensDetails)]
struct InputDetails {
    cached_tokens: usize,
}

/// What an answer's tokens are.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = ResponseOutputTokensDetails)]
struct OutputDetails {
    reasoning_tokens: usize,
}

impl From<Counts> for ResponseUsage {
    fn from(counts: Counts) -> Self {
        let Counts { prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens } = counts;
        Self {
            input_tokens: prompt_tokens,
            input_tokens_details: InputDetails { cached_tokens },
            output_tokens: completion_tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: reasoning_tokens.unwrap_or(0) },
            total_tokens: prompt_tokens + completion_tokens,
        }
    }
}

/// Writes a response.
#[derive(Debug)]
pub(super) struct ResponseFormat {
    asked: RequestEcho,
    id: String,
    created_at: u64,
    short_ids: bool,
    keep: Option<Keep>,
    writer: Writer,
    ending: Option<Finish>,
    /// Events so far.
    events: u64,
}

impl ResponseFormat {
    pub(super) fn new(asked: RequestEcho, short_ids: bool, keep: Option<Keep>) -> Self {
        let id = new_id("resp");
        let writer = Writer::new(short_ids);
        Self { asked, id, created_at: unix_seconds(), short_ids, keep, writer, ending: None, events: 0 }
    }

    fn object(&self, status: &'static str, output: Vec<OutputItem>, counts: Option<Counts>) -> ResponseObject {
        let asked = self.asked.clone();
        let incomplete = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
        ResponseObject {
            id: self.id.clone(),
            object: "response",
            created_at: self.created_at,
            status,
            error: None,
            incomplete_details: incomplete,
            instructions: asked.instructions,
            max_output_tokens: asked.max_output_tokens,
            model: asked.model,
            output,
            parallel_tool_calls: asked.parallel_tool_calls,
            previous_response_id: asked.previous_response_id,
            reasoning: json!({"effort": asked.effort, "summary": null}),
            store: asked.store,
            temperature: asked.temperature,
            text: json!({"format": {"type": "text"}}),
            tool_choice: asked.tool_choice,
            tools: asked.tools,
            top_p: asked.top_p,
            truncation: "disabled",
            usage: counts.map(ResponseUsage::from),
            metadata: asked.metadata,
        }
    }

    fn numbered(&mut self, events: Vec<ResponseEvent>) -> Vec<ResponseEvent> {
        let number = |mut event: ResponseEvent| {
            event.sequence_number = self.events;
            self.events += 1;
            event
        };
        events.into_iter().map(number).collect()
    }

    /// Keeps the conversation with this answer.
    fn store(&mut self, output: &[OutputItem]) {
        if let Some(keep) = self.keep.take() {
            keep.finish(&self.id, in_template(output));
        }
    }
}

fn status(finish: Option<Finish>) -> &'static str {
    if finish == Some(Finish::Length) { "incomplete" } else { "completed" }
}

/// A new id.
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{:032x}", rand::random::<u128>())
}

/// An answer as templates take it.
fn in_template(output: &[OutputItem]) -> ChatMessage {
    let mut message = ChatMessage::new("assistant", "");
    let mut calls = Vec::new();
    for item in output {
        match item {
            OutputItem::Reasoning { content, .. } => {
                let text: String = content.iter().map(said).collect();
                message.fields.insert("reasoning_content".to_owned(), text.into());
            }
            OutputItem::Message { content, .. } => message.content.extend(content.iter().map(said)),
            OutputItem::FunctionCall { call_id, name, arguments, .. } => {
                calls.push(chat::call_in_template(call_id, name, arguments));
            }
        }
    }
    if !calls.is_empty() {
        message.fields.insert("tool_calls".to_owned(), calls.into());
    }
    message
}

fn said(part: &OutputPart) -> &str {
    let (OutputPart::OutputText { text, .. } | OutputPart::ReasoningText { text }) = part;
    text
}

/// A whole answer's items.
fn items(answer: Answer, status: &'static str, short_ids: bool) -> Vec<OutputItem> {
    let mut items = Vec::new();
    if !answer.reasoning.is_empty() {
        let content = vec![OutputPart::ReasoningText { text: answer.reasoning }];
        items.push(OutputItem::Reasoning { id: new_id("rs"), summary: Vec::new(), content, status });
    }
    if !answer.content.is_empty() || answer.calls.is_empty() {
        let content = vec![OutputPart::text(answer.content)];
        items.push(OutputItem::Message { id: new_id("msg"), status, role: "assistant", content });
    }
    let call = |call: chat::Call| OutputItem::FunctionCall {
        id: new_id("fc"),
        call_id: chat::call_id(short_ids),
        name: call.name,
        arguments: call.arguments,
        status,
    };
    items.extend(answer.calls.into_iter().map(call));
    items
}

impl Format for ResponseFormat {
    type FullResponse = ResponseObject;
    type Chunk = ResponseEvent;

    fn whole(mut self, choices: Vec<FinishedChoice>, counts: Counts) -> ResponseObject {
        let FinishedChoice { answer, ending, .. } = choices.into_iter().next().unwrap_or_default();
        let status = status(ending.map(|ending| ending.finish));
        let items = items(answer, status, self.short_ids);
        self.store(&items);
        self.object(status, items, Some(counts))
    }

    fn begin(&mut self, _: usize, _: Counts) -> Vec<ResponseEvent> {
        let object = || self.object("in_progress", Vec::new(), None);
        let events = vec![
            ResponseEvent::of_response("response.created", object()),
            ResponseEvent::of_response("response.in_progress", object()),
        ];
        self.numbered(events)
    }

    fn token(&mut self, _: usize, _: &TokenEvent, parts: Vec<Part>) -> Vec<ResponseEvent> {
        let events = self.writer.parts(parts);
        self.numbered(events)
    }

    fn done(&mut self, _: usize, parts: Vec<Part>, ending: Ending) -> Vec<ResponseEvent> {
        self.ending = Some(ending.finish);
        let mut events = self.writer.parts(parts);
        events.extend(self.writer.end(status(self.ending)));
        self.numbered(events)
    }

    fn end(&mut self, counts: Counts) -> Vec<ResponseEvent> {
        let status = status(self.ending);
        let items = self.writer.items().to_vec();
        self.store(&items);
        let object = self.object(status, items, Some(counts));
        let name = if status == "completed" { "response.completed" } else { "response.incomplete" };
        self.numbered(vec![ResponseEvent::of_response(name, object)])
    }

    fn name(event: &ResponseEvent) -> Option<&'static str> {
        Some(event.kind)
    }

    fn error(&mut self, error: &ApiError) -> (Option<&'static str>, Value) {
        let mut object = self.object("failed", self.writer.items().to_vec(), None);
        object.error = Some(json!({"code": error.code().unwrap_or("server_error"), "message": error.message()}));
        let events = self.numbered(vec![ResponseEvent::of_response("response.failed", object)]);
        (Some("response.failed"), events.first().map_or(Value::Null, |event| json!(event)))
    }
}
