//! Calls as JSON behind a mark: one object, or a list of them, and a mark at the end that may be missing.

use super::json_call::{Fed, JsonCall};
use crate::chat::{
    input::{Begins, Input, plain},
    out::Out,
};

/// Reads calls behind a mark.
#[derive(Debug)]
pub(super) struct JsonList {
    open: String,
    close: Option<String>,
    place: Place,
}

#[derive(Debug)]
enum Place {
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
        Self { open, close, place: Place::Text }
    }

    pub(super) fn open(&self) -> &str {
        &self.open
    }

    /// Whether it is not within a call.
    pub(super) fn is_outside(&self) -> bool {
        matches!(self.place, Place::Text)
    }

    /// Goes on behind a mark that was taken.
    pub(super) fn enter(&mut self) {
        self.place = Place::Open(self.open.clone());
    }

    /// See [`Format::step`](super::Format::step).
    pub(super) fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Text => {
                let (text, found) = input.take_until(&[&self.open]);
                out.content(&text);
                if found.is_some() {
                    self.enter();
                }
                found.is_some()
            }
            Place::Open(mut before) => {
                before.push_str(&input.take_space());
                let in_list = input.begins("[");
                if input.is_empty() {
                    self.place = Place::Open(before);
                    return false;
                }
                if in_list == Begins::Yes {
                    before.extend(input.take_char());
                }
                self.place =
                    Place::Object { before, call: Box::new(JsonCall::new(false)), in_list: in_list == Begins::Yes };
                true
            }
            Place::Object { before, mut call, in_list } => {
                while let Some(c) = input.take_char() {
                    match call.push(c, &|_| true, out) {
                        Fed::More => {}
                        Fed::Done => {
                            self.place = if in_list { Place::Next } else { Place::Close };
                            return true;
                        }
                        // The object's last brace is missing.
                        Fed::Broken if call.has_begun() => {
                            input.put_back(c.encode_utf8(&mut [0; 4]));
                            self.place = Place::Close;
                            return true;
                        }
                        Fed::Broken => {
                            say(&before, *call, out);
                            return true;
                        }
                    }
                }
                self.place = Place::Object { before, call, in_list };
                false
            }
            Place::Next => {
                input.take_space();
                match input.take_char() {
                    Some(',') => {
                        self.place = Place::Object {
                            before: String::new(),
                            call: Box::new(JsonCall::new(false)),
                            in_list: true,
                        };
                    }
                    Some(']') => self.place = Place::Close,
                    Some(other) => input.put_back(other.encode_utf8(&mut [0; 4])),
                    None => {
                        self.place = Place::Next;
                        return false;
                    }
                }
                true
            }
            Place::Close => {
                input.take_space();
                let Some(close) = &self.close else { return !input.is_empty() };
                let begins = input.take(close);
                if begins == Begins::Unsure || input.is_empty() && begins == Begins::No {
                    self.place = Place::Close;
                    return false;
                }
                true
            }
        }
    }

    /// See [`Format::end`](super::Format::end).
    pub(super) fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Open(before) => out.content(&plain(&before)),
            Place::Object { before, call, .. } => say(&before, *call, out),
            Place::Text | Place::Next | Place::Close => {}
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
