//! A tool that a model may call.

use serde_json::{Map, Value, json};

/// The most tools of a request. Each is some hundred tokens of the prompt.
pub(crate) const MAX_TOOLS: usize = 512;

/// A function that a request names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// The JSON schema of its arguments; an object's.
    pub(crate) parameters: Option<Map<String, Value>>,
    /// Whether every call's arguments must be valid under the schema.
    pub(crate) strict: bool,
}

impl Tool {
    /// As chat templates take it: in OpenAI's form.
    pub(crate) fn in_template(&self) -> Value {
        let mut function = Map::new();
        function.insert("name".into(), self.name.as_str().into());
        if let Some(description) = &self.description {
            function.insert("description".into(), description.as_str().into());
        }
        let none = || json!({"type": "object", "properties": {}});
        function.insert("parameters".into(), self.parameters.clone().map_or_else(none, Value::Object));
        json!({"type": "function", "function": function})
    }

    /// Whether an argument is a text, as far as the schema says.
    pub(crate) fn takes_text(&self, argument: &str) -> bool {
        let schema = self.parameters.as_ref().and_then(|schema| schema.get("properties")?.get(argument));
        schema.is_some_and(|schema| match &schema["type"] {
            Value::String(kind) => kind == "string",
            Value::Array(kinds) => kinds.iter().all(|kind| kind == "string" || kind == "null"),
            _ => schema["enum"].as_array().is_some_and(|values| values.iter().all(Value::is_string)),
        })
    }
}
