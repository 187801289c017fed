//! Log-probabilities in the two forms that OpenAI's API has.

use crate::generate::TokenEvent;
use gogrid_model::TextModel;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Replaces log-probabilities that JSON cannot express (a token with probability 0), as in OpenAI's API.
const LOWEST: f32 = -9999.0;

/// A chat choice's log-probabilities.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChatLogprobs {
    /// One for each token of the content.
    pub(super) content: Vec<TokenLogprob>,
    /// Always null: answers are never refusals.
    #[schema(required, value_type = Option<Vec<TokenLogprob>>)]
    pub(super) refusal: (),
}

/// A token of a chat's answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatTokenLogprob)]
pub(super) struct TokenLogprob {
    /// Its text; where it is not UTF-8 by itself, with replacement characters.
    token: String,
    /// Its natural log-probability, before temperature and penalties.
    logprob: f32,
    /// Its bytes: those of several tokens together make up one character, at times.
    #[schema(value_type = Vec<u32>)]
    bytes: Vec<u8>,
    /// The most likely tokens in its place, most likely first.
    top_logprobs: Vec<TopLogprob>,
}

/// A token that might have come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatTopLogprob)]
pub(super) struct TopLogprob {
    /// Its text.
    token: String,
    /// Its natural log-probability.
    logprob: f32,
    /// Its bytes.
    #[schema(value_type = Vec<u32>)]
    bytes: Vec<u8>,
}

impl ChatLogprobs {
    /// Those of one chunk, or of a whole answer. The end-of-sequence token is no content, so it has none.
    pub(super) fn of<'a>(text: &TextModel, tokens: impl IntoIterator<Item = &'a TokenEvent>) -> Self {
        let content =
            tokens.into_iter().filter(|token| !is_end(text, token)).map(|token| TokenLogprob::of(text, token));
        Self { content: content.collect(), refusal: () }
    }
}

impl TokenLogprob {
    fn of(text: &TextModel, token: &TokenEvent) -> Self {
        let top = token.top.iter().map(|&(id, logprob)| TopLogprob {
            token: text.token_text(id),
            logprob: finite(logprob),
            bytes: text.token_bytes(id),
        });
        Self {
            token: text.token_text(token.token),
            logprob: finite(token.logprob),
            bytes: text.token_bytes(token.token),
            top_logprobs: top.collect(),
        }
    }
}

/// A plain completion's log-probabilities: four arrays with one entry for each token.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct CompletionLogprobs {
    /// Texts; where they are not UTF-8 by themselves, like `bytes:\xe2\x82`.
    tokens: Vec<String>,
    /// Natural log-probabilities, before temperature and penalties.
    token_logprobs: Vec<f32>,
    /// The most likely tokens in each place, the chosen one among them, by text.
    top_logprobs: Vec<BTreeMap<String, f32>>,
    /// Where each token begins in the choice's text, in characters.
    text_offset: Vec<usize>,
}

/// Counts where the next token begins, in characters of the choice's text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct TextOffset(usize);

impl CompletionLogprobs {
    /// Those of one chunk, or of a whole answer; `offset` is where the first begins and moves past the last.
    pub(super) fn of<'a>(
        text: &TextModel,
        tokens: impl IntoIterator<Item = &'a TokenEvent>,
        offset: &mut TextOffset,
    ) -> Self {
        let mut all = Self::default();
        for token in tokens.into_iter().filter(|token| !is_end(text, token)) {
            let bytes = text.token_bytes(token.token);
            let name = distinct_name(&bytes);
            let mut top: BTreeMap<String, f32> = token
                .top
                .iter()
                .map(|&(id, logprob)| (distinct_name(&text.token_bytes(id)), finite(logprob)))
                .collect();
            top.insert(name.clone(), finite(token.logprob));
            all.tokens.push(name);
            all.token_logprobs.push(finite(token.logprob));
            all.top_logprobs.push(top);
            all.text_offset.push(offset.0);
            offset.0 += characters(&bytes);
        }
        all
    }

    /// Whether they are those of no token.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// A token's text. Bytes that are no whole characters are spelled out, as OpenAI does. With replacement characters
/// different tokens would have the same name, and a map by name would hold only one of them.
fn distinct_name(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("bytes:".to_owned(), |name, byte| format!("{name}\\x{byte:02x}")),
    }
}

/// How many UTF-8 characters begin in `bytes`, which may hold parts of characters at either end.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0b1100_0000 != 0b1000_0000).count()
}

fn is_end(text: &TextModel, token: &TokenEvent) -> bool {
    token.text.is_empty() && text.is_eos(token.token)
}

fn finite(logprob: f32) -> f32 {
    if logprob.is_nan() { LOWEST } else { logprob.max(LOWEST) }
}
