//! Refuses, by name, features of OpenAI's API and of similar servers that this server does not have and whose absence
//! would change the answer.

use crate::api::common::error::ApiError;
use serde::Deserialize;
use serde_json::Value;

/// The fields that may ask for an unsupported feature. Other unknown fields are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct UnsupportedField {
    functions: Option<Value>,
    function_call: Option<Value>,
    modalities: Option<Value>,
    audio: Option<Value>,
    web_search_options: Option<Value>,
    suffix: Option<Value>,
    // Extensions of other servers.
    chat_template: Option<Value>,
    stop_token_ids: Option<Value>,
    bad_words: Option<Value>,
    min_tokens: Option<Value>,
    use_beam_search: Option<Value>,
    prompt_logprobs: Option<Value>,
}

impl UnsupportedField {
    /// Refuses the first feature that is asked for.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let no_functions = is(self.function_call.as_ref(), &["none"]);
        if !no_functions {
            refuse("functions", self.functions.as_ref(), is_empty)?;
            refuse("function_call", self.function_call.as_ref(), |value| value == "auto")?;
        }
        refuse("modalities", self.modalities.as_ref(), |value| {
            value.as_array().is_some_and(|all| all.iter().all(|modality| modality == "text"))
        })?;
        refuse("min_tokens", self.min_tokens.as_ref(), |value| value == 0)?;
        let empty = [
            ("audio", &self.audio),
            ("web_search_options", &self.web_search_options),
            ("suffix", &self.suffix),
            ("chat_template", &self.chat_template),
            ("stop_token_ids", &self.stop_token_ids),
            ("bad_words", &self.bad_words),
            ("use_beam_search", &self.use_beam_search),
            ("prompt_logprobs", &self.prompt_logprobs),
        ];
        empty.into_iter().try_for_each(|(field, value)| refuse(field, value.as_ref(), is_empty))
    }
}

fn refuse(field: &str, value: Option<&Value>, changes_nothing: impl Fn(&Value) -> bool) -> Result<(), ApiError> {
    match value {
        Some(value) if !value.is_null() && !changes_nothing(value) => {
            Err(ApiError::unsupported(field, format!("{field}: this server does not support it")))
        }
        _ => Ok(()),
    }
}

fn is(value: Option<&Value>, accepted: &[&str]) -> bool {
    value.is_some_and(|value| accepted.iter().any(|accepted| value == accepted))
}

/// Whether a value asks for nothing: `false`, and empty strings, arrays and objects.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Bool(asked) => !asked,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null | Value::Number(_) => false,
    }
}
