//! What a rendering may take: steps, and bytes that its values hold at one time. Both are counted per thread.

use super::Failure;
use super::value::Text;
use std::cell::Cell;
use std::ops::Range;

/// The budget of one rendering.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Nodes of the tree that may be walked, and 256 bytes each that may be copied.
    pub(crate) steps: u64,
    /// Bytes of all values and of the text at one time.
    pub(crate) bytes: usize,
}

thread_local! {
    static STEPS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that are copied in one step's time.
const BYTES_PER_STEP: usize = 256;

impl Budget {
    /// Gives this thread the budget, in place of what is left of another.
    pub(super) fn begin(self) {
        STEPS.set(self.steps);
        BYTES.set(self.bytes);
    }
}

/// Takes this many steps.
pub(super) fn step(steps: u64) -> Result<(), Failure> {
    STEPS.set(STEPS.get().checked_sub(steps).ok_or(Failure::Budget("it does not end"))?);
    Ok(())
}

/// Bytes that are held until it is dropped.
#[derive(Debug)]
pub(super) struct Held(usize);

impl Held {
    /// Takes bytes before they are allocated.
    pub(super) fn new(bytes: usize) -> Result<Self, Failure> {
        let mut held = Held(0);
        held.grow(bytes)?;
        Ok(held)
    }

    /// Takes more bytes.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        step((bytes / BYTES_PER_STEP) as u64)?;
        BYTES.set(BYTES.get().checked_sub(bytes).ok_or(Failure::Budget("it holds too much memory"))?);
        self.0 += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        BYTES.set(BYTES.get() + self.0);
    }
}

/// The bytes of a text that a client said, as ranges in ascending order that do not touch. The others are the
/// template's.
pub(crate) type Said = Vec<Range<usize>>;

/// A text that grows within the budget.
#[derive(Debug)]
pub(super) struct Buffer {
    text: String,
    said: Said,
    held: Held,
}

impl Buffer {
    /// An empty one.
    pub(super) fn new() -> Self {
        Buffer { text: String::new(), said: Said::new(), held: Held(0) }
    }

    /// Appends what the template says.
    pub(super) fn push(&mut self, text: &str) -> Result<(), Failure> {
        self.held.grow(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    /// Appends the template's character, or (`said`) a client's.
    pub(super) fn push_char(&mut self, c: char, said: bool) -> Result<(), Failure> {
        let mut bytes = [0; 4];
        let text = &*c.encode_utf8(&mut bytes);
        if said { self.push_said(text) } else { self.push(text) }
    }

    /// Appends what a client said.
    pub(super) fn push_said(&mut self, text: &str) -> Result<(), Failure> {
        let start = self.text.len();
        self.push(text)?;
        self.say(start..start + text.len())
    }

    /// Appends a text of both.
    pub(super) fn push_text(&mut self, text: &Text) -> Result<(), Failure> {
        self.push_part(text, 0..text.as_str().len())
    }

    /// Appends a part of such a text.
    pub(super) fn push_part(&mut self, text: &Text, part: Range<usize>) -> Result<(), Failure> {
        let start = self.text.len();
        self.push(&text.as_str()[part.clone()])?;
        for said in text.said_within(part) {
            self.say(start + said.start..start + said.end)?;
        }
        Ok(())
    }

    fn say(&mut self, range: Range<usize>) -> Result<(), Failure> {
        match self.said.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => {
                self.held.grow(size_of::<Range<usize>>())?;
                self.said.push(range);
            }
        }
        Ok(())
    }

    /// The same text this many times.
    pub(super) fn push_times(&mut self, text: &Text, times: usize) -> Result<(), Failure> {
        (0..times).try_for_each(|_| {
            step(1)?;
            self.push_text(text)
        })
    }

    /// This many spaces, or what else fills a text up.
    pub(super) fn fill(&mut self, with: char, times: usize) -> Result<(), Failure> {
        (0..times).try_for_each(|_| {
            step(1)?;
            self.push_char(with, false)
        })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a client said part of it.
    pub(super) fn is_said(&self) -> bool {
        !self.said.is_empty()
    }

    pub(super) fn into_parts(self) -> (String, Said, Held) {
        (self.text, self.said, self.held)
    }
}
