//! Qwen3-Coder's calls, which look like XML and are none: values stand as they are, on lines of their own.
//!
//! ```text
//! <tool_call>
//! <function=f>
//! <parameter=key>
//! value
//! </parameter>
//! </function>
//! </tool_call>
//! ```

use super::{
    Format, MAX_NAME,
    arguments::{Arguments, ValueText},
    is_name,
};
use crate::chat::{
    input::{Input, PrefixMatch, Vocabulary, plain},
    out::Out,
    tool::Tool,
};
use std::sync::Arc;

const FUNCTION: &str = "<function=";
const PARAMETER: &str = "<parameter=";
const END_PARAMETER: [&str; 2] = ["\n</parameter>", "</parameter>"];
const END_FUNCTION: &str = "</function>";

#[derive(Debug)]
pub(super) struct QwenXml {
    tools: Arc<[Tool]>,
    open: String,
    close: String,
    state: State,
    name: String,
}

#[derive(Debug)]
enum State {
    Text,
    /// Behind the mark, with what came since.
    Open(String),
    /// In the function's name; with what stands before it.
    Name {
        before: String,
        name: String,
    },
    /// Between parameters.
    Body(Arguments),
    Key(Arguments, String),
    /// At the start of a value, where a line break is the format's.
    ValueStart(Arguments, ValueText),
    Value(Arguments, ValueText),
    Close,
}

impl QwenXml {
    pub(super) fn new(tools: Arc<[Tool]>, vocabulary: &Vocabulary<'_>) -> Self {
        let [open, close] = ["<tool_call>", "</tool_call>"].map(|mark| vocabulary.mark(mark));
        Self { tools, open, close, state: State::Text, name: String::new() }
    }

    fn body(&mut self, input: &mut Input, out: &mut Out, arguments: Arguments) -> bool {
        input.take_space();
        match (input.take(PARAMETER), input.take(END_FUNCTION), input.begins(&self.close)) {
            (PrefixMatch::Full, ..) => self.state = State::Key(arguments, String::new()),
            (_, PrefixMatch::Full, _) | (.., PrefixMatch::Full) => {
                arguments.end(out);
                self.state = State::Close;
            }
            (PrefixMatch::Partial, ..) | (_, PrefixMatch::Partial, _) | (.., PrefixMatch::Partial) => {
                self.state = State::Body(arguments);
                return false;
            }
            // Text between parameters is skipped.
            _ => {
                let skipped = input.take_char();
                self.state = State::Body(arguments);
                return skipped.is_some();
            }
        }
        true
    }
}

impl Format for QwenXml {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => {
                let (text, found) = input.take_until(&[&self.open, FUNCTION]);
                out.content(&text);
                match found {
                    Some(0) => self.state = State::Open(self.open.clone()),
                    Some(_) => self.state = State::Name { before: FUNCTION.to_owned(), name: String::new() },
                    None => return false,
                }
                true
            }
            State::Open(mut before) => {
                before.push_str(&input.take_space());
                match input.take(FUNCTION) {
                    PrefixMatch::Full => self.state = State::Name { before: before + FUNCTION, name: String::new() },
                    PrefixMatch::Partial => {
                        self.state = State::Open(before);
                        return false;
                    }
                    PrefixMatch::None => out.content(&plain(&before)),
                }
                true
            }
            State::Name { before, mut name } => {
                while let Some(c) = input.take_char() {
                    if c == '>' && is_name(&name) {
                        self.state = State::Body(Arguments::begin(&name, out));
                        self.name = name;
                        return true;
                    }
                    name.push(c);
                    if !is_name(&name) {
                        out.content(&plain(&(before + &name)));
                        return true;
                    }
                }
                self.state = State::Name { before, name };
                false
            }
            State::Body(arguments) => self.body(input, out, arguments),
            State::Key(mut arguments, mut key) => {
                while let Some(c) = input.take_char() {
                    if c == '>' || key.len() > 4 * MAX_NAME {
                        arguments.key(&key, out);
                        let tool = self.tools.iter().find(|tool| tool.name == self.name);
                        self.state = State::ValueStart(arguments, ValueText::new(tool, &key));
                        return true;
                    }
                    key.push(c);
                }
                self.state = State::Key(arguments, key);
                false
            }
            State::ValueStart(arguments, value) => {
                // A value that is empty ends with the line break that it begins with.
                if input.begins(END_PARAMETER[0]) == PrefixMatch::Partial {
                    self.state = State::ValueStart(arguments, value);
                    return false;
                }
                if input.begins(END_PARAMETER[0]) == PrefixMatch::None {
                    input.take("\n");
                }
                self.state = State::Value(arguments, value);
                true
            }
            State::Value(arguments, mut value) => {
                let (text, found) = input.take_until(&END_PARAMETER);
                value.push(&text, out);
                if found.is_none() {
                    self.state = State::Value(arguments, value);
                    return false;
                }
                value.end(out);
                self.state = State::Body(arguments);
                true
            }
            State::Close => {
                input.take_space();
                match input.take(&self.close) {
                    PrefixMatch::Partial => self.state = State::Close,
                    PrefixMatch::None if input.is_empty() => self.state = State::Close,
                    PrefixMatch::Full | PrefixMatch::None => return true,
                }
                false
            }
        }
    }

    fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Open(before) => out.content(&plain(&before)),
            State::Name { before, name } => out.content(&plain(&(before + &name))),
            // A call that the model forgot to end.
            State::Body(arguments) => arguments.end(out),
            _ => {}
        }
    }
}
