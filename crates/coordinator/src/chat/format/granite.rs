//! `<|tool_call|>[{"name": "f", "arguments": {…}}, …]`, as Granite 3 writes it.

use super::{Format, json_list::JsonList};
use crate::chat::{
    input::{Input, Vocabulary},
    out::Out,
};

#[derive(Debug)]
pub(super) struct Granite(JsonList);

impl Granite {
    pub(super) fn new(vocabulary: &Vocabulary<'_>) -> Self {
        Self(JsonList::new(vocabulary.mark("<|tool_call|>"), None))
    }
}

impl Format for Granite {
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        self.0.step(input, out)
    }

    fn end(&mut self, out: &mut Out) {
        self.0.end(out);
    }
}
