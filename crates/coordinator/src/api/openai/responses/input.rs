//! Items of a conversation.

use crate::{api::common::error::ApiError, chat};
use gogrid_model::ChatMessage;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A text, or items.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or an array of items")]
#[schema(as = ResponseInput)]
pub(super) enum Input {
    /// What the user says.
    Text(String),
    /// The conversation.
    Items(Vec<Item>),
}

/// An item. Which fields it has depends on its type.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ResponseInputItem)]
pub(super) struct Item {
    /// `message` (also without a type), `function_call`, `function_call_output` or `reasoning`. Calls of other tools are
    /// left out.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Of a message: `user`, `assistant`, `system` or `developer`.
    role: Option<String>,
    /// Of a message and of reasoning.
    content: Option<Content>,
    /// Of reasoning.
    summary: Option<Vec<Part>>,
    /// Of a call and its output.
    call_id: Option<String>,
    /// Of a call.
    name: Option<String>,
    /// Of a call: a JSON text.
    arguments: Option<String>,
    /// Of a call's output.
    output: Option<Content>,
}

/// A text, or its parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or an array of content parts")]
#[schema(as = ResponseInputContent)]
pub(super) enum Content {
    /// FullResponse.
    Text(String),
    /// Put together without anything between them.
    Parts(Vec<Part>),
}

/// A part of a content.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ResponseInputPart)]
pub(super) struct Part {
    /// `input_text`, `output_text`, `text`, `summary_text` or `reasoning_text`.
    #[serde(rename = "type")]
    kind: String,
    #[schema(value_type = String)]
    text: Option<String>,
    /// Of a refusal.
    refusal: Option<String>,
}

/// The conversation that the items are, as chat templates take it.
///
/// # Errors
/// 400 that names the item.
pub(super) fn messages(input: Input) -> Result<Vec<ChatMessage>, ApiError> {
    let items = match input {
        Input::Text(text) => return Ok(vec![ChatMessage::new("user", text)]),
        Input::Items(items) => items,
    };
    let mut all: Vec<ChatMessage> = Vec::new();
    // What belongs to one turn of the assistant is one message of the template: reasoning, what is said, and calls.
    let mut turn: Option<ChatMessage> = None;
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("input[{index}]");
        match item.kind.as_deref().unwrap_or("message") {
            "message" => {
                let message = item.into_message(&path)?;
                if message.role == "assistant" {
                    let last = turn.get_or_insert_with(|| ChatMessage::new("assistant", ""));
                    if !last.content.is_empty() {
                        last.content.push('\n');
                    }
                    last.content.push_str(&message.content);
                } else {
                    all.extend(turn.take());
                    all.push(message);
                }
            }
            "reasoning" => {
                // It begins a turn: after calls their outputs come first.
                let reasoning = item.into_reasoning(&path)?;
                if !reasoning.is_empty() {
                    let last = turn.get_or_insert_with(|| ChatMessage::new("assistant", ""));
                    last.fields.insert("reasoning_content".to_owned(), reasoning.into());
                }
            }
            "function_call" => {
                let call = item.into_call(&path)?;
                let last = turn.get_or_insert_with(|| ChatMessage::new("assistant", ""));
                let calls = last.fields.entry("tool_calls").or_insert_with(|| Value::Array(Vec::new()));
                if let Some(calls) = calls.as_array_mut() {
                    calls.push(call);
                }
            }
            "function_call_output" => {
                all.extend(turn.take());
                all.push(item.into_output(&path)?);
            }
            // Tools that other servers run.
            kind if kind.ends_with("_call") || kind.ends_with("_call_output") => {}
            kind => {
                let path = format!("{path}.type");
                let message = format!("{path}: this server does not support items of the type '{kind}'");
                return Err(ApiError::unsupported(&path, message));
            }
        }
    }
    all.extend(turn);
    Ok(all)
}

impl Item {
    fn into_message(self, path: &str) -> Result<ChatMessage, ApiError> {
        let role = match self.role.as_deref() {
            Some("developer" | "system") => "system",
            Some("user") => "user",
            Some("assistant") => "assistant",
            other => {
                let path = format!("{path}.role");
                let message = format!(
                    "{path} is '{}', but must be user, assistant, system or developer",
                    other.unwrap_or_default()
                );
                return Err(ApiError::invalid(Some(&path), message));
            }
        };
        let path = format!("{path}.content");
        let content = self.content.ok_or_else(|| missing(&path))?;
        Ok(ChatMessage::new(role, content.into_text(&path)?))
    }

    fn into_reasoning(self, path: &str) -> Result<String, ApiError> {
        if let Some(content) = self.content {
            return content.into_text(&format!("{path}.content"));
        }
        let summary = self.summary.unwrap_or_default();
        Content::Parts(summary).into_text(&format!("{path}.summary"))
    }

    fn into_call(self, path: &str) -> Result<Value, ApiError> {
        let id = self.call_id.ok_or_else(|| missing(&format!("{path}.call_id")))?;
        let name = self.name.ok_or_else(|| missing(&format!("{path}.name")))?;
        Ok(chat::call_in_template(&id, &name, self.arguments.as_deref().unwrap_or_default()))
    }

    fn into_output(self, path: &str) -> Result<ChatMessage, ApiError> {
        let id = self.call_id.ok_or_else(|| missing(&format!("{path}.call_id")))?;
        let path = format!("{path}.output");
        let output = self.output.ok_or_else(|| missing(&path))?.into_text(&path)?;
        let mut message = ChatMessage::new("tool", output);
        message.fields.insert("tool_call_id".to_owned(), id.into());
        Ok(message)
    }
}

impl Content {
    fn into_text(self, path: &str) -> Result<String, ApiError> {
        let parts = match self {
            Self::Text(text) => return Ok(text),
            Self::Parts(parts) => parts,
        };
        let text = |(index, part): (usize, Part)| match part.kind.as_str() {
            "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => {
                let path = format!("{path}[{index}].text");
                part.text.ok_or_else(|| missing(&path))
            }
            "refusal" => Ok(part.refusal.unwrap_or_default()),
            kind => {
                let path = format!("{path}[{index}].type");
                Err(ApiError::unsupported(&path, format!("{path} is '{kind}', but this server supports only text")))
            }
        };
        parts.into_iter().enumerate().map(text).collect()
    }
}

fn missing(path: &str) -> ApiError {
    ApiError::invalid(Some(path), format!("{path} is missing"))
}
