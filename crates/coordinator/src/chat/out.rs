//! What an answer consists of.

use super::input::{MARK, plain};

/// A piece of an answer. Pieces of one kind that follow each other belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// What the model thinks.
    Reasoning(String),
    /// What it says.
    Content(String),
    /// It calls the tool of this name.
    Call(String),
    /// More of the last call's arguments: a piece of a JSON text.
    Arguments(String),
}

/// White space that is held back because it may turn out to be the format's, in bytes: more of it is the answer's.
const MAX_SPACE: usize = 256;

/// Collects parts. White space around reasoning and calls is the format's and goes.
#[derive(Debug)]
pub(super) struct Out {
    parts: Vec<Part>,
    reasoning: Spaced,
    content: Spaced,
    /// Calls so far, and how many may be.
    calls: usize,
    max_calls: usize,
}

/// Text whose white space at either end is decided by what follows.
#[derive(Debug, Default)]
struct Spaced {
    held: String,
    /// Whether white space at the start goes.
    skips: bool,
}

impl Spaced {
    /// What is certain with more text. Goes by characters, so that it does not matter how the text was cut.
    fn push(&mut self, text: &str) -> String {
        let mut certain = String::new();
        for c in text.chars().filter(|&c| c != MARK) {
            if !c.is_whitespace() {
                certain.push_str(&std::mem::take(&mut self.held));
                certain.push(c);
                self.skips = false;
            } else if !self.skips {
                self.held.push(c);
                if self.held.len() > MAX_SPACE {
                    certain.push_str(&std::mem::take(&mut self.held));
                }
            }
        }
        certain
    }

    /// Ends the current part.
    fn cut(&mut self) {
        self.held.clear();
        self.skips = true;
    }
}

impl Out {
    /// Further calls than this are left out.
    pub(super) fn new(max_calls: usize) -> Self {
        let reasoning = Spaced { held: String::new(), skips: true };
        Self { parts: Vec::new(), reasoning, content: Spaced::default(), calls: 0, max_calls }
    }

    pub(super) fn reasoning(&mut self, text: &str) {
        let text = self.reasoning.push(text);
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Reasoning(last)) => last.push_str(&text),
            _ => self.parts.push(Part::Reasoning(text)),
        }
    }

    /// Reasoning is over.
    pub(super) fn end_reasoning(&mut self) {
        self.reasoning.cut();
        self.content.cut();
    }

    pub(super) fn content(&mut self, text: &str) {
        let text = self.content.push(text);
        self.say(text);
    }

    fn say(&mut self, text: String) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Content(last)) => last.push_str(&text),
            _ => self.parts.push(Part::Content(text)),
        }
    }

    pub(super) fn call(&mut self, name: &str) {
        self.end_reasoning();
        self.calls += 1;
        if self.calls <= self.max_calls {
            self.parts.push(Part::Call(name.to_owned()));
        }
    }

    pub(super) fn arguments(&mut self, text: &str) {
        let text = plain(text);
        match self.parts.last_mut() {
            _ if text.is_empty() || self.calls > self.max_calls => {}
            Some(Part::Arguments(last)) => last.push_str(&text),
            _ => self.parts.push(Part::Arguments(text)),
        }
    }

    /// Ends the answer.
    pub(super) fn end(&mut self) {
        let held = std::mem::take(&mut self.content.held);
        self.say(held);
    }

    /// The parts so far, taken.
    pub(super) fn take(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.parts)
    }
}
