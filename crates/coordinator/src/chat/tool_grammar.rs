//! GrammarCache of calls: what an answer must be where a tool must be called, or where a tool's arguments must be valid under
//! its schema. In llguidance's variant of Lark, in which `%json {…}` stands for a schema's values and `<[7]>` for a token.

mod values;

use super::{Family, Tool, ToolChoice, ToolFormat, format::deepseek_marks, reasoning::ReasoningTags};
use crate::constraint::{Constraint, Grammar, Start, prepare_schema};
use gogrid_model::TextModel;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The constraint that a chat's tools put on its answer; `None` where the model may do as it likes.
pub(super) fn constraint(
    text: &TextModel,
    family: &Family,
    tools: &[Tool],
    choice: &ToolChoice,
    parallel: bool,
    ending: &str,
) -> Option<Constraint> {
    let format = family.tools?;
    let template = text.template_source().unwrap_or_default();
    let mut writer = Writer { text, format, template, rules: String::new(), count: 0 };
    let called: Vec<&Tool> = match choice {
        ToolChoice::None => return None,
        ToolChoice::Named(name) => tools.iter().filter(|tool| tool.name == *name).collect(),
        ToolChoice::Required | ToolChoice::Auto => tools.iter().collect(),
    };
    if called.is_empty() || (*choice == ToolChoice::Auto && !called.iter().any(|tool| tool.strict)) {
        return None;
    }
    if *choice == ToolChoice::Auto {
        let (mark, start) = writer.rest(&called, parallel)?;
        let grammar = Grammar::Lark(format!("start: {start}\n{}", writer.rules));
        return Some(Constraint { field: "tools".to_owned(), grammar, start: Start::IfAfter(mark) });
    }
    let calls = writer.calls(&called, parallel);
    let (start, reasoning) = match family.reasoning {
        Some(marks) if marks.opened_by(ending) => (Start::After(marks.close.to_owned()), "SPACE ".to_owned()),
        Some(marks) if !marks.closed_by(ending) => (Start::AtOnce, writer.reasoning(marks)),
        _ => (Start::AtOnce, String::new()),
    };
    let grammar = Grammar::Lark(format!("start: {reasoning}{calls}\nSPACE: /[ \\n]{{0,4}}/\n{}", writer.rules));
    Some(Constraint { field: "tool_choice".to_owned(), grammar, start })
}

/// Writes a grammar's rules.
struct Writer<'a> {
    text: &'a TextModel,
    format: ToolFormat,
    template: &'a str,
    rules: String,
    count: usize,
}

/// A text as a literal of the grammar.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

