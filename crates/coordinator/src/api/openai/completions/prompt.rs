//! A plain completion's prompts.

use crate::api::common::error::ApiError;
use gogrid_model::TextModel;
use serde::Deserialize;
use utoipa::ToSchema;

/// The field that holds the prompts.
pub(super) const INPUT: &str = "prompt";

/// The most answers to one request, prompts times choices. Each takes a place in the router's queue, so more would mostly
/// wait there, or be refused again and again.
pub(super) const MAX_ANSWERS: usize = 128;

/// The most prompts in one request: enough for the batches of evaluation programs, and no more than there may be answers.
const MAX_PROMPTS: usize = MAX_ANSWERS;

/// One prompt or several, as text or as token ids.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected a string, an array of strings, an array of token ids, or an array of arrays of token ids"
)]
pub(super) enum PromptInput {
    /// One text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// One sequence of token ids.
    Tokens(Vec<u32>),
    /// Sequences of token ids.
    TokenLists(Vec<Vec<u32>>),
}

/// A prompt in both forms: token ids, and the text that `echo` repeats.
type Prompt = (Vec<u32>, String);

impl PromptInput {
    /// The prompts in both forms; the text of token ids only if `echo` needs it. Whether token ids are in the
    /// vocabulary is for the router to say.
    ///
    /// # Errors
    /// 400: no prompt, too many, an empty one, or one that is far longer than the context.
    pub(super) fn check(self, model: &TextModel, context: usize, echo: bool) -> Result<Vec<Prompt>, ApiError> {
        let from_text = |text: String| -> Result<Prompt, ApiError> {
            let tokens = model.encode_for(context, &text, true).map_err(|error| ApiError::text(&error, INPUT))?;
            Ok((tokens, text))
        };
        let from_tokens = |tokens: Vec<u32>| {
            let text = if echo { decode(model, &tokens) } else { String::new() };
            (tokens, text)
        };
        let prompts = match self {
            Self::Text(text) => vec![from_text(text)?],
            Self::Texts(texts) => checked_len(texts)?.into_iter().map(from_text).collect::<Result<_, _>>()?,
            Self::Tokens(tokens) => vec![from_tokens(tokens)],
            Self::TokenLists(lists) => checked_len(lists)?.into_iter().map(from_tokens).collect(),
        };
        match prompts.iter().position(|(tokens, _)| tokens.is_empty()) {
            None => Ok(prompts),
            Some(_) if prompts.len() == 1 => Err(invalid("prompt is empty: at least one token is needed".to_owned())),
            Some(index) => Err(invalid(format!("prompt {index} is empty: at least one token is needed"))),
        }
    }
}

fn checked_len<T>(prompts: Vec<T>) -> Result<Vec<T>, ApiError> {
    match prompts.len() {
        0 => Err(invalid("prompt is an empty array".to_owned())),
        1..=MAX_PROMPTS => Ok(prompts),
        many => Err(invalid(format!("prompt has {many} prompts, but may have up to {MAX_PROMPTS}"))),
    }
}

/// The text of a prompt, leading space included: the answer goes on from it.
fn decode(model: &TextModel, tokens: &[u32]) -> String {
    let mut detokenizer = model.detokenizer(true);
    let mut text: String = tokens.iter().map(|&token| detokenizer.push(token)).collect();
    text.push_str(&detokenizer.finish());
    text
}

fn invalid(message: String) -> ApiError {
    ApiError::invalid(Some(INPUT), message)
}
