//! What the text of an answer must be: OpenAI's `response_format`, and what vLLM and llama.cpp call it.

use crate::{
    api::common::error::ApiError,
    constraint::{Constraint, Grammar, Start},
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// Constraints of the answer's text. At most one of them may be there; `docs/CONSTRAINTS.md` has what schemas and grammars
/// may say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ConstraintOptions)]
pub(super) struct ConstraintFields {
    /// Any text, any JSON object, or JSON that is valid under a schema.
    response_format: Option<ResponseFormat>,
    /// JSON that is valid under this schema, which may also be written as a string (vLLM).
    #[schema(value_type = Option<Object>)]
    guided_json: Option<Value>,
    /// A text that this regular expression matches as a whole (vLLM).
    guided_regex: Option<String>,
    /// One of these texts (vLLM).
    guided_choice: Option<Vec<String>>,
    /// A text of this grammar, GBNF or Lark (vLLM).
    guided_grammar: Option<String>,
    /// The same in vLLM's newer form.
    structured_outputs: Option<StructuredOutputs>,
    /// JSON that is valid under this schema (llama.cpp).
    #[schema(value_type = Option<Object>)]
    json_schema: Option<Value>,
    /// A text of this grammar, GBNF or Lark (llama.cpp).
    grammar: Option<String>,
    /// How `grammar` or `guided_grammar` is written. Default: GBNF if it has `::=`, else Lark.
    grammar_type: Option<GrammarType>,
}

/// How a grammar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum GrammarType {
    /// As llama.cpp takes it.
    Gbnf,
    /// In llguidance's variant of Lark.
    Lark,
}

/// What form an answer has.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ResponseFormat {
    /// Any text.
    Text,
    /// A JSON object.
    JsonObject {
        /// A schema that it is valid under.
        #[schema(value_type = Option<Object>)]
        schema: Option<Value>,
    },
    /// JSON that is valid under a schema.
    JsonSchema {
        /// The schema.
        json_schema: JsonSchemaFormat,
    },
}

/// A schema with its name.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct JsonSchemaFormat {
    /// For people.
    #[serde(rename = "name")]
    _name: Option<String>,
    /// For people.
    #[serde(rename = "description")]
    _description: Option<String>,
    /// The schema. Default: any object.
    #[schema(value_type = Option<Object>)]
    schema: Option<Value>,
    /// Answers are always held to the schema.
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

/// vLLM's constraints. At most one of them may be there.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct StructuredOutputs {
    /// As `guided_json`.
    #[schema(value_type = Option<Object>)]
    json: Option<Value>,
    /// As `guided_regex`.
    regex: Option<String>,
    /// As `guided_choice`.
    choice: Option<Vec<String>>,
    /// As `guided_grammar`.
    grammar: Option<String>,
    /// Any JSON object.
    json_object: Option<bool>,
}

impl ConstraintFields {
    /// What the answer's text must be.
    ///
    /// # Errors
    /// 400 that names the field: there are two constraints, or one that cannot be read. What a schema or grammar may say is
    /// for the router to check.
    pub(super) fn check(self) -> Result<Option<Arc<Constraint>>, ApiError> {
        let grammar_type = self.grammar_type;
        let written = |text: String| of_text(text, grammar_type);
        let mut found = Found::default();
        match self.response_format {
            None | Some(ResponseFormat::Text) => {}
            Some(ResponseFormat::JsonObject { schema }) => {
                found.add("response_format", schema.map_or(Grammar::JsonObject, Grammar::JsonSchema))?;
            }
            Some(ResponseFormat::JsonSchema { json_schema }) => {
                let grammar = json_schema.schema.map_or(Grammar::JsonObject, Grammar::JsonSchema);
                found.add("response_format", grammar)?;
            }
        }
        found.add_all("guided_json", json("guided_json", self.guided_json)?)?;
        found.add_all("guided_regex", not_empty(self.guided_regex).map(Grammar::Regex))?;
        found.add_all("guided_choice", choices(self.guided_choice))?;
        found.add_all("guided_grammar", not_empty(self.guided_grammar).map(written))?;
        if let Some(StructuredOutputs { json: schema, regex, choice, grammar, json_object }) = self.structured_outputs {
            found.add_all("structured_outputs.json", json("structured_outputs.json", schema)?)?;
            found.add_all("structured_outputs.regex", not_empty(regex).map(Grammar::Regex))?;
            found.add_all("structured_outputs.choice", choices(choice))?;
            found.add_all("structured_outputs.grammar", not_empty(grammar).map(written))?;
            let any = json_object.filter(|asked| *asked).map(|_| Grammar::JsonObject);
            found.add_all("structured_outputs.json_object", any)?;
        }
        found.add_all("json_schema", json("json_schema", self.json_schema)?)?;
        found.add_all("grammar", not_empty(self.grammar).map(written))?;
        Ok(found.0.map(Arc::new))
    }
}

/// The constraint that was found.
#[derive(Default)]
struct Found(Option<Constraint>);

impl Found {
    fn add(&mut self, field: &str, grammar: Grammar) -> Result<(), ApiError> {
        if let Some(before) = &self.0 {
            let message = format!("{field}: {} constrains the answer already; give one of them", before.field);
            return Err(ApiError::invalid(Some(field), message));
        }
        self.0 = Some(Constraint { field: field.to_owned(), grammar, start: Start::AtOnce });
        Ok(())
    }

    fn add_all(&mut self, field: &str, grammar: Option<Grammar>) -> Result<(), ApiError> {
        grammar.map_or(Ok(()), |grammar| self.add(field, grammar))
    }
}

/// A schema, also where it is written as a string.
fn json(field: &str, value: Option<Value>) -> Result<Option<Grammar>, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(schema) => Ok(Some(Grammar::JsonSchema(schema))),
            Err(error) => {
                Err(ApiError::invalid(Some(field), format!("{field}: the schema is not valid JSON: {error}")))
            }
        },
        Some(schema) => Ok(Some(Grammar::JsonSchema(schema))),
    }
}

/// A text; an empty one is a form's field that was left empty.
fn not_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn choices(choices: Option<Vec<String>>) -> Option<Grammar> {
    choices.filter(|choices| !choices.is_empty()).map(Grammar::Choice)
}

fn of_text(text: String, grammar_type: Option<GrammarType>) -> Grammar {
    let guessed = if text.contains("::=") { GrammarType::Gbnf } else { GrammarType::Lark };
    match grammar_type.unwrap_or(guessed) {
        GrammarType::Gbnf => Grammar::Gbnf(text),
        GrammarType::Lark => Grammar::Lark(text),
    }
}
