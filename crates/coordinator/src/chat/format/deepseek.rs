//! DeepSeek's calls, between marks of its own. V3 and R1 write the word `function`, the name and a block of JSON, V3.1 the
//! name and the JSON alone.

use super::{Format, MAX_NAME, is_name};
use crate::chat::{
    input::{Input, MARK, PrefixMatch, Vocabulary, plain},
    out::Out,
};

/// The mark with which a call begins.
pub(super) const BEGIN: &str = "<｜tool▁call▁begin｜>";
const SEPARATOR: &str = "<｜tool▁sep｜>";
const END: &str = "<｜tool▁call▁end｜>";
/// The marks of one call.
pub(super) const MARKS: [&str; 3] = [BEGIN, SEPARATOR, END];
const LIST: [&str; 2] = ["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"];
/// What stands around the arguments of V3's calls.
const FENCE: [&str; 2] = ["```json\n", "\n```"];

#[derive(Debug)]
pub(super) struct DeepSeek {
    begin: String,
    separator: String,
    end: String,
    list: [String; 2],
    state: State,
}

#[derive(Debug)]
enum State {
    Text,
    /// Before the separator.
    Head(String),
    /// The name behind the separator, as V3 has it.
    Name(String),
    /// Before the arguments of the call of this name.
    Fence(String),
    Arguments {
        fenced: bool,
    },
    /// Behind the arguments.
    Behind,
}

impl DeepSeek {
    pub(super) fn new(vocabulary: &Vocabulary<'_>) -> Self {
        Self {
            begin: vocabulary.mark(BEGIN),
            separator: vocabulary.mark(SEPARATOR),
            end: vocabulary.mark(END),
            list: LIST.map(|mark| vocabulary.mark(mark)),
            state: State::Text,
        }
    }
}

impl Format for DeepSeek {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => {
                let (text, found) = input.take_until(&[&self.begin, &self.list[0], &self.list[1]]);
                out.content(&text);
                if found == Some(0) {
                    self.state = State::Head(String::new());
                }
                found.is_some()
            }
            State::Head(mut head) => {
                let (text, found) = input.take_until(&[&self.separator, &self.end]);
                head.push_str(&text);
                match found {
                    None if head.len() <= 2 * MAX_NAME => {
                        self.state = State::Head(head);
                        return false;
                    }
                    Some(0) if head.trim() == "function" => self.state = State::Name(String::new()),
                    Some(0) if is_name(head.trim()) => self.state = State::Fence(head.trim().to_owned()),
                    _ => out.content(&plain(&format!("{}{head}", self.begin))),
                }
                true
            }
            State::Name(mut name) => {
                let (text, found) = input.take_until(&["\n"]);
                name.push_str(&text);
                match found {
                    Some(_) if is_name(name.trim()) => self.state = State::Fence(name.trim().to_owned()),
                    None if name.len() <= 2 * MAX_NAME => {
                        self.state = State::Name(name);
                        return false;
                    }
                    _ => out.content(&plain(&format!("{}function{}{name}", self.begin, self.separator))),
                }
                true
            }
            State::Fence(name) => {
                input.take_space();
                let fence = input.take(FENCE[0]);
                if fence == PrefixMatch::Partial || (input.is_empty() && fence == PrefixMatch::None && !input.ended()) {
                    self.state = State::Fence(name);
                    return false;
                }
                out.call(&name);
                self.state = State::Arguments { fenced: fence == PrefixMatch::Full };
                true
            }
            State::Arguments { fenced } => {
                let marks: &[&str] = if fenced { &[FENCE[1], &self.end] } else { &[&self.end] };
                let (text, found) = input.take_until(marks);
                out.arguments(&text);
                self.state = match found {
                    None => State::Arguments { fenced },
                    Some(0) if fenced => State::Behind,
                    Some(_) => State::Text,
                };
                found.is_some()
            }
            State::Behind => {
                input.take_space();
                match input.take(&self.end) {
                    PrefixMatch::Partial => self.state = State::Behind,
                    PrefixMatch::None if input.is_empty() => self.state = State::Behind,
                    PrefixMatch::Full | PrefixMatch::None => return true,
                }
                false
            }
        }
    }

    fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Head(head) => out.content(&plain(&format!("{}{head}", self.begin))),
            State::Name(name) => out.content(&plain(&format!("{}function{}{name}", self.begin, self.separator))),
            _ => {}
        }
    }

    fn breaks(&self) -> Vec<String> {
        [&self.list[0], &self.begin].into_iter().filter(|mark| mark.starts_with(MARK)).cloned().collect()
    }
}
