//! `{"name": "f", "parameters": {…}}`, alone or behind `<|python_tag|>`, as Llama 3 writes it; several with `;` between
//! them. Nothing marks such a call, so it is one only at the answer's start, with a tool's name and with arguments.

use super::{
    Format,
    json_call::{JsonCall, PushResult},
};
use crate::chat::{
    input::{Input, PrefixMatch, Vocabulary, plain},
    out::Out,
    tool::Tool,
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Llama {
    tools: Arc<[Tool]>,
    tag: String,
    state: State,
}

#[derive(Debug)]
enum State {
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
        Self { tools, tag: vocabulary.mark("<|python_tag|>"), state: State::Start(String::new()) }
    }
}

impl Format for Llama {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Start(mut before) => {
                before.push_str(&input.take_space());
                let tag = if before.trim().is_empty() { input.take(&self.tag) } else { PrefixMatch::None };
                match tag {
                    PrefixMatch::Full => self.state = State::Start(before + &self.tag),
                    PrefixMatch::Partial => {
                        self.state = State::Start(before);
                        return false;
                    }
                    PrefixMatch::None => match input.begins("{") {
                        PrefixMatch::Full => self.state = State::Call { before, call: Box::new(JsonCall::new(true)) },
                        PrefixMatch::Partial => {
                            self.state = State::Start(before);
                            return false;
                        }
                        PrefixMatch::None => out.content(&plain(&before)),
                    },
                }
                true
            }
            State::Call { before, mut call } => {
                let is_tool = |name: &str| self.tools.iter().any(|tool| tool.name == name);
                while let Some(c) = input.take_char() {
                    match call.push(c, &is_tool, out) {
                        PushResult::More => {}
                        PushResult::Done => {
                            self.state = State::Behind;
                            return true;
                        }
                        PushResult::Broken => {
                            if !call.has_begun() {
                                out.content(&plain(&(before + &call.into_raw())));
                            }
                            return true;
                        }
                    }
                }
                self.state = State::Call { before, call };
                false
            }
            State::Behind => {
                input.take_space();
                match input.take_char() {
                    Some(';' | ',') => self.state = State::Start(String::new()),
                    Some(other) => {
                        input.put_back(other.encode_utf8(&mut [0; 4]));
                        self.state = if other == '{' { State::Start(String::new()) } else { State::Text };
                    }
                    None => {
                        self.state = State::Behind;
                        return false;
                    }
                }
                true
            }
            State::Text => {
                out.content(&plain(&input.take_all()));
                false
            }
        }
    }

    fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Start(before) => out.content(&plain(&before)),
            State::Call { before, call } if !call.has_begun() => out.content(&plain(&(before + &call.into_raw()))),
            State::Call { .. } | State::Behind | State::Text => {}
        }
    }
}
