//! `{"name": "f", "parameters": {…}}`, alone or behind `<|python_tag|>`, as Llama 3 writes it; several with `;` between
//! them. Nothing marks such a call, so it is one only at the answer's start, with a tool's name and with arguments.

use super::{
    Format,
    json_call::{Fed, JsonCall},
};
use crate::chat::{
    input::{Begins, Input, Vocabulary, plain},
    out::Out,
    tool::Tool,
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Llama {
    tools: Arc<[Tool]>,
    tag: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// At the start, or behind a call: with what was skipped.
    Start(String),
    Call {
        before: String,
        call: Box<JsonCall>,
    },
    /// Behind a call.
    Behind,
    Text,
}

impl Llama {
    pub(super) fn new(tools: Arc<[Tool]>, vocabulary: &Vocabulary<'_>) -> Self {
        Self { tools, tag: vocabulary.mark("<|python_tag|>"), place: Place::Start(String::new()) }
    }
}

impl Format for Llama {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Start(mut before) => {
                before.push_str(&input.take_space());
                let tag = if before.trim().is_empty() { input.take(&self.tag) } else { Begins::No };
                match tag {
                    Begins::Yes => self.place = Place::Start(before + &self.tag),
                    Begins::Unsure => {
                        self.place = Place::Start(before);
                        return false;
                    }
                    Begins::No => match input.begins("{") {
                        Begins::Yes => self.place = Place::Call { before, call: Box::new(JsonCall::new(true)) },
                        Begins::Unsure => {
                            self.place = Place::Start(before);
                            return false;
                        }
                        Begins::No => out.content(&plain(&before)),
                    },
                }
                true
            }
            Place::Call { before, mut call } => {
                let is_tool = |name: &str| self.tools.iter().any(|tool| tool.name == name);
                while let Some(c) = input.take_char() {
                    match call.push(c, &is_tool, out) {
                        Fed::More => {}
                        Fed::Done => {
                            self.place = Place::Behind;
                            return true;
                        }
                        Fed::Broken => {
                            if !call.has_begun() {
                                out.content(&plain(&(before + &call.into_raw())));
                            }
                            return true;
                        }
                    }
                }
                self.place = Place::Call { before, call };
                false
            }
            Place::Behind => {
                input.take_space();
                match input.take_char() {
                    Some(';' | ',') => self.place = Place::Start(String::new()),
                    Some(other) => {
                        input.put_back(other.encode_utf8(&mut [0; 4]));
                        self.place = if other == '{' { Place::Start(String::new()) } else { Place::Text };
                    }
                    None => {
                        self.place = Place::Behind;
                        return false;
                    }
                }
                true
            }
            Place::Text => {
                out.content(&plain(&input.take_all()));
                false
            }
        }
    }

    fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Start(before) => out.content(&plain(&before)),
            Place::Call { before, call } if !call.has_begun() => out.content(&plain(&(before + &call.into_raw()))),
            Place::Call { .. } | Place::Behind | Place::Text => {}
        }
    }
}
