//! DeepSeek's calls, between marks of its own. V3 and R1 write the word `function`, the name and a block of JSON, V3.1 the
//! name and the JSON alone.

use super::{Format, MAX_NAME, is_name};
use crate::chat::{
    input::{Begins, Input, MARK, Vocabulary, plain},
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
    place: Place,
}

#[derive(Debug)]
enum Place {
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
            place: Place::Text,
        }
    }
}

impl Format for DeepSeek {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Text => {
                let (text, found) = input.take_until(&[&self.begin, &self.list[0], &self.list[1]]);
                out.content(&text);
                if found == Some(0) {
                    self.place = Place::Head(String::new());
                }
                found.is_some()
            }
            Place::Head(mut head) => {
                let (text, found) = input.take_until(&[&self.separator, &self.end]);
                head.push_str(&text);
                match found {
                    None if head.len() <= 2 * MAX_NAME => {
                        self.place = Place::Head(head);
                        return false;
                    }
                    Some(0) if head.trim() == "function" => self.place = Place::Name(String::new()),
                    Some(0) if is_name(head.trim()) => self.place = Place::Fence(head.trim().to_owned()),
                    _ => out.content(&plain(&format!("{}{head}", self.begin))),
                }
                true
            }
            Place::Name(mut name) => {
                let (text, found) = input.take_until(&["\n"]);
                name.push_str(&text);
                match found {
                    Some(_) if is_name(name.trim()) => self.place = Place::Fence(name.trim().to_owned()),
                    None if name.len() <= 2 * MAX_NAME => {
                        self.place = Place::Name(name);
                        return false;
                    }
                    _ => out.content(&plain(&format!("{}function{}{name}", self.begin, self.separator))),
                }
                true
            }
            Place::Fence(name) => {
                input.take_space();
                let fence = input.take(FENCE[0]);
                if fence == Begins::Unsure || (input.is_empty() && fence == Begins::No && !input.ended()) {
                    self.place = Place::Fence(name);
                    return false;
                }
                out.call(&name);
                self.place = Place::Arguments { fenced: fence == Begins::Yes };
                true
            }
            Place::Arguments { fenced } => {
                let marks: &[&str] = if fenced { &[FENCE[1], &self.end] } else { &[&self.end] };
                let (text, found) = input.take_until(marks);
                out.arguments(&text);
                self.place = match found {
                    None => Place::Arguments { fenced },
                    Some(0) if fenced => Place::Behind,
                    Some(_) => Place::Text,
                };
                found.is_some()
            }
            Place::Behind => {
                input.take_space();
                match input.take(&self.end) {
                    Begins::Unsure => self.place = Place::Behind,
                    Begins::No if input.is_empty() => self.place = Place::Behind,
                    Begins::Yes | Begins::No => return true,
                }
                false
            }
        }
    }

    fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Head(head) => out.content(&plain(&format!("{}{head}", self.begin))),
            Place::Name(name) => out.content(&plain(&format!("{}function{}{name}", self.begin, self.separator))),
            _ => {}
        }
    }

    fn breaks(&self) -> Vec<String> {
        [&self.list[0], &self.begin].into_iter().filter(|mark| mark.starts_with(MARK)).cloned().collect()
    }
}
