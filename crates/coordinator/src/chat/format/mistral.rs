//! Mistral's calls. Older models write a list, `[TOOL_CALLS][{"name": "f", "arguments": {…}}, …]`, newer ones the mark and
//! a name for each call, `[TOOL_CALLS]f[ARGS]{…}`, with `[CALL_ID]…` between them in some.

use super::{
    Format, MAX_NAME, is_name,
    json_call::{Scan, Within},
    json_list::JsonList,
};
use crate::chat::{
    input::{Input, Vocabulary, plain},
    out::Out,
};

#[derive(Debug)]
pub(super) struct Mistral {
    list: JsonList,
    arguments: String,
    id: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Text,
    /// Behind the mark, with what came since.
    Head(String),
    /// A list, as older models write it.
    List,
    /// Before the arguments of the call of this name.
    Arguments(String),
    Value(Scan),
}

impl Mistral {
    pub(super) fn new(vocabulary: &Vocabulary<'_>) -> Self {
        Self {
            list: JsonList::new(vocabulary.mark("[TOOL_CALLS]"), None),
            arguments: vocabulary.mark("[ARGS]"),
            id: vocabulary.mark("[CALL_ID]"),
            state: State::Text,
        }
    }

    fn no_call(&mut self, head: &str, out: &mut Out) {
        out.content(&plain(&format!("{}{head}", self.list.open())));
        self.state = State::Text;
    }
}

impl Format for Mistral {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        match &mut self.state {
            State::Text => {
                let (text, found) = input.take_until(&[self.list.open()]);
                out.content(&text);
                if found.is_some() {
                    self.state = State::Head(String::new());
                }
                found.is_some()
            }
            State::Head(head) => {
                while let Some(c) = input.take_char() {
                    if matches!(c, '[' | '{') && head.trim().is_empty() {
                        input.put_back(&format!("{head}{c}"));
                        self.list.enter();
                        self.state = State::List;
                        return true;
                    }
                    head.push(c);
                    if c == '{' || head.ends_with(&self.arguments) {
                        let is_braced = c == '{';
                        let name = head.trim_end_matches('{').trim_end_matches(&self.arguments);
                        let name = name.split(&self.id).next().unwrap_or_default().trim().to_owned();
                        if !is_name(&name) {
                            let head = head.clone();
                            self.no_call(&head, out);
                            return true;
                        }
                        if is_braced {
                            input.put_back("{");
                        }
                        self.state = State::Arguments(name);
                        return true;
                    }
                    if head.len() > 4 * MAX_NAME || c == '\n' {
                        let head = head.clone();
                        self.no_call(&head, out);
                        return true;
                    }
                }
                false
            }
            State::List => {
                let more = self.list.step(input, out);
                if self.list.is_outside() {
                    self.state = State::Text;
                    return true;
                }
                more
            }
            State::Arguments(name) => {
                input.take_space();
                let Some(first) = input.take_char() else { return false };
                let name = std::mem::take(name);
                if first != '{' {
                    input.put_back(first.encode_utf8(&mut [0; 4]));
                    let head = format!("{name}{}", self.arguments);
                    self.no_call(&head, out);
                    return true;
                }
                out.call(&name);
                out.arguments("{");
                let mut scan = Scan::default();
                scan.push(first, true);
                self.state = State::Value(scan);
                true
            }
            State::Value(scan) => {
                while let Some(c) = input.take_char() {
                    let within = scan.push(c, false);
                    out.arguments(c.encode_utf8(&mut [0; 4]));
                    if within == Within::Last {
                        self.state = State::Text;
                        return true;
                    }
                }
                false
            }
        }
    }

    fn end(&mut self, out: &mut Out) {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Head(head) => self.no_call(&head, out),
            State::Arguments(name) => {
                let head = format!("{name}{}", self.arguments);
                self.no_call(&head, out);
            }
            State::List => self.list.end(out),
            State::Text | State::Value(_) => {}
        }
    }

    fn breaks(&self) -> Vec<String> {
        Some(self.list.open())
            .filter(|open| open.starts_with(crate::chat::input::MARK))
            .map(str::to_owned)
            .into_iter()
            .collect()
    }
}
