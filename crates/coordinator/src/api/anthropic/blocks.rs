//! Messages and their blocks.

use crate::{api::common::error::ApiError, chat};
use gogrid_model::ChatMessage;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A line of a system prompt that one client writes anew for every request: with it no two prompts would begin alike, and
/// it tells the model nothing.
const CHANGING_LINE: &str = "x-anthropic-billing-header:";

/// One message.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicMessage)]
pub(super) struct Message {
    /// `user`, `assistant` or `system`.
    role: String,
    content: Content,
}

/// A text, or blocks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or an array of content blocks")]
#[schema(as = AnthropicContent)]
pub(super) enum Content {
    /// A text.
    Text(String),
    /// Blocks: `text`, `thinking`, `tool_use` and `tool_result`.
    Blocks(Vec<Block>),
}

/// A block. Which fields it has depends on its type.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicBlock)]
pub(super) struct Block {
    /// `text`, `thinking`, `redacted_thinking`, `tool_use` or `tool_result`.
    #[serde(rename = "type")]
    kind: String,
    /// Of a text.
    text: Option<String>,
    /// Of reasoning.
    thinking: Option<String>,
    /// Of a call.
    id: Option<String>,
    /// Of a call: the tool.
    name: Option<String>,
    /// Of a call: its arguments.
    #[schema(value_type = Option<Object>)]
    input: Option<Value>,
    /// Of a result: the call.
    tool_use_id: Option<String>,
    /// Of a result.
    #[schema(no_recursion, value_type = Option<Object>)]
    content: Option<Content>,
    /// Of a result: whether the tool failed.
    is_error: Option<bool>,
}

/// The system prompt's text.
///
/// # Errors
/// 400 that names the block.
pub(super) fn system(content: Content) -> Result<Option<ChatMessage>, ApiError> {
    let texts = match content {
        Content::Text(text) => vec![text],
        Content::Blocks(blocks) => {
            let text = |(index, block): (usize, Block)| block.into_text(&format!("system[{index}]"));
            blocks.into_iter().enumerate().map(text).collect::<Result<_, _>>()?
        }
    };
    let said = |text: &String| !text.trim().is_empty() && !text.starts_with(CHANGING_LINE);
    let texts: Vec<String> = texts.into_iter().filter(said).collect();
    Ok((!texts.is_empty()).then(|| ChatMessage::new("system", texts.join("\n\n"))))
}

/// The messages as chat templates take them.
///
/// # Errors
/// 400 that names the message or block.
pub(super) fn messages(system: Option<ChatMessage>, messages: Vec<Message>) -> Result<Vec<ChatMessage>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid(Some("messages"), "messages must have at least one message".to_owned()));
    }
    let mut all: Vec<ChatMessage> = system.into_iter().collect();
    for (index, message) in messages.into_iter().enumerate() {
        message.add_to(&mut all, &format!("messages.{index}"))?;
    }
    chat::name_results(&mut all);
    Ok(all)
}

impl Message {
    fn add_to(self, all: &mut Vec<ChatMessage>, path: &str) -> Result<(), ApiError> {
        if !matches!(self.role.as_str(), "user" | "assistant" | "system") {
            let path = format!("{path}.role");
            let message = format!("{path} is '{}', but must be user or assistant", self.role);
            return Err(ApiError::invalid(Some(&path), message));
        }
        let blocks = match self.content {
            Content::Text(text) => {
                all.push(ChatMessage::new(self.role, text));
                return Ok(());
            }
            Content::Blocks(blocks) => blocks,
        };
        let mut message = ChatMessage::new(self.role, "");
        let (mut texts, mut calls, mut reasoning, mut results) = (Vec::new(), Vec::new(), Vec::new(), false);
        for (index, block) in blocks.into_iter().enumerate() {
            let path = format!("{path}.content.{index}");
            match block.kind.as_str() {
                "text" => texts.push(block.into_text(&path)?),
                "thinking" => reasoning.extend(block.thinking),
                "redacted_thinking" => {}
                "tool_use" => calls.push(block.into_call(&path)?),
                "tool_result" => {
                    all.push(block.into_result(&path)?);
                    results = true;
                }
                _ => return Err(block.unsupported(&path)),
            }
        }
        message.content = texts.join("\n");
        if !reasoning.is_empty() {
            message.fields.insert("reasoning_content".to_owned(), reasoning.join("\n").into());
        }
        if !calls.is_empty() {
            message.fields.insert("tool_calls".to_owned(), calls.into());
        }
        // Results alone are the tools' messages, and no one else's.
        if !results || !message.content.is_empty() || !message.fields.is_empty() {
            all.push(message);
        }
        Ok(())
    }
}

impl Block {
    fn unsupported(&self, path: &str) -> ApiError {
        let path = format!("{path}.type");
        ApiError::unsupported(&path, format!("{path}: this server does not support blocks of the type '{}'", self.kind))
    }

    fn into_text(self, path: &str) -> Result<String, ApiError> {
        if self.kind != "text" {
            return Err(self.unsupported(path));
        }
        let path = format!("{path}.text");
        self.text.ok_or_else(|| missing(&path))
    }

    fn into_call(self, path: &str) -> Result<Value, ApiError> {
        let id = self.id.ok_or_else(|| missing(&format!("{path}.id")))?;
        let name = self.name.ok_or_else(|| missing(&format!("{path}.name")))?;
        let input = self.input.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        Ok(chat::call_in_template(&id, &name, &input.to_string()))
    }

    fn into_result(self, path: &str) -> Result<ChatMessage, ApiError> {
        let id = self.tool_use_id.ok_or_else(|| missing(&format!("{path}.tool_use_id")))?;
        let text = match self.content {
            None => String::new(),
            Some(Content::Text(text)) => text,
            Some(Content::Blocks(blocks)) => {
                let text = |(index, block): (usize, Block)| block.into_text(&format!("{path}.content.{index}"));
                blocks.into_iter().enumerate().map(text).collect::<Result<Vec<_>, _>>()?.join("\n")
            }
        };
        // Templates have no word for it.
        let text = if self.is_error == Some(true) { format!("Error: {text}") } else { text };
        let mut message = ChatMessage::new("tool", text);
        message.fields.insert("tool_call_id".to_owned(), id.into());
        Ok(message)
    }
}

fn missing(path: &str) -> ApiError {
    ApiError::invalid(Some(path), format!("{path} is missing"))
}
