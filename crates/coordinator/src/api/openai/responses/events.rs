//! The events of a streamed response.

use super::format::{OutputItem, OutputPart, ResponseObject, new_id};
use crate::chat::{self, Part};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An event. Which fields it has depends on its type, which is also its name.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = ResponseEvent)]
pub(in crate::api::openai) struct ResponseEvent {
    /// `response.created`, `response.output_text.delta`, `response.completed` …
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// Counts the events from 0.
    pub(super) sequence_number: u64,
    /// The answer, in the events about all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    response: Option<ResponseObject>,
    /// Which item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    output_index: Option<usize>,
    /// The item, when it begins and when it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    item: Option<OutputItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    item_id: Option<String>,
    /// Which part of the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content_index: Option<usize>,
    /// The part, when it begins and when it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    part: Option<OutputPart>,
    /// Text to append.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delta: Option<String>,
    /// The whole text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text: Option<String>,
    /// A call's function.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// A call's whole arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    arguments: Option<String>,
    /// Always empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>, nullable = false)]
    logprobs: Option<Vec<Value>>,
}

impl ResponseEvent {
    /// One about all of the answer.
    pub(super) fn of_response(kind: &'static str, response: ResponseObject) -> Self {
        Self { kind, response: Some(response), ..Self::default() }
    }
}

/// The item that is written now.
#[derive(Debug)]
enum Open {
    Reasoning { id: String, text: String },
    Message { id: String, text: String },
    Call { id: String, call_id: String, name: String, arguments: String },
}

/// Writes items.
#[derive(Debug)]
pub(super) struct Writer {
    short_ids: bool,
    open: Option<Open>,
    items: Vec<OutputItem>,
}

impl Writer {
    pub(super) fn new(short_ids: bool) -> Self {
        Self { short_ids, open: None, items: Vec::new() }
    }

    /// The items that are complete.
    pub(super) fn items(&self) -> &[OutputItem] {
        &self.items
    }

    /// The events of these parts.
    pub(super) fn parts(&mut self, parts: Vec<Part>) -> Vec<ResponseEvent> {
        let mut events = Vec::new();
        for part in parts {
            match (&self.open, &part) {
                (Some(Open::Reasoning { .. }), Part::Reasoning(_))
                | (Some(Open::Message { .. }), Part::Content(_))
                | (Some(Open::Call { .. }), Part::Arguments(_)) => {}
                _ => {
                    self.close("completed", &mut events);
                    self.begin(&part, &mut events);
                }
            }
            self.add(part, &mut events);
        }
        events
    }

    /// The answer is complete. One that says nothing has an empty message.
    pub(super) fn end(&mut self, status: &'static str) -> Vec<ResponseEvent> {
        let mut events = Vec::new();
        if self.open.is_none() && self.items.is_empty() {
            self.begin(&Part::Content(String::new()), &mut events);
        }
        self.close(status, &mut events);
        events
    }

    fn event(&self, kind: &'static str) -> ResponseEvent {
        ResponseEvent { kind, output_index: Some(self.items.len()), ..ResponseEvent::default() }
    }

    /// An event about the text of the open item.
    fn of_text(&self, kind: &'static str, id: &str) -> ResponseEvent {
        ResponseEvent { item_id: Some(id.to_owned()), content_index: Some(0), ..self.event(kind) }
    }

    fn begin(&mut self, part: &Part, events: &mut Vec<ResponseEvent>) {
        let open = match part {
            Part::Reasoning(_) => Open::Reasoning { id: new_id("rs"), text: String::new() },
            Part::Content(_) => Open::Message { id: new_id("msg"), text: String::new() },
            Part::Call(name) => Open::Call {
                id: new_id("fc"),
                call_id: chat::call_id(self.short_ids),
                name: name.clone(),
                arguments: String::new(),
            },
            // There are none without a call.
            Part::Arguments(_) => return,
        };
        let item = open.item("in_progress", false);
        events.push(ResponseEvent { item: Some(item), ..self.event("response.output_item.added") });
        if let Some((id, part)) = open.part() {
            events.push(ResponseEvent { part: Some(part), ..self.of_text("response.content_part.added", id) });
        }
        self.open = Some(open);
    }

    fn add(&mut self, part: Part, events: &mut Vec<ResponseEvent>) {
        let Some(mut open) = self.open.take() else { return };
        match (&mut open, part) {
            (Open::Reasoning { id, text }, Part::Reasoning(delta)) => {
                text.push_str(&delta);
                let event = self.of_text("response.reasoning_text.delta", id);
                events.push(ResponseEvent { delta: Some(delta), ..event });
            }
            (Open::Message { id, text }, Part::Content(delta)) => {
                text.push_str(&delta);
                let event = self.of_text("response.output_text.delta", id);
                events.push(ResponseEvent { delta: Some(delta), logprobs: Some(Vec::new()), ..event });
            }
            (Open::Call { id, arguments, .. }, Part::Arguments(delta)) => {
                arguments.push_str(&delta);
                let event = self.event("response.function_call_arguments.delta");
                events.push(ResponseEvent { delta: Some(delta), item_id: Some(id.clone()), ..event });
            }
            _ => {}
        }
        self.open = Some(open);
    }

    /// Ends the open item.
    fn close(&mut self, status: &'static str, events: &mut Vec<ResponseEvent>) {
        let Some(open) = self.open.take() else { return };
        match &open {
            Open::Reasoning { id, text } => {
                let event = self.of_text("response.reasoning_text.done", id);
                events.push(ResponseEvent { text: Some(text.clone()), ..event });
            }
            Open::Message { id, text } => {
                let event = self.of_text("response.output_text.done", id);
                events.push(ResponseEvent { text: Some(text.clone()), logprobs: Some(Vec::new()), ..event });
            }
            Open::Call { id, name, arguments, .. } => {
                let event = self.event("response.function_call_arguments.done");
                let (name, arguments) = (Some(name.clone()), Some(arguments.clone()));
                events.push(ResponseEvent { name, arguments, item_id: Some(id.clone()), ..event });
            }
        }
        if let Some((id, part)) = open.part() {
            events.push(ResponseEvent { part: Some(part), ..self.of_text("response.content_part.done", id) });
        }
        let item = open.item(status, true);
        events.push(ResponseEvent { item: Some(item.clone()), ..self.event("response.output_item.done") });
        self.items.push(item);
    }
}

impl Open {
    /// The item's part, but for calls, which have none.
    fn part(&self) -> Option<(&str, OutputPart)> {
        match self {
            Self::Reasoning { id, text } => Some((id, OutputPart::ReasoningText { text: text.clone() })),
            Self::Message { id, text } => Some((id, OutputPart::text(text.clone()))),
            Self::Call { .. } => None,
        }
    }

    /// The item, with its content if it `is_whole`.
    fn item(&self, status: &'static str, is_whole: bool) -> OutputItem {
        let content = || self.part().filter(|_| is_whole).map(|(_, part)| part).into_iter().collect();
        match self {
            Self::Reasoning { id, .. } => {
                OutputItem::Reasoning { id: id.clone(), summary: Vec::new(), content: content(), status }
            }
            Self::Message { id, .. } => {
                OutputItem::Message { id: id.clone(), status, role: "assistant", content: content() }
            }
            Self::Call { id, call_id, name, arguments } => OutputItem::FunctionCall {
                id: id.clone(),
                call_id: call_id.clone(),
                name: name.clone(),
                arguments: arguments.clone(),
                status,
            },
        }
    }
}
