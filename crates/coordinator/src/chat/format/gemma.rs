//! Gemma 4's calls, `<|tool_call>call:f{key:<|"|>text<|"|>,number:1,list:[true]}<tool_call|>`: JSON but for its keys, which
//! have no quotes, and its texts, which stand between marks of their own as they are.

use super::{
    Format, MAX_NAME,
    arguments::{escaped, quoted},
    is_name,
};
use crate::chat::{
    input::{Input, MARK, PrefixMatch, Vocabulary, plain},
    out::Out,
};

const CALL: &str = "call:";

#[derive(Debug)]
pub(super) struct Gemma {
    open: String,
    close: String,
    quote: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Text,
    /// Behind the mark.
    Open,
    Name(String),
    Arguments(Writer),
    /// In a text of the arguments.
    Quoted(Writer),
    /// Behind the arguments.
    Close,
}

/// Writes arguments as JSON.
#[derive(Debug, Default)]
struct Writer {
    /// For each object and list that is open, whether it is an object.
    open: Vec<bool>,
    /// A key or a bare word that is not whole.
    word: String,
    /// Whether a key is next.
    at_key: bool,
}

impl Writer {
    /// A character outside of texts; whether the arguments are whole.
    fn push(&mut self, c: char, out: &mut Out) -> bool {
        match c {
            ':' if self.at_key => {
                let word = std::mem::take(&mut self.word);
                // A key in quotes was written already.
                if !word.trim().is_empty() {
                    out.arguments(&quoted(word.trim().trim_matches('"')));
                }
                out.arguments(": ");
                self.at_key = false;
            }
            '{' | '[' => {
                self.open.push(c == '{');
                self.at_key = c == '{';
                out.arguments(c.encode_utf8(&mut [0; 4]));
            }
            '}' | ']' => {
                self.bare(out);
                let closes = if self.open.pop() == Some(true) { "}" } else { "]" };
                out.arguments(closes);
                self.at_key = false;
                return self.open.is_empty();
            }
            ',' => {
                self.bare(out);
                out.arguments(", ");
                self.at_key = self.open.last() == Some(&true);
            }
            c if self.word.len() < 4 * MAX_NAME => self.word.push(c),
            _ => {}
        }
        false
    }

    /// A number or a word that is no text.
    fn bare(&mut self, out: &mut Out) {
        let word = std::mem::take(&mut self.word);
        let word = word.trim();
        if word.is_empty() {
            return;
        }
        match serde_json::from_str::<serde_json::Value>(word) {
            Ok(_) => out.arguments(word),
            Err(_) => out.arguments(&quoted(word)),
        }
    }
}

impl Gemma {
    pub(super) fn new(vocabulary: &Vocabulary<'_>) -> Self {
        Self {
            open: vocabulary.mark("<|tool_call>"),
            close: vocabulary.mark("<tool_call|>"),
            quote: vocabulary.mark("<|\"|>"),
            state: State::Text,
        }
    }
}

impl Format for Gemma {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => {
                let (text, found) = input.take_until(&[&self.open]);
                out.content(&text);
                if found.is_some() {
                    self.state = State::Open;
                }
                found.is_some()
            }
            State::Open => match input.take(CALL) {
                PrefixMatch::Full => {
                    self.state = State::Name(String::new());
                    true
                }
                PrefixMatch::Partial => {
                    self.state = State::Open;
                    false
                }
                PrefixMatch::None => {
                    out.content(&plain(&self.open));
                    true
                }
            },
            State::Name(mut name) => {
                while let Some(c) = input.take_char() {
                    if c == '{' && is_name(&name) {
                        out.call(&name);
                        let mut writer = Writer::default();
                        writer.push(c, out);
                        self.state = State::Arguments(writer);
                        return true;
                    }
                    name.push(c);
                    if !is_name(&name) {
                        out.content(&plain(&format!("{}{CALL}{name}", self.open)));
                        return true;
                    }
                }
                self.state = State::Name(name);
                false
            }
            State::Arguments(mut writer) => {
                loop {
                    match input.take(&self.quote) {
                        PrefixMatch::Full => {
                            out.arguments("\"");
                            self.state = State::Quoted(writer);
                            return true;
                        }
                        PrefixMatch::Partial => break,
                        PrefixMatch::None => {}
                    }
                    let Some(c) = input.take_char() else { break };
                    if writer.push(c, out) {
                        self.state = State::Close;
                        return true;
                    }
                }
                self.state = State::Arguments(writer);
                false
            }
            State::Quoted(writer) => {
                let (text, found) = input.take_until(&[&self.quote]);
                out.arguments(&escaped(&text));
                if found.is_none() {
                    self.state = State::Quoted(writer);
                    return false;
                }
                out.arguments("\"");
                self.state = State::Arguments(writer);
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
            State::Open => out.content(&plain(&self.open)),
            State::Name(name) => out.content(&plain(&format!("{}{CALL}{name}", self.open))),
            _ => {}
        }
    }

    fn breaks(&self) -> Vec<String> {
        Some(&self.open).filter(|open| open.starts_with(MARK)).cloned().into_iter().collect()
    }
}
