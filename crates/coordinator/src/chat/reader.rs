//! Reads one answer as it is generated: parts for the APIs, and what they count.

use super::{AnswerParser, AnswerSpec, Part};
use crate::generate::{Completion, FinishReason, TokenEvent};

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The end-of-sequence token or a stop string.
    Stop,
    /// `max_tokens` or the context's end.
    Length,
    /// The model called tools.
    ToolCalls,
}

/// Reads one answer.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The parser; `None` if all of it is content.
    read: Option<(AnswerSpec, AnswerParser)>,
    has_called: bool,
    reasoning_tokens: usize,
}

impl Reader {
    pub(crate) fn new(spec: Option<&AnswerSpec>) -> Self {
        let read = spec.map(|spec| (spec.clone(), spec.parser()));
        Self { read, has_called: false, reasoning_tokens: 0 }
    }

    /// What is certain with one more token.
    pub(crate) fn token(&mut self, token: &TokenEvent) -> Vec<Part> {
        let Some((spec, parser)) = &mut self.read else { return content(&token.text) };
        let before = parser.is_thinking();
        parser.push(&token.text);
        if let Some(mark) = spec.special_text(token.token) {
            parser.push_mark(&mark);
        }
        self.reasoning_tokens += usize::from(before || parser.is_thinking());
        self.taken()
    }

    /// What is certain with the end, and why the answer ended.
    pub(crate) fn end(&mut self, completion: &Completion) -> (Vec<Part>, Finish) {
        let parts = match &mut self.read {
            None => content(&completion.text),
            Some((_, parser)) => {
                parser.push(&completion.text);
                parser.end();
                self.taken()
            }
        };
        let finish = match completion.reason {
            FinishReason::Length => Finish::Length,
            FinishReason::Stop if self.has_called => Finish::ToolCalls,
            FinishReason::Stop => Finish::Stop,
        };
        (parts, finish)
    }

    /// Tokens of its reasoning so far.
    pub(crate) fn reasoning_tokens(&self) -> usize {
        self.reasoning_tokens
    }

    fn taken(&mut self) -> Vec<Part> {
        let parts = self.read.as_mut().map_or_else(Vec::new, |(_, parser)| parser.take());
        self.has_called |= parts.iter().any(|part| matches!(part, Part::Call(_)));
        parts
    }
}

fn content(text: &str) -> Vec<Part> {
    if text.is_empty() { Vec::new() } else { vec![Part::Content(text.to_owned())] }
}

/// A call of a whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// A JSON text.
    pub(crate) arguments: String,
}

/// A whole answer, put together from its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) reasoning: String,
    pub(crate) content: String,
    pub(crate) calls: Vec<Call>,
}

impl Answer {
    pub(crate) fn add(&mut self, part: &Part) {
        match part {
            Part::Reasoning(text) => self.reasoning.push_str(text),
            Part::Content(text) => self.content.push_str(text),
            Part::Call(name) => self.calls.push(Call { name: name.clone(), arguments: String::new() }),
            Part::Arguments(text) => {
                if let Some(call) = self.calls.last_mut() {
                    call.arguments.push_str(text);
                }
            }
        }
    }
}

/// A new call's id. Some templates take `short` ones alone: nine letters and digits.
pub(crate) fn call_id(short: bool) -> String {
    let random = format!("{:032x}", rand::random::<u128>());
    if short { random[..9].to_owned() } else { format!("call_{}", &random[..24]) }
}
