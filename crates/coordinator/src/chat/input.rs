//! Text of an answer that was not understood yet.

use std::cell::RefCell;

/// Stands before the text of a special token, so that text that is spelled like one is never taken for it: a
/// noncharacter, which no text that is exchanged has.
pub(super) const MARK: char = '\u{FDD0}';

/// The rest of an answer, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Input {
    text: String,
    /// Whether no more comes.
    ended: bool,
}

/// Whether a text begins with a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrefixMatch {
    /// It does.
    Full,
    /// It does not.
    None,
    /// More text decides.
    Partial,
}

impl Input {
    /// More text.
    pub(super) fn push(&mut self, text: &str) {
        if text.contains(MARK) {
            self.text.push_str(&text.replace(MARK, "\u{FFFD}"));
        } else {
            self.text.push_str(text);
        }
    }

    /// A special token.
    pub(super) fn push_mark(&mut self, text: &str) {
        self.text.push(MARK);
        self.text.push_str(text);
    }

    /// No more comes.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The next character, taken.
    pub(super) fn take_char(&mut self) -> Option<char> {
        let next = self.text.chars().next()?;
        self.text.drain(..next.len_utf8());
        Some(next)
    }

    /// All that is there, taken.
    pub(super) fn take_all(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The white space at the start, taken.
    pub(super) fn take_space(&mut self) -> String {
        let space = self.text.len() - self.text.trim_start().len();
        self.text.drain(..space).collect()
    }

    /// Gives text back that was taken from the start.
    pub(super) fn put_back(&mut self, text: &str) {
        self.text.insert_str(0, text);
    }

    /// Whether it begins with a mark.
    pub(super) fn begins(&self, mark: &str) -> PrefixMatch {
        if self.text.starts_with(mark) {
            PrefixMatch::Full
        } else if mark.starts_with(&self.text) && !self.ended {
            PrefixMatch::Partial
        } else {
            PrefixMatch::None
        }
    }

    /// Takes a mark from the start, if it is there.
    pub(super) fn take(&mut self, mark: &str) -> PrefixMatch {
        let begins = self.begins(mark);
        if begins == PrefixMatch::Full {
            self.text.drain(..mark.len());
        }
        begins
    }

    /// Takes the text before the first of these marks, and the mark, whose place in the list is given. Without one it
    /// takes all that is certainly no part of one. No mark may be the start of another.
    pub(super) fn take_until(&mut self, marks: &[&str]) -> (String, Option<usize>) {
        for (place, _) in self.text.char_indices() {
            let rest = &self.text[place..];
            if let Some(found) = marks.iter().position(|mark| rest.starts_with(mark)) {
                let before = self.text[..place].to_owned();
                self.text.drain(..place + marks[found].len());
                return (before, Some(found));
            }
            if !self.ended && marks.iter().any(|mark| mark.starts_with(rest)) {
                return (self.text.drain(..place).collect(), None);
            }
        }
        (self.take_all(), None)
    }
}

/// A model's special tokens, as far as a format uses them.
pub(super) struct Vocabulary<'a> {
    is_special: &'a dyn Fn(&str) -> bool,
    used: RefCell<Vec<String>>,
}

impl<'a> Vocabulary<'a> {
    pub(super) fn new(is_special: &'a dyn Fn(&str) -> bool) -> Self {
        Self { is_special, used: RefCell::default() }
    }

    /// A mark as it stands in an [`Input`]: with [`MARK`] if the vocabulary has a special token of this text.
    pub(super) fn mark(&self, text: &str) -> String {
        if !(self.is_special)(text) {
            return text.to_owned();
        }
        self.used.borrow_mut().push(text.to_owned());
        format!("{MARK}{text}")
    }

    /// The special tokens that were asked for.
    pub(super) fn into_used(self) -> Vec<String> {
        self.used.into_inner()
    }
}

/// A text for people: without what tells special tokens from text.
pub(super) fn plain(text: &str) -> String {
    text.replace(MARK, "")
}
