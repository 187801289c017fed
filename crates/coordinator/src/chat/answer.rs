//! From the texts of an answer's tokens to its parts.

use super::{
    budget::ReasoningBudget,
    family::Family,
    format::{Format, ToolFormat},
    input::{Input, Vocabulary},
    out::{Out, Part},
    reasoning::{Phase, ReasoningParser, ReasoningTags},
    tool::Tool,
};
use gogrid_model::TextModel;
use std::sync::Arc;

/// How the answers to one request are read.
#[derive(Debug, Clone)]
pub(crate) struct AnswerSpec {
    text: Arc<TextModel>,
    reasoning: Option<ReasoningTags>,
    format: Option<ToolFormat>,
    tools: Arc<[Tool]>,
    max_calls: usize,
    /// How the prompt ends.
    ending: String,
}

impl AnswerSpec {
    /// `tools` are those that the model may call, `ending` is how the prompt ends. `None` if answers are all content.
    pub(crate) fn new(
        text: &Arc<TextModel>,
        family: Family,
        tools: Arc<[Tool]>,
        max_calls: usize,
        ending: &str,
    ) -> Option<Self> {
        let format = family.tools.filter(|_| !tools.is_empty() || family.has_channels());
        let reads = format.is_some() || family.reasoning.is_some();
        let (text, ending) = (Arc::clone(text), ending.to_owned());
        reads.then_some(Self { text, reasoning: family.reasoning, format, tools, max_calls, ending })
    }

    /// A parser of one answer.
    pub(crate) fn parser(&self) -> AnswerParser {
        let is_special = |text: &str| self.text.special_id(text).is_some();
        let vocabulary = Vocabulary::new(&is_special);
        let mut parser = AnswerParser::new(self.reasoning, self.format, &self.tools, &self.ending, &vocabulary);
        parser.out = Out::new(self.max_calls);
        parser.marks = vocabulary.into_used();
        parser
    }

    /// The text of a special token.
    pub(crate) fn special_text(&self, token: u32) -> Option<String> {
        self.text.special_text(token)
    }

    /// A bound on the reasoning, if the model thinks between marks.
    pub(crate) fn budget(&self, max_tokens: usize) -> Option<ReasoningBudget> {
        let (open, close, closing) = match (self.reasoning, self.format) {
            (Some(marks), _) => (marks.open, marks.close, format!("\n{}\n\n", marks.close)),
            (None, Some(ToolFormat::Harmony)) => {
                let next = "<|end|><|start|>assistant<|channel|>final<|message|>".to_owned();
                ("<|channel|>analysis<|message|>", "<|end|>", next)
            }
            _ => return None,
        };
        let is_open = self.reasoning.is_some_and(|marks| marks.opened_by(&self.ending));
        let closing = self.text.encode(&closing, false).ok()?;
        Some(ReasoningBudget { open: open.to_owned(), close: close.to_owned(), is_open, max_tokens, closing })
    }
}

/// Reads one answer. What it makes of it does not depend on the pieces in which it came. It holds a few hundred KiB at
/// most: a call or an argument that is not whole yet.
#[derive(Debug)]
pub(crate) struct AnswerParser {
    input: Input,
    out: Out,
    reasoning: Option<ReasoningParser>,
    format: Option<Box<dyn Format>>,
    /// Special tokens that mean something.
    marks: Vec<String>,
}

impl AnswerParser {
    pub(super) fn new(
        reasoning: Option<ReasoningTags>,
        format: Option<ToolFormat>,
        tools: &Arc<[Tool]>,
        ending: &str,
        vocabulary: &Vocabulary<'_>,
    ) -> Self {
        let format = format.map(|format| format.parser(tools, vocabulary));
        let breaks = format.as_ref().map_or_else(Vec::new, |format| format.breaks());
        let reasoning = reasoning.map(|marks| ReasoningParser::new(marks, ending, breaks, vocabulary));
        Self { input: Input::default(), out: Out::new(usize::MAX), reasoning, format, marks: Vec::new() }
    }

    /// More text.
    pub(crate) fn push(&mut self, text: &str) {
        self.input.push(text);
        self.advance();
    }

    /// A special token, by its text. Those that no format uses are left out.
    pub(crate) fn push_mark(&mut self, text: &str) {
        if self.marks.iter().any(|mark| mark == text) {
            self.input.push_mark(text);
            self.advance();
        }
    }

    /// The answer is complete.
    pub(crate) fn end(&mut self) {
        self.input.end();
        self.advance();
        if let Some(format) = &mut self.format {
            format.end(&mut self.out);
        }
        self.out.end();
    }

    /// What is certain since the last time.
    pub(crate) fn take(&mut self) -> Vec<Part> {
        self.out.take()
    }

    /// Whether the text that comes now is reasoning.
    pub(crate) fn is_thinking(&self) -> bool {
        let within = |reasoning: &ReasoningParser| matches!(reasoning.phase, Phase::Label | Phase::Within);
        self.reasoning.as_ref().is_some_and(within) || self.format.as_ref().is_some_and(|format| format.is_thinking())
    }

    fn advance(&mut self) {
        if let Some(reasoning) = &mut self.reasoning
            && !reasoning.step(&mut self.input, &mut self.out)
        {
            return;
        }
        match &mut self.format {
            Some(format) => while format.step(&mut self.input, &mut self.out) {},
            None => {
                let text = super::input::plain(&self.input.take_all());
                self.out.content(&text);
            }
        }
    }
}

#[cfg(test)]
impl AnswerParser {
    pub(super) fn set_marks(&mut self, marks: Vec<String>) {
        self.marks = marks;
    }
}
