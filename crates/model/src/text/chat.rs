//! A chat's tokens. What people write in messages stays text: only the template's own text yields special tokens, so that
//! nobody opens a turn of another role by pasting `<|im_start|>system`.
//!
//! Before the template is rendered, each special token's text within a message is broken by a mark. What the template
//! writes is whole, so the two can be told apart in what comes out. Between the template's special tokens, text with
//! marks is encoded by a tokenizer that takes special tokens as text.

use super::{TextError, TextModel};
use crate::{ChatMessage, detokenize::Pieces};
use aho_corasick::{AhoCorasick, MatchKind};
use std::borrow::Cow;
use std::sync::OnceLock;
use tokenizers::Tokenizer;

/// What breaks a special token's text: a noncharacter, which no text that is exchanged has.
const MARK: char = '\u{FDD0}';
/// What a noncharacter in a message becomes.
const REPLACEMENT: &str = "\u{FFFD}";

/// Finds the texts of special tokens, and encodes them as text.
#[derive(Debug)]
pub(super) struct Literal {
    /// All places, overlapping ones too; `None` if the vocabulary has no special token.
    anywhere: Option<AhoCorasick>,
    /// The longest at each place.
    longest: Option<AhoCorasick>,
    /// The tokenizer that takes special tokens as text: a copy, made when a message first has one.
    tokenizer: OnceLock<Tokenizer>,
}

/// A part of a rendered chat.
enum Part<'a> {
    /// A special token that the template wrote.
    Special(&'a str),
    Text(&'a str),
}

impl Literal {
    pub(super) fn new(pieces: &Pieces) -> Self {
        let tokens = pieces.special_texts();
        let texts: Vec<String> = tokens.into_iter().map(|(_, text)| text).collect();
        let automaton = |kind| (!texts.is_empty()).then(|| AhoCorasick::builder().match_kind(kind).build(&texts).ok());
        let anywhere = automaton(MatchKind::Standard).flatten();
        Self { anywhere, longest: automaton(MatchKind::LeftmostLongest).flatten(), tokenizer: OnceLock::new() }
    }

    /// A message's text in which no special token is whole.
    fn broken<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = if text.contains(MARK) { Cow::Owned(text.replace(MARK, REPLACEMENT)) } else { Cow::Borrowed(text) };
        let Some(anywhere) = &self.anywhere else { return text };
        let mut places: Vec<usize> = anywhere.find_overlapping_iter(&*text).map(|found| found.start()).collect();
        if places.is_empty() {
            return text;
        }
        places.sort_unstable();
        places.dedup();
        let mut broken = String::with_capacity(text.len() + places.len() * MARK.len_utf8());
        let mut rest = 0;
        for place in places {
            // After the first character; a token of one character is told by the mark behind it.
            let after = place + text[place..].chars().next().map_or(0, char::len_utf8);
            broken.push_str(&text[rest..after]);
            broken.push(MARK);
            rest = after;
        }
        broken.push_str(&text[rest..]);
        Cow::Owned(broken)
    }

    /// A rendered chat's special tokens and what is between them.
    fn parts<'a>(&self, rendered: &'a str) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let mut rest = 0;
        for found in self.longest.iter().flat_map(|longest| longest.find_iter(rendered)) {
            if rendered[found.end()..].starts_with(MARK) {
                continue;
            }
            parts.push(Part::Text(&rendered[rest..found.start()]));
            parts.push(Part::Special(&rendered[found.range()]));
            rest = found.end();
        }
        parts.push(Part::Text(&rendered[rest..]));
        parts
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
    /// The tokens of a chat's prompt for a context of this many tokens; `add_generation_prompt` lets it end where the
    /// assistant's answer begins. What messages say is text, even where it is spelled like a special token.
    ///
    /// # Errors
    /// The model has no template, the template refuses the messages, or they are far longer than the context, see
    /// [`encode_for`](Self::encode_for).
    pub fn chat_tokens(
        &self,
        context: usize,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, TextError> {
        self.check_bytes(messages.iter().map(|message| message.content.len()).sum(), context)?;
        let broken = |message: &ChatMessage| ChatMessage {
            role: self.literal.broken(&message.role).into_owned(),
            content: self.literal.broken(&message.content).into_owned(),
        };
        let broken: Vec<ChatMessage> = messages.iter().map(broken).collect();
        let rendered = self.chat(&broken, add_generation_prompt)?;
        self.check_length(&rendered, context)?;
        let parts = self.literal.parts(&rendered);
        if !rendered.contains(MARK) {
            let tokens = self.encode(&rendered, false)?;
            let special = tokens.iter().filter(|token| self.pieces.is_special(**token)).count();
            let written = parts.iter().filter(|part| matches!(part, Part::Special(..))).count();
            // A tokenizer that normalizes may find more: letters of full width, for instance.
            if special <= written {
                return Ok(tokens);
            }
            return self.encode_parts(&parts, |_| true);
        }
        self.encode_parts(&parts, |text| text.contains(MARK))
    }

    /// The tokens of a text with marks, none of them special.
    fn encode_literal(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let tokenizer = self.literal.tokenizer(&self.pieces);
        let encode = |text: &str| -> Result<Vec<u32>, TextError> {
            Ok(tokenizer.encode_fast(text, false).map_err(TextError::Encode)?.get_ids().to_vec())
        };
        let tokens = encode(&text.replace(MARK, ""))?;
        let is_special = |token: &u32| self.pieces.is_special(*token);
        if !tokens.iter().any(is_special) {
            return Ok(tokens);
        }
        // A vocabulary may merge characters into a special token: not where each begins in a piece of its own.
        let mut tokens = Vec::new();
        for piece in text.split(MARK) {
            tokens.extend(encode(piece)?.into_iter().filter(|token| !is_special(token)));
        }
        Ok(tokens)
    }

    /// Encodes parts; those of which `is_literal` holds without special tokens.
    fn encode_parts(&self, parts: &[Part<'_>], is_literal: impl Fn(&str) -> bool) -> Result<Vec<u32>, TextError> {
        let mut tokens = Vec::new();
        // Ordinary parts are encoded together, since special tokens may take the spaces beside them.
        let mut ordinary = String::new();
        for part in parts {
            match part {
                Part::Text(text) if !text.is_empty() && is_literal(text) => {
                    tokens.extend(self.encode(&std::mem::take(&mut ordinary), false)?);
                    tokens.extend(self.encode_literal(text)?);
                }
                Part::Text(text) | Part::Special(text) => ordinary.push_str(text),
            }
        }
        tokens.extend(self.encode(&ordinary, false)?);
        Ok(tokens)
    }
}