impl Writer<'_> {
    /// A mark: a token where it is a special one, else its text.
    fn mark(&self, mark: &str) -> String {
        match self.text.special_id(mark) {
            Some(token) => format!("<[{token}]>"),
            None => literal(mark),
        }
    }

    /// Adds a rule and returns its name.
    fn rule(&mut self, body: &str) -> String {
        self.count += 1;
        let name = format!("r{}", self.count);
        let _ = writeln!(self.rules, "{name}: {body}");
        name
    }

    /// Adds a terminal and returns its name.
    fn terminal(&mut self, body: &str) -> String {
        self.count += 1;
        let name = format!("T{}", self.count);
        let _ = writeln!(self.rules, "{name}: {body}");
        name
    }

    /// Reasoning that may come first.
    fn reasoning(&mut self, marks: ReasoningTags) -> String {
        let (open, close) = (self.mark(marks.open), self.mark(marks.close));
        let body = if self.text.special_id(marks.close).is_some() {
            let within = self.terminal("/(?s:.*)/");
            self.rule(&format!("{open} {within} {close} SPACE"))
        } else {
            self.count += 1;
            let name = format!("r{}", self.count);
            let _ = writeln!(self.rules, "{name}[lazy]: /(?s:.*)/ {close}");
            self.rule(&format!("{open} {name} SPACE"))
        };
        format!("{body}? ")
    }

    /// The arguments of a call as JSON.
    fn arguments(&mut self, tool: &Tool) -> String {
        self.json(Value::Object(schema(tool)))
    }

    /// A value that is valid under a schema. One that cannot be used is refused when the grammar is compiled.
    fn json(&mut self, schema: Value) -> String {
        let schema = prepare_schema(&schema).unwrap_or(schema);
        self.rule(&format!("%json {schema}"))
    }

    /// JSON objects of a call, by the words that the format has for a call's parts.
    fn object(&mut self, tools: &[&Tool], arguments: &str) -> String {
        let calls: Vec<String> = tools
            .iter()
            .map(|tool| {
                let head = format!("{{\"name\": {}, \"{arguments}\": ", literal(&tool.name));
                format!("{} {} \"}}\"", literal(&head), self.arguments(tool))
            })
            .collect();
        self.rule(&calls.join(" | "))
    }

    /// One rule for a call, without the mark that it begins with.
    fn call(&mut self, tools: &[&Tool]) -> String {
        let mut calls = Vec::new();
        for tool in tools {
            let name = &tool.name;
            calls.push(match self.format {
                ToolFormat::QwenXml => {
                    let parameters = self.parameters(tool, "<parameter=", ">\n", "\n</parameter>\n", None);
                    format!(
                        "{} {parameters} {} {}",
                        literal(&format!("\n<function={name}>\n")),
                        literal("</function>\n"),
                        self.mark("</tool_call>")
                    )
                }
                ToolFormat::Glm => {
                    let parameters =
                        self.parameters(tool, "<arg_key>", "</arg_key>", "</arg_value>", Some("<arg_value>"));
                    format!("{} {parameters} {}", literal(&format!("{name}\n")), self.mark("</tool_call>"))
                }
                ToolFormat::DeepSeek => {
                    let [_, separator, end] = deepseek_marks().map(|mark| self.mark(mark));
                    let arguments = self.arguments(tool);
                    if self.template.contains("```json") {
                        let head = literal(&format!("{name}\n```json\n"));
                        format!("\"function\" {separator} {head} {arguments} {} {end}", literal("\n```"))
                    } else {
                        format!("{} {separator} {arguments} {end}", literal(name))
                    }
                }
                ToolFormat::Mistral => format!("{} {} {}", literal(name), self.mark("[ARGS]"), self.arguments(tool)),
                ToolFormat::Gemma => {
                    let arguments = self.gemma_object(&schema(tool));
                    format!("{} {arguments} {}", literal(&format!("call:{name}")), self.mark("<tool_call|>"))
                }
                ToolFormat::Harmony => {
                    let (constrain, message) = (self.mark("<|constrain|>"), self.mark("<|message|>"));
                    format!("{} {constrain} \"json\" {message} {}", literal(&format!("{name} ")), self.arguments(tool))
                }
                ToolFormat::Hermes | ToolFormat::Granite | ToolFormat::Llama => continue,
            });
        }
        match self.format {
            ToolFormat::Hermes => {
                let object = self.object(tools, "arguments");
                let close = self.mark("</tool_call>");
                self.rule(&format!("{} {object} {} {close}", literal("\n"), literal("\n")))
            }
            ToolFormat::Granite => self.object(tools, "arguments"),
            ToolFormat::Llama => self.object(tools, "parameters"),
            _ => self.rule(&calls.join(" | ")),
        }
    }

    /// Whether calls stand in one list behind one mark.
    fn is_list(&self) -> bool {
        match self.format {
            ToolFormat::Granite => true,
            ToolFormat::Mistral => !self.template.contains("[ARGS]"),
            _ => false,
        }
    }

    /// All of an answer's calls, without the mark that the first begins with; and that mark.
    fn rest(&mut self, tools: &[&Tool], parallel: bool) -> Option<(String, String)> {
        let open = match self.format {
            ToolFormat::Hermes | ToolFormat::QwenXml | ToolFormat::Glm => "<tool_call>",
            ToolFormat::Granite => "<|tool_call|>",
            ToolFormat::Mistral => "[TOOL_CALLS]",
            ToolFormat::DeepSeek => deepseek_marks()[0],
            ToolFormat::Gemma => "<|tool_call>",
            ToolFormat::Harmony => " to=functions.",
            // Nothing marks such a call.
            ToolFormat::Llama => return None,
        };
        if self.is_list() {
            let object = self.object(tools, "arguments");
            let more = if parallel { format!("({} {object})* ", literal(", ")) } else { String::new() };
            return Some((open.to_owned(), format!("\"[\" {object} {more}\"]\"")));
        }
        let call = self.call(tools);
        let mark = self.mark(open);
        let (between, end) = match self.format {
            ToolFormat::Hermes | ToolFormat::QwenXml | ToolFormat::Glm => {
                (format!("{} {mark}", literal("\n")), String::new())
            }
            ToolFormat::DeepSeek => {
                let between =
                    if self.template.contains("```json") { format!("{} {mark}", literal("\n")) } else { mark };
                (between, self.mark("<｜tool▁calls▁end｜>"))
            }
            // One message, one call.
            ToolFormat::Harmony => return Some((open.to_owned(), call)),
            _ => (mark, String::new()),
        };
        let more = if parallel { format!("({between} {call})* ") } else { String::new() };
        Some((open.to_owned(), format!("{call} {more}{end}")))
    }

    /// All of an answer's calls.
    fn calls(&mut self, tools: &[&Tool], parallel: bool) -> String {
        if self.format == ToolFormat::Llama {
            return self.call(tools);
        }
        let Some((open, rest)) = self.rest(tools, parallel) else { return String::new() };
        match self.format {
            ToolFormat::DeepSeek => {
                format!("{} {} {rest}", self.mark("<｜tool▁calls▁begin｜>"), self.mark(&open))
            }
            ToolFormat::Harmony => {
                let [channel, message, end, start] =
                    ["<|channel|>", "<|message|>", "<|end|>", "<|start|>"].map(|mark| self.mark(mark));
                let within = self.terminal("/(?s:.*)/");
                let reasoning =
                    self.rule(&format!("{channel} \"analysis\" {message} {within} {end} {start} \"assistant\""));
                format!("{reasoning}? {channel} {} {rest}", literal("commentary to=functions."))
            }
            _ => format!("{} {rest}", self.mark(&open)),
        }
    }
}

/// The schema that a call's arguments must fulfil: the tool's own, and nothing that it does not name.
fn schema(tool: &Tool) -> Map<String, Value> {
    let none = || json!({"type": "object", "properties": {}}).as_object().cloned().unwrap_or_default();
    let mut schema = tool.parameters.clone().unwrap_or_else(none);
    if schema.is_empty() {
        schema = none();
    }
    let is_plain = schema.contains_key("properties") && !schema.contains_key("patternProperties");
    if is_plain && !schema.contains_key("additionalProperties") {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema.entry("type").or_insert_with(|| "object".into());
    schema
}

#[cfg(test)]
mod tests;
