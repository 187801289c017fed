//! Token ids to text, piece by piece.
//!
//! Works on bytes: a token is turned into its bytes, and text leaves when its characters are whole. The tokenizers
//! crate's own stream decodes a growing window again for every token, holds everything back after text that really ends
//! in U+FFFD, and fails when a byte sequence turns out invalid; here each token costs its own bytes, and an invalid
//! sequence becomes U+FFFD as in [`String::from_utf8_lossy`].

use crate::TextError;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use tokenizers::Tokenizer;

/// The bytes of each token.
#[derive(Debug)]
pub(crate) struct Pieces {
    pub(crate) tokenizer: Tokenizer,
    special: HashSet<u32>,
    decoding: Decoding,
}

/// How a vocabulary writes bytes.
#[derive(Debug, Default, PartialEq)]
struct Decoding {
    /// Every byte is one character of GPT-2's table.
    byte_level: bool,
    /// `<0x0A>` is a byte.
    byte_fallback: bool,
    /// Replacements of strings, such as `▁` by a space.
    replace: Vec<(String, String)>,
    /// Up to this many of that character go at the start of the text.
    strip: Option<(char, usize)>,
}

/// Turns the tokens of one answer into text. Never emits half a character.
#[derive(Debug, Clone)]
pub struct Detokenizer {
    pieces: Arc<Pieces>,
    /// Bytes of a character that is not whole yet: at most 3 between two calls.
    held: Vec<u8>,
    /// How many leading characters may still be stripped.
    strip: usize,
}

/// GPT-2's characters for bytes: printable Latin-1 characters stand for themselves, the others follow from U+0100 on.
static BYTE_OF: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=255u8).filter(|&b| !printable(b)).zip('\u{100}'..).map(|(b, c)| (c, b));
    (0..=255u8).filter(|&b| printable(b)).map(|b| (char::from(b), b)).chain(others).collect()
});

impl Pieces {
    pub(crate) fn new(tokenizer: Tokenizer) -> Result<Self, TextError> {
        let decoder = serde_json::to_value(tokenizer.get_decoder()).map_err(|e| TextError::Tokenizer(e.into()))?;
        let mut decoding = Decoding::default();
        decoding.add(&decoder)?;
        let added = tokenizer.get_added_tokens_decoder();
        let special = added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        Ok(Pieces { tokenizer, special, decoding })
    }

    /// Whether a token is a mark of the format (end of turn, start of text) and not text.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// The special tokens with their texts.
    pub(crate) fn special_texts(&self) -> Vec<(u32, String)> {
        let added = self.tokenizer.get_added_tokens_decoder().into_iter();
        let special = added.filter(|(_, token)| token.special && !token.content.is_empty());
        let mut texts: Vec<(u32, String)> = special.map(|(id, token)| (id, token.content)).collect();
        texts.sort_unstable();
        texts
    }

    /// Bytes of the longest token.
    pub(crate) fn longest(&self) -> usize {
        let ids = 0..u32::try_from(self.tokenizer.get_vocab_size(true)).unwrap_or(u32::MAX);
        ids.map(|id| self.bytes(id).len()).max().unwrap_or(0)
    }

    /// The bytes of a token; none for an id that the vocabulary does not have.
    pub(crate) fn bytes(&self, id: u32) -> Vec<u8> {
        self.tokenizer.id_to_token(id).map_or_else(Vec::new, |token| self.decoding.bytes(&token))
    }
}

impl Decoding {
    /// Takes in one decoder of tokenizer.json.
    fn add(&mut self, decoder: &Value) -> Result<(), TextError> {
        let text = |field: &Value| field.as_str().map(str::to_owned);
        let unsupported = || TextError::UnsupportedDecoder { decoder: decoder.to_string() };
        match decoder["type"].as_str() {
            Some("Sequence") => {
                for part in decoder["decoders"].as_array().ok_or_else(unsupported)? {
                    self.add(part)?;
                }
            }
            Some("ByteLevel") => self.byte_level = true,
            Some("ByteFallback") => self.byte_fallback = true,
            Some("Fuse") => {}
            Some("Replace") => {
                let from = text(&decoder["pattern"]["String"]).ok_or_else(unsupported)?;
                self.replace.push((from, text(&decoder["content"]).ok_or_else(unsupported)?));
            }
            Some("Metaspace") => {
                self.replace.push((text(&decoder["replacement"]).ok_or_else(unsupported)?, " ".to_owned()));
                if decoder["prepend_scheme"] != "never" {
                    self.strip = Some((' ', 1));
                }
            }
            Some("Strip") if decoder["stop"] == 0 => {
                let content = decoder["content"].as_str().and_then(|s| s.chars().next()).ok_or_else(unsupported)?;
                let start = decoder["start"].as_u64().ok_or_else(unsupported)?;
                self.strip = Some((content, start as usize));
            }
            _ => return Err(unsupported()),
        }
        Ok(())
    }

    fn bytes(&self, token: &str) -> Vec<u8> {
        if self.byte_level {
            let bytes: Option<Vec<u8>> = token.chars().map(|c| BYTE_OF.get(&c).copied()).collect();
            return bytes.unwrap_or_else(|| token.into()); // with any other character it is an added token, as it is
        }
        if let Some(byte) = fallback_byte(token).filter(|_| self.byte_fallback) {
            return vec![byte];
        }
        self.replace.iter().fold(token.to_owned(), |text, (from, to)| text.replace(from, to)).into_bytes()
    }
}

/// The byte that SentencePiece writes as `<0x0A>`.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

impl Detokenizer {
    /// With `continues`, the text goes on from a prompt, so that a leading space of a SentencePiece vocabulary is text;
    /// without, it is the mark of the text's start, and goes.
    pub(crate) fn new(pieces: Arc<Pieces>, continues: bool) -> Self {
        let strip = if continues { 0 } else { pieces.decoding.strip.map_or(0, |(_, count)| count) };
        Detokenizer { pieces, held: Vec::new(), strip }
    }

    /// The text that becomes certain with this token; special tokens and ids outside the vocabulary have none.
    pub fn push(&mut self, token: u32) -> String {
        if self.pieces.is_special(token) {
            return String::new();
        }
        self.held.extend(self.pieces.bytes(token));
        let mut text = String::new();
        let mut rest = self.held.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(invalid) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[invalid..];
                }
            }
        }
        self.held = rest.to_vec();
        self.strip_start(text)
    }

    /// What is left when no token follows: U+FFFD for a character that was never completed.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        self.strip_start(String::from_utf8_lossy(&held).into_owned())
    }

    fn strip_start(&mut self, text: String) -> String {
        let Some((mark, _)) = self.pieces.decoding.strip else { return text };
        let mut rest = text.as_str();
        while self.strip > 0 && !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(mark) {
                rest = after;
                self.strip -= 1;
            } else {
                self.strip = 0;
            }
        }
        rest.to_owned()
    }
}

#[cfg(test)]
mod tests;
