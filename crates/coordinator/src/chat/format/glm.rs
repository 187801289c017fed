//! GLM's calls: `<tool_call>f`, then for each argument `<arg_key>key</arg_key><arg_value>value</arg_value>`, and
//! `</tool_call>`, on lines of their own or not.

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

#[derive(Debug)]
pub(super) struct Glm {
    tools: Arc<[Tool]>,
    open: String,
    close: String,
    key: [String; 2],
    value: [String; 2],
    state: State,
    name: String,
}

#[derive(Debug)]
enum State {
    Text,
    /// In the name.
    Name(String),
    /// Between arguments.
    Body(Arguments),
    Key(Arguments, String),
    /// Before the value of this key.
    BeforeValue(Arguments, String),
    Value(Arguments, ValueText),
}

impl Glm {
    pub(super) fn new(tools: Arc<[Tool]>, vocabulary: &Vocabulary<'_>) -> Self {
        let [open, close] = ["<tool_call>", "</tool_call>"].map(|mark| vocabulary.mark(mark));
        let key = ["<arg_key>", "</arg_key>"].map(|mark| vocabulary.mark(mark));
        let value = ["<arg_value>", "</arg_value>"].map(|mark| vocabulary.mark(mark));
        Self { tools, open, close, key, value, state: State::Text, name: String::new() }
    }
}

impl Format for Glm {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => {
                let (text, found) = input.take_until(&[&self.open]);
                out.content(&text);
                if found.is_some() {
                    self.state = State::Name(String::new());
                }
                found.is_some()
            }
            State::Name(mut name) => {
                let (text, found) = input.take_until(&[&self.key[0], &self.close]);
                name.push_str(&text);
                let is_short = name.trim().len() <= MAX_NAME && name.len() <= 2 * MAX_NAME;
                match found {
                    Some(found) if is_name(name.trim()) => {
                        name.trim().clone_into(&mut self.name);
                        let arguments = Arguments::begin(&self.name, out);
                        if found == 0 {
                            self.state = State::Key(arguments, String::new());
                        } else {
                            arguments.end(out);
                        }
                        true
                    }
                    Some(found) => {
                        let mark = if found == 0 { &self.key[0] } else { &self.close };
                        out.content(&plain(&format!("{}{name}{mark}", self.open)));
                        true
                    }
                    None if is_short => {
                        self.state = State::Name(name);
                        false
                    }
                    None => {
                        out.content(&plain(&format!("{}{name}", self.open)));
                        true
                    }
                }
            }
            State::Body(arguments) => {
                input.take_space();
                match (input.take(&self.key[0]), input.take(&self.close)) {
                    (PrefixMatch::Full, _) => self.state = State::Key(arguments, String::new()),
                    (_, PrefixMatch::Full) => arguments.end(out),
                    (PrefixMatch::Partial, _) | (_, PrefixMatch::Partial) => {
                        self.state = State::Body(arguments);
                        return false;
                    }
                    _ => {
                        let skipped = input.take_char();
                        self.state = State::Body(arguments);
                        return skipped.is_some();
                    }
                }
                true
            }
            State::Key(arguments, mut key) => {
                let (text, found) = input.take_until(&[&self.key[1]]);
                key.push_str(&text);
                key.truncate(key.floor_char_boundary(4 * MAX_NAME));
                self.state = match found {
                    Some(_) => State::BeforeValue(arguments, key.trim().to_owned()),
                    None => State::Key(arguments, key),
                };
                found.is_some()
            }
            State::BeforeValue(mut arguments, key) => {
                let (_, found) = input.take_until(&[&self.value[0]]);
                if found.is_none() {
                    self.state = State::BeforeValue(arguments, key);
                    return false;
                }
                arguments.key(&key, out);
                let tool = self.tools.iter().find(|tool| tool.name == self.name);
                self.state = State::Value(arguments, ValueText::new(tool, &key));
                true
            }
            State::Value(arguments, mut value) => {
                let (text, found) = input.take_until(&[&self.value[1]]);
                value.push(&text, out);
                if found.is_none() {
                    self.state = State::Value(arguments, value);
                    return false;
                }
                value.end(out);
                self.state = State::Body(arguments);
                true
            }
        }
    }

    fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Name(name) => out.content(&plain(&format!("{}{name}", self.open))),
            State::Body(arguments) => arguments.end(out),
            _ => {}
        }
    }
}
