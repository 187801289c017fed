//! The tools of a chat.

use crate::{
    api::common::error::ApiError,
    chat::{self, MAX_TOOLS, is_name},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What the model may call, and whether it must.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ToolFields)]
pub(in crate::api::openai) struct ToolFields {
    /// Functions that the model may call.
    tools: Option<Vec<Tool>>,
    /// `auto`: the model decides; `none`: it calls none; `required`: it calls at least one; or the one that it must call.
    #[schema(value_type = Option<Object>)]
    tool_choice: Option<Value>,
    /// Whether one answer may have several calls.
    #[schema(default = true)]
    parallel_tool_calls: Option<bool>,
}

/// A tool.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatTool)]
pub(super) struct Tool {
    /// `function`.
    #[serde(rename = "type")]
    kind: String,
    #[schema(value_type = Function)]
    function: Option<Function>,
}

/// A function.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatFunction)]
pub(super) struct Function {
    /// Up to 64 letters, digits, `_`, `-`, `.`, `:` and `/`.
    name: String,
    /// What it does, for the model.
    description: Option<String>,
    /// The JSON schema of its arguments, an object's.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Map<String, Value>>,
    /// Whether the arguments of every call must be valid under the schema.
    #[schema(default = false)]
    strict: Option<bool>,
}

impl ToolFields {
    /// The tools, the choice, and whether there may be several calls.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(in crate::api::openai) fn check(self) -> Result<(Vec<chat::Tool>, chat::ToolChoice, bool), ApiError> {
        let choice = choice(self.tool_choice.as_ref())?;
        let tools = self.tools.unwrap_or_default();
        if tools.len() > MAX_TOOLS {
            let message = format!("tools has {} tools, but may have up to {MAX_TOOLS}", tools.len());
            return Err(ApiError::invalid(Some("tools"), message));
        }
        let checked = |(index, tool): (usize, Tool)| tool.check(&format!("tools[{index}]"));
        let tools = tools.into_iter().enumerate().map(checked).collect::<Result<_, _>>()?;
        Ok((tools, choice, self.parallel_tool_calls.unwrap_or(true)))
    }
}

impl Tool {
    fn check(self, path: &str) -> Result<chat::Tool, ApiError> {
        if self.kind != "function" {
            let path = format!("{path}.type");
            let message = format!("{path} is '{}', but this server supports only 'function'", self.kind);
            return Err(ApiError::unsupported(&path, message));
        }
        let missing = || ApiError::invalid(Some(path), format!("{path}.function is missing"));
        let Function { name, description, parameters, strict } = self.function.ok_or_else(missing)?;
        if !is_name(&name) {
            let path = format!("{path}.function.name");
            let message = format!("{path} must be up to 64 letters, digits and any of _-.:/");
            return Err(ApiError::invalid(Some(&path), message));
        }
        Ok(chat::Tool { name, description, parameters, strict: strict.unwrap_or(false) })
    }
}

fn choice(value: Option<&Value>) -> Result<chat::ToolChoice, ApiError> {
    const FIELD: &str = "tool_choice";
    match value {
        None | Some(Value::Null) => Ok(chat::ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(chat::ToolChoice::Auto),
            "none" => Ok(chat::ToolChoice::None),
            "required" => Ok(chat::ToolChoice::Required),
            _ => Err(ApiError::invalid(
                Some(FIELD),
                format!("{FIELD} is '{word}', but must be none, auto, required or a function"),
            )),
        },
        Some(object) => match (object["type"].as_str(), object["function"]["name"].as_str()) {
            (Some("function"), Some(name)) => Ok(chat::ToolChoice::Named(name.to_owned())),
            (Some(kind), None) if kind != "function" => {
                let message = format!("{FIELD}: this server supports none, auto, required and functions, not '{kind}'");
                Err(ApiError::unsupported(FIELD, message))
            }
            _ => Err(ApiError::invalid(
                Some(FIELD),
                format!("{FIELD} must be a word or {{\"type\": \"function\", \"function\": {{\"name\": …}}}}"),
            )),
        },
    }
}
