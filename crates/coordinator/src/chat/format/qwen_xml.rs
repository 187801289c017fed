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
    input::{Begins, Input, Vocabulary, plain},
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
    place: Place,
    name: String,
}

#[derive(Debug)]
enum Place {
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
        Self { tools, open, close, place: Place::Text, name: String::new() }
    }

    fn body(&mut self, input: &mut Input, out: &mut Out, arguments: Arguments) -> bool {
        input.take_space();
        match (input.take(PARAMETER), input.take(END_FUNCTION), input.begins(&self.close)) {
            (Begins::Yes, ..) => self.place = Place::Key(arguments, String::new()),
            (_, Begins::Yes, _) | (.., Begins::Yes) => {
                arguments.end(out);
                self.place = Place::Close;
            }
            (Begins::Unsure, ..) | (_, Begins::Unsure, _) | (.., Begins::Unsure) => {
                self.place = Place::Body(arguments);
                return false;
            }
            // What stands between parameters says nothing.
            _ => {
                let skipped = input.take_char();
                self.place = Place::Body(arguments);
                return skipped.is_some();
            }
        }
        true
    }
}

impl Format for QwenXml {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Text => {
                let (text, found) = input.take_until(&[&self.open, FUNCTION]);
                out.content(&text);
                match found {
                    Some(0) => self.place = Place::Open(self.open.clone()),
                    Some(_) => self.place = Place::Name { before: FUNCTION.to_owned(), name: String::new() },
                    None => return false,
                }
                true
            }
            Place::Open(mut before) => {
                before.push_str(&input.take_space());
                match input.take(FUNCTION) {
                    Begins::Yes => self.place = Place::Name { before: before + FUNCTION, name: String::new() },
                    Begins::Unsure => {
                        self.place = Place::Open(before);
                        return false;
                    }
                    Begins::No => out.content(&plain(&before)),
                }
                true
            }
            Place::Name { before, mut name } => {
                while let Some(c) = input.take_char() {
                    if c == '>' && is_name(&name) {
                        self.place = Place::Body(Arguments::begin(&name, out));
                        self.name = name;
                        return true;
                    }
                    name.push(c);
                    if !is_name(&name) {
                        out.content(&plain(&(before + &name)));
                        return true;
                    }
                }
                self.place = Place::Name { before, name };
                false
            }
            Place::Body(arguments) => self.body(input, out, arguments),
            Place::Key(mut arguments, mut key) => {
                while let Some(c) = input.take_char() {
                    if c == '>' || key.len() > 4 * MAX_NAME {
                        arguments.key(&key, out);
                        let tool = self.tools.iter().find(|tool| tool.name == self.name);
                        self.place = Place::ValueStart(arguments, ValueText::new(tool, &key));
                        return true;
                    }
                    key.push(c);
                }
                self.place = Place::Key(arguments, key);
                false
            }
            Place::ValueStart(arguments, value) => {
                // A value that is empty ends with the line break that it begins with.
                if input.begins(END_PARAMETER[0]) == Begins::Unsure {
                    self.place = Place::ValueStart(arguments, value);
                    return false;
                }
                if input.begins(END_PARAMETER[0]) == Begins::No {
                    input.take("\n");
                }
                self.place = Place::Value(arguments, value);
                true
            }
            Place::Value(arguments, mut value) => {
                let (text, found) = input.take_until(&END_PARAMETER);
                value.push(&text, out);
                if found.is_none() {
                    self.place = Place::Value(arguments, value);
                    return false;
                }
                value.end(out);
                self.place = Place::Body(arguments);
                true
            }
            Place::Close => {
                input.take_space();
                match input.take(&self.close) {
                    Begins::Unsure => self.place = Place::Close,
                    Begins::No if input.is_empty() => self.place = Place::Close,
                    Begins::Yes | Begins::No => return true,
                }
                false
            }
        }
    }

    fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Open(before) => out.content(&plain(&before)),
            Place::Name { before, name } => out.content(&plain(&(before + &name))),
            // A call that the model forgot to end.
            Place::Body(arguments) => arguments.end(out),
            _ => {}
        }
    }
}
