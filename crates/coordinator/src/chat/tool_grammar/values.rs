//! Arguments that are not written as JSON objects.

use super::{Writer, literal};
use crate::chat::Tool;
use serde_json::{Map, Value};

/// Levels of objects and lists in each other that are written out; deeper ones may be anything of their kind.
const DEPTH: usize = 8;

impl Writer<'_> {
    /// Arguments one by one, each with its key: those that the schema requires, and any others in its order.
    pub(super) fn parameters(
        &mut self,
        tool: &Tool,
        open: &str,
        after_key: &str,
        close: &str,
        before_value: Option<&str>,
    ) -> String {
        let schema = super::schema(tool);
        let required = required(&schema);
        let mut all = Vec::new();
        for (key, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let value = self.value_text(tool, key, value, &schema, close);
            let (head, end) = match before_value {
                Some(mark) => {
                    let head = format!(
                        "{} {} {} {} {}",
                        self.mark(open),
                        literal(key),
                        self.mark(after_key),
                        literal("\n"),
                        self.mark(mark)
                    );
                    (head, format!("{} {}", self.mark(close), literal("\n")))
                }
                None => (literal(&format!("{open}{key}{after_key}")), literal(close)),
            };
            let optional = if required.contains(&key.as_str()) { "" } else { "?" };
            all.push(format!("({head} {value} {end}){optional}"));
        }
        all.join(" ")
    }

    /// One argument: a string as it is, anything else as JSON.
    fn value_text(
        &mut self,
        tool: &Tool,
        key: &str,
        schema: &Value,
        whole: &Map<String, Value>,
        close: &str,
    ) -> String {
        if !tool.takes_text(key) {
            return self.json(with_definitions(schema, whole));
        }
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<String> = values.iter().filter_map(Value::as_str).map(literal).collect();
            return self.rule(&values.join(" | "));
        }
        if let Some(value) = schema["const"].as_str() {
            return literal(value);
        }
        if self.text.special_id(close).is_some() {
            return self.terminal("/(?s:.*)/");
        }
        let close = close.trim().replace('/', "\\/");
        self.terminal(&format!("/(?s:.*)/ & ~/(?s:.*){close}(?s:.*)/"))
    }

    /// An object as Gemma writes it.
    pub(super) fn gemma_object(&mut self, schema: &Map<String, Value>) -> String {
        self.gemma_fields(schema, schema, 0)
    }

    fn gemma_fields(&mut self, schema: &Map<String, Value>, whole: &Map<String, Value>, depth: usize) -> String {
        let required = required(schema);
        let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let (mut first, mut more) = (Vec::new(), Vec::new());
        for (key, value) in &properties {
            let field = format!("{} {}", literal(&format!("{key}:")), self.gemma_value(value, whole, depth + 1));
            if required.contains(&key.as_str()) { first.push(field) } else { more.push(field) }
        }
        // Those that are required stand first, so that commas stand between fields only.
        let mut body = first.join(" \",\" ");
        if first.is_empty() {
            let starts: Vec<String> = (0..more.len())
                .map(|start| {
                    let rest: Vec<String> = more[start + 1..].iter().map(|field| format!("(\",\" {field})?")).collect();
                    format!("{} {}", more[start], rest.join(" "))
                })
                .collect();
            if !starts.is_empty() {
                body = format!("({})?", starts.join(" | "));
            }
        } else {
            for field in more {
                body.push_str(&format!(" (\",\" {field})?"));
            }
        }
        self.rule(&format!("\"{{\" {body} \"}}\""))
    }

    fn gemma_value(&mut self, schema: &Value, whole: &Map<String, Value>, depth: usize) -> String {
        let quote = self.mark("<|\"|>");
        let values =
            schema["enum"].as_array().cloned().or_else(|| schema.get("const").map(|value| vec![value.clone()]));
        if let Some(values) = values {
            let written: Vec<String> = values
                .iter()
                .map(|value| match value.as_str() {
                    Some(text) => format!("{quote} {} {quote}", literal(text)),
                    None => literal(&value.to_string()),
                })
                .collect();
            return self.rule(&written.join(" | "));
        }
        match (schema["type"].as_str(), schema.as_object()) {
            (Some("string"), _) => {
                let within = self.terminal("/(?s:.*)/");
                self.rule(&format!("{quote} {within} {quote}"))
            }
            (Some("object"), Some(object)) if object.contains_key("properties") && depth < DEPTH => {
                self.gemma_fields(object, whole, depth)
            }
            (Some("array"), _) if depth < DEPTH => {
                let item = self.gemma_value(&schema["items"], whole, depth + 1);
                self.rule(&format!("\"[\" ({item} (\",\" {item})*)? \"]\""))
            }
            _ => self.json(with_definitions(schema, whole)),
        }
    }
}

fn required(schema: &Map<String, Value>) -> Vec<&str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A part of a schema that may refer to the definitions of the whole.
fn with_definitions(part: &Value, whole: &Map<String, Value>) -> Value {
    let mut part = part.clone();
    if let Some(fields) = part.as_object_mut() {
        for name in ["$defs", "definitions"] {
            if let Some(definitions) = whole.get(name) {
                fields.entry(name).or_insert_with(|| definitions.clone());
            }
        }
        return part;
    }
    if part.is_null() { Value::Object(Map::new()) } else { part }
}
