//! `<tool_call>{"name": "f", "arguments": {…}}</tool_call>`, once for each call.

use super::{Format, json_list::JsonList};
use crate::chat::{
    input::{Input, Vocabulary},
    out::Out,
};

#[derive(Debug)]
pub(super) struct Hermes(JsonList);

impl Hermes {
    pub(super) fn new(vocabulary: &Vocabulary<'_>) -> Self {
        Self(JsonList::new(vocabulary.mark("<tool_call>"), Some(vocabulary.mark("</tool_call>"))))
    }
}

impl Format for Hermes {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        self.0.step(input, out)
    }

    fn end(&mut self, out: &mut Out) {
        self.0.end(out);
    }
}
