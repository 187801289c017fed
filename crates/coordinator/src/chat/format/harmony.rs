//! gpt-oss's messages: `<|channel|>CHANNEL<|message|>…<|end|>`, one after the other with `<|start|>assistant` between them.
//! The channel `analysis` is reasoning, `final` and `commentary` are said, and a message to `functions.f` calls that tool.

use super::{Format, is_name};
use crate::chat::{
    input::{Input, PrefixMatch, Vocabulary},
    out::Out,
    tool::Tool,
};
use std::sync::Arc;

/// The longest header, in bytes. Known ones have some 80.
const MAX_HEADER: usize = 512;

#[derive(Debug)]
pub(super) struct Harmony {
    tools: Arc<[Tool]>,
    start: String,
    channel: String,
    message: String,
    /// Marks that end a message.
    ends: [String; 3],
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// In a header, or before one.
    Header(String),
    Body(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reasoning,
    Said,
    Arguments,
}

impl Harmony {
    pub(super) fn new(tools: Arc<[Tool]>, vocabulary: &Vocabulary<'_>) -> Self {
        // Part of headers; known, so that it is not left out of them.
        vocabulary.mark("<|constrain|>");
        Self {
            tools,
            start: vocabulary.mark("<|start|>"),
            channel: vocabulary.mark("<|channel|>"),
            message: vocabulary.mark("<|message|>"),
            ends: ["<|end|>", "<|call|>", "<|return|>"].map(|mark| vocabulary.mark(mark)),
            state: State::Header(String::new()),
        }
    }

    /// What a message with this header is.
    fn begin(&self, header: &str, out: &mut Out) -> Kind {
        let after = |mark: &str| header.split_once(mark).map(|(_, rest)| word(rest));
        let channel = after(&self.channel).unwrap_or_default();
        let function = after("to=functions.");
        match function {
            Some(name) if is_name(name) && self.tools.iter().any(|tool| tool.name == name) => {
                out.call(name);
                Kind::Arguments
            }
            // A call of an unknown tool.
            _ if header.contains("to=") => Kind::Reasoning,
            _ if channel == "analysis" => Kind::Reasoning,
            _ => Kind::Said,
        }
    }
}

/// The word at the start.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(text.len());
    &text[..end]
}

impl Format for Harmony {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match &mut self.state {
            State::Header(header) => {
                // A model that does not begin with a header just talks.
                let is_open = header.is_empty() && !input.is_empty();
                if is_open {
                    let begins = [input.begins(&self.start), input.begins(&self.channel), input.begins(" to=")];
                    if begins.contains(&PrefixMatch::Partial) && !begins.contains(&PrefixMatch::Full) {
                        return false;
                    }
                    if begins == [PrefixMatch::None; 3] {
                        self.state = State::Body(Kind::Said);
                        return true;
                    }
                }
                let (text, found) = input.take_until(&[&self.message]);
                header.push_str(&text);
                if found.is_some() || header.len() > MAX_HEADER {
                    let header = std::mem::take(header);
                    self.state = State::Body(self.begin(&header, out));
                    return true;
                }
                false
            }
            State::Body(kind) => {
                let kind = *kind;
                let mut marks: Vec<&str> = self.ends.iter().map(String::as_str).collect();
                marks.push(&self.start);
                let (text, found) = input.take_until(&marks);
                match kind {
                    Kind::Reasoning => out.reasoning(&text),
                    Kind::Said => out.content(&text),
                    Kind::Arguments => out.arguments(&text),
                }
                let Some(found) = found else { return false };
                if found == self.ends.len() {
                    input.put_back(&self.start);
                }
                if kind == Kind::Reasoning {
                    out.end_reasoning();
                }
                self.state = State::Header(String::new());
                true
            }
        }
    }

    fn end(&mut self, _: &mut Out) {}

    fn is_thinking(&self) -> bool {
        matches!(self.state, State::Body(Kind::Reasoning))
    }
}
