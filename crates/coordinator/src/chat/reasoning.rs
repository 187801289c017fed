//! Reasoning: text between two marks at an answer's start.

use super::{
    input::{Input, PrefixMatch, Vocabulary},
    out::Out,
};

/// What stands around a family's reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReasoningTags {
    pub(super) open: &'static str,
    pub(super) close: &'static str,
    /// Text behind the opening mark that is the format's.
    pub(super) label: &'static str,
}

/// Known marks. Where a template has several, the first counts.
pub(super) const REASONING_TAGS: [ReasoningTags; 6] = [
    // Qwen 3, DeepSeek, GLM, Granite 3.3, MiniMax, Nemotron …
    ReasoningTags { open: "<think>", close: "</think>", label: "" },
    // Mistral.
    ReasoningTags { open: "[THINK]", close: "[/THINK]", label: "" },
    // Gemma 4.
    ReasoningTags { open: "<|channel>", close: "<channel|>", label: "thought\n" },
    // Granite 3.2, in words.
    ReasoningTags { open: "Here is my thought process:", close: "Here is my response:", label: "" },
    // Seed-OSS.
    ReasoningTags { open: "<seed:think>", close: "</seed:think>", label: "" },
    // EXAONE.
    ReasoningTags { open: "<thought>", close: "</thought>", label: "" },
];

impl ReasoningTags {
    /// Those of a template. A template may name the closing mark alone, to cut earlier reasoning off.
    pub(super) fn of(template: &str) -> Option<Self> {
        REASONING_TAGS.into_iter().find(|marks| template.contains(marks.open) || template.contains(marks.close))
    }

    /// Whether a prompt that ends like this has begun the reasoning.
    pub(super) fn opened_by(&self, ending: &str) -> bool {
        let last = |mark: &str| ending.rfind(mark);
        last(self.open).is_some_and(|open| last(self.close).is_none_or(|close| close < open))
    }

    /// Whether a prompt that ends like this has closed it already: the model is not to think.
    pub(super) fn closed_by(&self, ending: &str) -> bool {
        ending.trim_end().ends_with(self.close)
    }
}

/// Where in an answer's reasoning its text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// At the start, where reasoning may begin.
    Start,
    /// Behind the opening mark, where the label may be.
    Label,
    Within,
    /// After the reasoning, or the answer has none.
    Over,
}

/// Takes reasoning off an answer's start.
#[derive(Debug)]
pub(super) struct ReasoningParser {
    open: String,
    close: String,
    label: &'static str,
    /// Marks that end reasoning that was not closed.
    breaks: Vec<String>,
    pub(super) phase: Phase,
}

impl ReasoningParser {
    pub(super) fn new(marks: ReasoningTags, ending: &str, breaks: Vec<String>, vocabulary: &Vocabulary<'_>) -> Self {
        let phase = match () {
            () if marks.opened_by(ending) => Phase::Label,
            () if marks.closed_by(ending) => Phase::Over,
            () => Phase::Start,
        };
        let [open, close] = [marks.open, marks.close].map(|mark| vocabulary.mark(mark));
        Self { open, close, label: marks.label, breaks, phase }
    }

    /// Takes what it can; whether the reasoning is over.
    pub(super) fn step(&mut self, input: &mut Input, out: &mut Out) -> bool {
        loop {
            match self.phase {
                Phase::Start => {
                    let space = input.take_space();
                    match input.take(&self.open) {
                        PrefixMatch::Full => self.phase = Phase::Label,
                        PrefixMatch::None => {
                            out.content(&space);
                            self.phase = Phase::Over;
                        }
                        PrefixMatch::Partial => {
                            input.put_back(&space);
                            return false;
                        }
                    }
                }
                Phase::Label => match input.take(self.label) {
                    PrefixMatch::Partial if !self.label.is_empty() => return false,
                    _ => self.phase = Phase::Within,
                },
                Phase::Within => {
                    let mut marks = vec![self.close.as_str()];
                    marks.extend(self.breaks.iter().map(String::as_str));
                    let (text, found) = input.take_until(&marks);
                    out.reasoning(&text);
                    let Some(found) = found else { return false };
                    if found > 0 {
                        input.put_back(marks[found]);
                    }
                    out.end_reasoning();
                    self.phase = Phase::Over;
                }
                Phase::Over => return true,
            }
        }
    }
}
