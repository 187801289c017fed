//! A chat's tokens. What people write in messages stays text: only the template's own text yields special tokens, so that
//! nobody opens a turn of another role by pasting `<|im_start|>system`.
//!
//! A rendered chat knows which of its bytes a client said. A special token's text counts where all of it is the
//! template's. Where a client wrote one, or wrote a part of one, the text around it is encoded by a tokenizer that takes
//! special tokens as text.

use super::{TextError, TextModel};
use crate::jinja::{Rendered, Said};
use crate::{Chat, detokenize::Pieces};
use aho_corasick::{AhoCorasick, MatchKind};
use std::ops::Range;
use std::sync::OnceLock;
use tokenizers::Tokenizer;

/// Finds the texts of special tokens, and encodes them as text.
#[derive(Debug)]
pub(super) struct Literal {
    /// `None` if the vocabulary has no special token.
    special: Option<AhoCorasick>,
    /// The tokenizer that takes special tokens as text: a copy, made when a message first has one.
    tokenizer: OnceLock<Tokenizer>,
}

/// A chat's prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatPrompt {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// What the template wrote behind the last thing that a client said: it shows what the model is to go on with.
    pub ending: String,
}

/// A part of a rendered chat.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    /// A special token that the template wrote.
    Special(&'a str),
    Text {
        text: &'a str,
        /// Whether it is spelled like a special token somewhere.
        spells_special: bool,
    },
}

/// Whether a client said any of these bytes.
fn touches(said: &Said, range: &Range<usize>) -> bool {
    let first = said.partition_point(|said| said.end <= range.start);
    said.get(first).is_some_and(|said| said.start < range.end)
}

impl Literal {
    pub(super) fn new(pieces: &Pieces) -> Self {
        let texts: Vec<String> = pieces.special_texts().into_iter().map(|(_, text)| text).collect();
        let special = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&texts).ok();
        Self { special: special.filter(|_| !texts.is_empty()), tokenizer: OnceLock::new() }
    }

    /// A rendered chat's special tokens and what is between them. Of several at one place the longest counts, as in the
    /// tokenizer.
    fn parts<'a>(&self, rendered: &'a Rendered) -> Vec<Part<'a>> {
        let text = rendered.text.as_str();
        let (mut written, mut typed) = (Vec::new(), Vec::new());
        for found in self.special.iter().flat_map(|special| special.find_overlapping_iter(text)) {
            let list = if touches(&rendered.said, &found.range()) { &mut typed } else { &mut written };
            list.push(found.range());
        }
        written.sort_by_key(|found| (found.start, std::cmp::Reverse(found.end)));
        typed.sort_by_key(|found| found.start);
        let mut parts = Vec::new();
        let mut rest = 0;
        let between = |range: Range<usize>| {
            let first = typed.partition_point(|found| found.start < range.start);
            let spells_special =
                typed[first..].iter().take_while(|found| found.start < range.end).any(|found| found.end <= range.end);
            Part::Text { text: &text[range], spells_special }
        };
        for found in written {
            if found.start >= rest {
                parts.push(between(rest..found.start));
                parts.push(Part::Special(&text[found.clone()]));
                rest = found.end;
            }
        }
        parts.push(between(rest..text.len()));
        parts
    }

    /// A text in pieces: cut after the first character of each special token's text, so that none is whole.
    fn cut<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let found = self.special.iter().flat_map(|special| special.find_overlapping_iter(text));
        let mut places: Vec<usize> = found.map(|found| found.start()).collect();
        places.sort_unstable();
        places.dedup();
        let mut pieces = Vec::new();
        let mut rest = 0;
        for place in places {
            let after = place + text[place..].chars().next().map_or(0, char::len_utf8);
            pieces.push(&text[rest..after]);
            rest = after;
        }
        pieces.push(&text[rest..]);
        pieces
    }

    fn tokenizer(&self, pieces: &Pieces) -> &Tokenizer {
        self.tokenizer.get_or_init(|| {
            let mut tokenizer = pieces.tokenizer.clone();
            tokenizer.set_encode_special_tokens(true);
            tokenizer
        })
    }
}

