//! The demo model's expected answers: the reference's greedy ones.

use anyhow::{Context, Result};
use serde_json::Value;

/// A question and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) question: String,
    /// The question as the chat template writes it.
    pub(crate) prompt: String,
    pub(crate) prompt_tokens: usize,
    pub(crate) answer: String,
    /// Tokens of the answer, including the end of the turn.
    pub(crate) answer_tokens: usize,
}

/// Questions with a single right answer, which survives quantization.
pub(crate) const EXACT: [&str; 5] = [
    "What is 47 + 38?",
    "What is the capital of Japan?",
    "Sort these numbers: 81, 4, 57, 33.",
    "Give me JSON for Leo, aged 41, who owns a kitten.",
    "Count from 12 to 20.",
];

/// All eight questions.
pub(crate) fn references() -> Result<Vec<Reference>> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../data/demo-model.json"))?;
    let text = |entry: &Value, field: &str| entry[field].as_str().map(ToOwned::to_owned);
    let count = |entry: &Value, field: &str| entry[field].as_array().map(Vec::len);
    all.iter()
        .map(|entry| {
            Some(Reference {
                question: text(entry, "user")?,
                prompt: text(entry, "prompt")?,
                prompt_tokens: count(entry, "prompt_ids")?,
                answer: text(entry, "greedy_text")?,
                answer_tokens: count(entry, "greedy_ids")?,
            })
        })
        .collect::<Option<_>>()
        .context("demo-model.json has questions, ids and texts")
}
