//! Caps reasoning: after a number of tokens the closing tag is written for the model.

use std::collections::VecDeque;

/// A bound on reasoning's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasoningBudget {
    /// What begins reasoning; special tokens count as their text.
    pub open: String,
    /// What ends it.
    pub close: String,
    /// Whether the prompt has begun it.
    pub is_open: bool,
    /// The most tokens in it.
    pub max_tokens: usize,
    /// The tokens that end it in the model's way.
    pub closing: Vec<u32>,
}

/// Counts one answer's reasoning.
#[derive(Debug)]
pub(crate) struct ReasoningLimit {
    budget: ReasoningBudget,
    state: State,
    /// The answer's last bytes, as many as a mark may begin in.
    tail: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// It may still begin.
    Before,
    /// It goes on, and has this many tokens.
    Within(usize),
    /// It is being closed with these tokens.
    Closing(VecDeque<u32>),
    Over,
}

impl ReasoningLimit {
    pub(crate) fn new(budget: ReasoningBudget) -> Self {
        let state = if budget.is_open { State::Within(0) } else { State::Before };
        Self { budget, state, tail: Vec::new() }
    }

    /// The token that must come next, if any must.
    pub(crate) fn forced(&mut self) -> Option<u32> {
        if matches!(self.state, State::Within(tokens) if tokens >= self.budget.max_tokens) {
            self.state = State::Closing(self.budget.closing.iter().copied().collect());
        }
        match &self.state {
            State::Closing(closing) => closing.front().copied(),
            _ => None,
        }
    }

    /// One more token, with its bytes.
    pub(crate) fn accept(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Before => {
                if self.ends_mark(bytes, true) {
                    self.state = State::Within(0);
                    self.tail.clear();
                }
            }
            State::Within(tokens) => {
                *tokens += 1;
                if self.ends_mark(bytes, false) {
                    self.state = State::Over;
                }
            }
            State::Closing(closing) => {
                closing.pop_front();
                if closing.is_empty() {
                    self.state = State::Over;
                }
            }
            State::Over => {}
        }
    }

    /// Whether a mark is complete with these bytes.
    fn ends_mark(&mut self, bytes: &[u8], open: bool) -> bool {
        let mark = if open { self.budget.open.as_bytes() } else { self.budget.close.as_bytes() };
        self.tail.extend_from_slice(bytes);
        let found = !mark.is_empty() && self.tail.windows(mark.len()).any(|window| window == mark);
        let keep = mark.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says these words, and what was forced in between; stops when `words` are used up and nothing is forced.
    fn spoken(is_open: bool, max_tokens: usize, words: &[&str]) -> String {
        let budget = ReasoningBudget {
            open: "<think>".into(),
            close: "</think>".into(),
            is_open,
            max_tokens,
            closing: vec![7, 8],
        };
        let (mut reasoning, mut words, mut said) = (ReasoningLimit::new(budget), words.iter(), String::new());
        loop {
            let word = match reasoning.forced() {
                Some(7) => "\n",
                Some(8) => "</think>",
                Some(other) => panic!("{other}"),
                None => match words.next() {
                    Some(word) => word,
                    None => return said,
                },
            };
            reasoning.accept(word.as_bytes());
            said.push_str(word);
        }
    }

    #[test]
    fn reasoning_is_closed_when_its_tokens_are_used() {
        assert_eq!(spoken(true, 2, &["a", "b", "c", "d"]), "ab\n</think>cd");
        assert_eq!(spoken(true, 0, &["a", "b"]), "\n</think>ab");
        assert_eq!(spoken(false, 1, &["<thi", "nk>", "a", "b", "c"]), "<think>a\n</think>bc");
    }

    #[test]
    fn reasoning_that_ends_in_time_and_an_answer_without_any_are_left_alone() {
        assert_eq!(spoken(true, 9, &["a", "</thi", "nk>", "b", "c"]), "a</think>bc");
        assert_eq!(spoken(true, 4, &["a", "</think>", "b", "c", "d", "e"]), "a</think>bcde");
        assert_eq!(spoken(false, 1, &["a", "b", "c"]), "abc");
    }
}
