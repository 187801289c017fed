//! Calls as JSON behind a mark: one object, or a list of them, and a mark at the end that may be missing.

use super::json_call::{JsonCall, PushResult};
use crate::chat::{
    input::{Input, PrefixMatch, plain},
    out::Out,
};

/// Reads calls behind a mark.
#[derive(Debug)]
pub(super) struct JsonList {
    open: String,
    close: Option<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before a mark.
    Text,
    /// Behind it, with what was skipped since.
    Open(String),
    /// In an object, with what stands before it if that is not certain to be a call's.
    Object { before: String, call: Box<JsonCall>, in_list: bool },
    /// Behind an object of a list.
    Next,
    /// Behind the last object.
    Close,
}

impl JsonList {
    pub(super) fn new(open: String, close: Option<String>) -> Self {
        Self { open, close, state: State::Text }
    }

    pub(super) fn open(&self) -> &str {
        &self.open
    }

    /// Whether it is not within a call.
    pub(super) fn is_outside(&self) -> bool {
        matches!(self.state, State::Text)
    }

    /// Goes on behind a mark that was taken.
    pub(super) fn enter(&mut self) {
        self.state = State::Open(self.open.clone());
    }

    /// See [`Format::step`](super::Format::step).
    pub(super) fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => {
                let (text, found) = input.take_until(&[&self.open]);
                out.content(&text);
                if found.is_some() {
                    self.enter();
                }
                found.is_some()
            }
            State::Open(mut before) => {
                before.push_str(&input.take_space());
                let in_list = input.begins("[");
                if input.is_empty() {
                    self.state = State::Open(before);
                    return false;
                }
                if in_list == PrefixMatch::Full {
                    before.extend(input.take_char());
                }
                self.state = State::Object {
                    before,
                    call: Box::new(JsonCall::new(false)),
                    in_list: in_list == PrefixMatch::Full,
                };
                true
            }
            State::Object { before, mut call, in_list } => {
                while let Some(c) = input.take_char() {
                    match call.push(c, &|_| true, out) {
                        PushResult::More => {}
                        PushResult::Done => {
                            self.state = if in_list { State::Next } else { State::Close };
                            return true;
                        }
                        // The object's last brace is missing.
                        PushResult::Broken if call.has_begun() => {
                            input.put_back(c.encode_utf8(&mut [0; 4]));
                            self.state = State::Close;
                            return true;
                        }
                        PushResult::Broken => {
                            say(&before, *call, out);
                            return true;
                        }
                    }
                }
                self.state = State::Object { before, call, in_list };
                false
            }
            State::Next => {
                input.take_space();
                match input.take_char() {
                    Some(',') => {
                        self.state = State::Object {
                            before: String::new(),
                            call: Box::new(JsonCall::new(false)),
                            in_list: true,
                        };
                    }
                    Some(']') => self.state = State::Close,
                    Some(other) => input.put_back(other.encode_utf8(&mut [0; 4])),
                    None => {
                        self.state = State::Next;
                        return false;
                    }
                }
                true
            }
            State::Close => {
                input.take_space();
                let Some(close) = &self.close else { return !input.is_empty() };
                let begins = input.take(close);
                if begins == PrefixMatch::Partial || input.is_empty() && begins == PrefixMatch::None {
                    self.state = State::Close;
                    return false;
                }
                true
            }
        }
    }

    /// See [`Format::end`](super::Format::end).
    pub(super) fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Open(before) => out.content(&plain(&before)),
            State::Object { before, call, .. } => say(&before, *call, out),
            State::Text | State::Next | State::Close => {}
        }
    }
}

/// What was no call is text.
fn say(before: &str, call: JsonCall, out: &mut Out) {
    if !call.has_begun() {
        out.content(&plain(before));
        out.content(&plain(&call.into_raw()));
    }
}
