//! What a request says about the chat template.

use crate::{
    api::common::{error::ApiError, lenient::count},
    chat::{ChatRequest, ToolChoice},
};
use gogrid_model::{ChatEnd, ChatMessage, RESERVED_VARIABLES};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Bytes of all variables as JSON. Known templates take a few switches.
const MAX_VARIABLES: usize = 16 << 10;

/// Fields for the chat template, as vLLM has them, and OpenAI's `reasoning_effort`.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TemplateFields {
    /// Variables for the model's chat template, such as `enable_thinking`; at most 16 KiB. A template ignores those that
    /// it does not know.
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
    /// How long the model may think. Passed to the chat template; most models ignore it.
    reasoning_effort: Option<ReasoningEffort>,
    /// The most tokens of reasoning, which is then ended for the model. Only for models that think between marks.
    #[schema(minimum = 0)]
    #[serde(default, deserialize_with = "count")]
    max_reasoning_tokens: Option<u32>,
    /// Whether the prompt ends where the assistant's answer begins.
    #[schema(default = true)]
    add_generation_prompt: Option<bool>,
    /// Whether the answer goes on from the last message, which must be the assistant's. It holds only what is new.
    #[schema(default = false)]
    continue_final_message: Option<bool>,
}

/// How long a model may think.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(rename_all = "lowercase")]
pub(in crate::api::openai) enum ReasoningEffort {
    /// Not at all.
    None,
    /// Hardly.
    Minimal,
    /// Briefly.
    Low,
    /// As the model usually does.
    Medium,
    /// Long.
    High,
    /// Very long.
    XHigh,
}

impl TryFrom<String> for ReasoningEffort {
    type Error = String;

    fn try_from(effort: String) -> Result<Self, String> {
        match effort.as_str() {
            "none" => Ok(Self::None),
            "minimal" => Ok(Self::Minimal),
            "low" => Ok(Self::Low),
            "medium" => Ok(Self::Medium),
            "high" => Ok(Self::High),
            "xhigh" => Ok(Self::XHigh),
            _ => Err(format!("it is '{effort}', but must be none, minimal, low, medium, high or xhigh")),
        }
    }
}

impl ReasoningEffort {
    /// The word that templates know.
    pub(in crate::api::openai) fn in_template(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
        }
    }
}

impl TemplateFields {
    /// The chat, without tools.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(super) fn chat(self, messages: Vec<ChatMessage>) -> Result<ChatRequest, ApiError> {
        let end = self.end(&messages)?;
        let mut variables = self.chat_template_kwargs.unwrap_or_default();
        check_variables(&variables)?;
        if let Some(effort) = self.reasoning_effort {
            variables.entry("reasoning_effort").or_insert_with(|| effort.in_template().into());
        }
        Ok(ChatRequest {
            messages,
            tools: Vec::new(),
            choice: ToolChoice::Auto,
            parallel: true,
            end,
            variables,
            max_reasoning_tokens: self.max_reasoning_tokens,
            constraint: None,
        })
    }

    fn end(&self, messages: &[ChatMessage]) -> Result<ChatEnd, ApiError> {
        let refuse = |message: &str| Err(ApiError::invalid(Some("continue_final_message"), message.to_owned()));
        match (self.continue_final_message.unwrap_or(false), self.add_generation_prompt) {
            (false, None | Some(true)) => Ok(ChatEnd::Answer),
            (false, Some(false)) => Ok(ChatEnd::Message),
            (true, Some(true)) => refuse("continue_final_message and add_generation_prompt exclude each other"),
            (true, _) if messages.last().is_none_or(|last| last.role != "assistant") => {
                refuse("continue_final_message needs a last message of the role assistant")
            }
            (true, _) => Ok(ChatEnd::Continued),
        }
    }
}

/// Checks variables that a client sets.
///
/// # Errors
/// 400 that names the variable.
pub(in crate::api::openai) fn check_variables(variables: &Map<String, Value>) -> Result<(), ApiError> {
    const FIELD: &str = "chat_template_kwargs";
    let bytes = serde_json::to_vec(variables).map_or(usize::MAX, |json| json.len());
    if bytes > MAX_VARIABLES {
        let message = format!("{FIELD} has {bytes} bytes, but may have up to {MAX_VARIABLES}");
        return Err(ApiError::invalid(Some(FIELD), message));
    }
    for name in variables.keys() {
        let path = format!("{FIELD}.{name}");
        let is_name = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
            && name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
        if !is_name {
            let message = format!("{path}: a variable's name has letters, digits and underscores alone");
            return Err(ApiError::invalid(Some(&path), message));
        }
        if RESERVED_VARIABLES.contains(&name.as_str()) || name.ends_with("_token") {
            return Err(ApiError::invalid(Some(&path), format!("{path}: the server sets this variable")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::TemplateFields;
    use serde_json::json;

    #[test]
    fn reasoning_effort_is_a_variable_unless_the_request_sets_it_itself() {
        let variables = |fields| {
            let fields: TemplateFields = serde_json::from_value(fields).expect("the fields are valid");
            fields.chat(Vec::new()).expect("the variables are valid").variables
        };
        let both = json!({"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": false}});
        assert_eq!(json!(variables(both)), json!({"enable_thinking": false, "reasoning_effort": "low"}));
        let own = json!({"reasoning_effort": "low", "chat_template_kwargs": {"reasoning_effort": "high"}});
        assert_eq!(json!(variables(own)), json!({"reasoning_effort": "high"}));
    }
}