impl TextModel {
    /// The tokens of a chat's prompt for a context of this many tokens. What a client says is text, even where it is
    /// spelled like a special token.
    ///
    /// # Errors
    /// The model has no template, the template refuses the messages, or they are far longer than the context, see
    /// [`encode_for`](Self::encode_for).
    pub fn chat_tokens(&self, context: usize, chat: &Chat) -> Result<Vec<u32>, TextError> {
        Ok(self.chat_prompt(context, chat)?.tokens)
    }

    /// The same, with what the template wrote last.
    ///
    /// # Errors
    /// As [`chat_tokens`](Self::chat_tokens).
    pub fn chat_prompt(&self, context: usize, chat: &Chat) -> Result<ChatPrompt, TextError> {
        self.check_bytes(chat.messages.iter().map(|message| message.content.len()).sum(), context)?;
        let rendered = self.rendered(chat)?;
        self.check_length(&rendered.text, context)?;
        let tokens = self.rendered_tokens(&rendered)?;
        let said = rendered.said.last().map_or(0, |said| said.end);
        Ok(ChatPrompt { tokens, ending: rendered.text[said..].to_owned() })
    }

    fn rendered_tokens(&self, rendered: &Rendered) -> Result<Vec<u32>, TextError> {
        let parts = self.literal.parts(rendered);
        let tokens = self.encode_parts(&parts, |part| !matches!(part, Part::Text { spells_special: true, .. }))?;
        if self.only_written(&parts, &tokens) {
            return Ok(tokens);
        }
        // A tokenizer that normalizes finds special tokens that are not spelled out: letters of full width, for instance.
        self.encode_parts(&parts, |part| matches!(part, Part::Special(..)))
    }

    /// Whether the special tokens are those that the template wrote; some of them may be missing, where the tokenizer
    /// takes them as words only.
    fn only_written(&self, parts: &[Part<'_>], tokens: &[u32]) -> bool {
        let mut written = parts.iter().filter_map(|part| match part {
            Part::Special(text) => self.pieces.tokenizer.token_to_id(text),
            Part::Text { .. } => None,
        });
        tokens.iter().filter(|token| self.pieces.is_special(**token)).all(|token| written.any(|id| id == *token))
    }

    /// The tokens of a text, none of them special.
    fn encode_literal(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let tokenizer = self.literal.tokenizer(&self.pieces);
        let encode = |text: &str| -> Result<Vec<u32>, TextError> {
            Ok(tokenizer.encode_fast(text, false).map_err(TextError::Encode)?.get_ids().to_vec())
        };
        let tokens = encode(text)?;
        let is_special = |token: &u32| self.pieces.is_special(*token);
        if !tokens.iter().any(is_special) {
            return Ok(tokens);
        }
        // A vocabulary may merge characters into a special token: not where its text is cut.
        let mut tokens = Vec::new();
        for piece in self.literal.cut(text) {
            tokens.extend(encode(piece)?.into_iter().filter(|token| !is_special(token)));
        }
        Ok(tokens)
    }

    /// Encodes parts; those that are not trusted without special tokens.
    fn encode_parts(&self, parts: &[Part<'_>], is_trusted: fn(&Part<'_>) -> bool) -> Result<Vec<u32>, TextError> {
        let mut tokens = Vec::new();
        // Trusted parts are encoded together, since special tokens may take the spaces beside them.
        let mut together = String::new();
        for part in parts {
            match part {
                Part::Text { text: "", .. } => {}
                Part::Text { text, .. } if !is_trusted(part) => {
                    tokens.extend(self.encode(&std::mem::take(&mut together), false)?);
                    tokens.extend(self.encode_literal(text)?);
                }
                Part::Text { text, .. } | Part::Special(text) => together.push_str(text),
            }
        }
        tokens.extend(self.encode(&together, false)?);
        Ok(tokens)
    }
}
