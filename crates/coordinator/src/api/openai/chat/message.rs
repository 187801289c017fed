//! A chat's messages.

use crate::api::openai::error::ApiError;
use gogrid_model::ChatMessage;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// One message of a chat.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatMessage)]
pub(super) struct Message {
    role: Role,
    /// What is said.
    #[schema(value_type = Content)]
    content: Option<Content>,
    /// Only to be refused: an answer would not know what the tool did.
    #[schema(ignore)]
    tool_calls: Option<Value>,
}

/// Who speaks. There are no tools, so the role `tool` is refused.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
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
}

/// A text, or its parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or an array of content parts")]
pub(super) enum Content {
    /// Whole.
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

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(role: String) -> Result<Self, String> {
        match role.as_str() {
            "system" => Ok(Self::System),
            "developer" => Ok(Self::Developer),
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            _ => Err(format!("the role is '{role}', but must be system, developer, user or assistant")),
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
        }
    }
}

/// The messages as chat templates take them.
///
/// # Errors
/// 400 that names the message and what about it is not supported.
pub(super) fn check_messages(messages: Vec<Message>) -> Result<Vec<ChatMessage>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid(Some("messages"), "messages must have at least one message".to_owned()));
    }
    messages.into_iter().enumerate().map(|(index, message)| message.check(&format!("messages[{index}]"))).collect()
}

impl Message {
    fn check(self, path: &str) -> Result<ChatMessage, ApiError> {
        if self.tool_calls.as_ref().is_some_and(|calls| calls.as_array().is_none_or(|calls| !calls.is_empty())) {
            let path = format!("{path}.tool_calls");
            return Err(ApiError::unsupported(&path, format!("{path}: this server does not support tools")));
        }
        let content = match self.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => join(parts, path)?,
            None => {
                let path = format!("{path}.content");
                return Err(ApiError::invalid(
                    Some(&path),
                    format!("{path} must be a string or an array of text parts"),
                ));
            }
        };
        Ok(ChatMessage { role: self.role.in_template().to_owned(), content })
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
