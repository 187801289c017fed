//! A chat's messages.

use crate::{api::common::error::ApiError, chat};
use gogrid_model::ChatMessage;
use serde::Deserialize;
use utoipa::ToSchema;

/// One message of a chat.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatMessage)]
pub(in crate::api::openai) struct Message {
    role: Role,
    /// What is said. The assistant's may be null if it calls tools.
    #[schema(value_type = Option<Content>)]
    content: Option<Content>,
    /// The assistant's reasoning, for templates that show it.
    reasoning_content: Option<String>,
    /// The same, as some clients call it.
    reasoning: Option<String>,
    /// The assistant's tool calls.
    tool_calls: Option<Vec<ToolCall>>,
    /// Which call a tool's message is the result of.
    tool_call_id: Option<String>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(rename_all = "lowercase")]
pub(super) enum Role {
    /// Instructions.
    System,
    /// The same as `system`: chat templates know that one.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool, with what a call of it gave.
    Tool,
}

/// A text, or its parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or an array of content parts")]
pub(super) enum Content {
    /// FullResponse.
    Text(String),
    /// Put together without anything between them.
    Parts(Vec<Part>),
}

/// A part of a message. Only text is supported.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatContentPart)]
pub(super) struct Part {
    /// `text`.
    #[serde(rename = "type")]
    kind: String,
    /// The text.
    #[schema(value_type = String)]
    text: Option<String>,
}

/// A call that the assistant made.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatMessageToolCall)]
pub(super) struct ToolCall {
    id: String,
    /// `function`.
    #[serde(rename = "type")]
    kind: Option<String>,
    function: Called,
}

/// What was called.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatMessageFunctionCall)]
pub(super) struct Called {
    name: String,
    /// A JSON text.
    arguments: String,
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(role: String) -> Result<Self, String> {
        match role.as_str() {
            "system" => Ok(Self::System),
            "developer" => Ok(Self::Developer),
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            "tool" => Ok(Self::Tool),
            _ => Err(format!("the role is '{role}', but must be system, developer, user, assistant or tool")),
        }
    }
}

impl Role {
    /// The name that chat templates know.
    fn in_template(self) -> &'static str {
        match self {
            Self::System | Self::Developer => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// The messages as chat templates take them.
///
/// # Errors
/// 400 that names the message and what about it is not supported.
pub(in crate::api::openai) fn check_messages(messages: Vec<Message>) -> Result<Vec<ChatMessage>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid(Some("messages"), "messages must have at least one message".to_owned()));
    }
    let checked = |(index, message): (usize, Message)| message.check(&format!("messages[{index}]"));
    let mut messages: Vec<ChatMessage> = messages.into_iter().enumerate().map(checked).collect::<Result<_, _>>()?;
    chat::name_results(&mut messages);
    Ok(messages)
}

impl Message {
    fn check(self, path: &str) -> Result<ChatMessage, ApiError> {
        let calls = self.calls(path)?;
        let content = match self.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => join(parts, path)?,
            None if !calls.is_empty() => String::new(),
            None => {
                let path = format!("{path}.content");
                return Err(ApiError::invalid(
                    Some(&path),
                    format!("{path} must be a string or an array of text parts"),
                ));
            }
        };
        let mut message = ChatMessage::new(self.role.in_template(), content);
        if let Some(reasoning) = self.reasoning_content.or(self.reasoning).filter(|reasoning| !reasoning.is_empty()) {
            message.fields.insert("reasoning_content".to_owned(), reasoning.into());
        }
        if !calls.is_empty() {
            message.fields.insert("tool_calls".to_owned(), calls.into());
        }
        if self.role == Role::Tool {
            let path = format!("{path}.tool_call_id");
            let id = self.tool_call_id.ok_or_else(|| ApiError::invalid(Some(&path), format!("{path} is missing")))?;
            message.fields.insert("tool_call_id".to_owned(), id.into());
        }
        Ok(message)
    }

    fn calls(&self, path: &str) -> Result<Vec<serde_json::Value>, ApiError> {
        let calls = self.tool_calls.as_deref().unwrap_or_default();
        if !calls.is_empty() && self.role != Role::Assistant {
            let path = format!("{path}.tool_calls");
            return Err(ApiError::invalid(Some(&path), format!("{path}: only the assistant calls tools")));
        }
        let checked = |(index, call): (usize, &ToolCall)| {
            if call.kind.as_deref().is_some_and(|kind| kind != "function") {
                let path = format!("{path}.tool_calls[{index}].type");
                return Err(ApiError::unsupported(&path, format!("{path}: this server supports only 'function'")));
            }
            Ok(chat::call_in_template(&call.id, &call.function.name, &call.function.arguments))
        };
        calls.iter().enumerate().map(checked).collect()
    }
}

fn join(parts: Vec<Part>, path: &str) -> Result<String, ApiError> {
    let mut whole = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        let path = format!("{path}.content[{index}]");
        if part.kind != "text" {
            let path = format!("{path}.type");
            let message = format!("{path} is '{}', but this server supports only 'text'", part.kind);
            return Err(ApiError::unsupported(&path, message));
        }
        let text = part.text.ok_or_else(|| {
            let path = format!("{path}.text");
            ApiError::invalid(Some(&path), format!("{path} is missing"))
        })?;
        whole.push_str(&text);
    }
    Ok(whole)
}
