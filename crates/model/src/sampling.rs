//! How a client wants the next token chosen, and the ranges that hold for it.

use serde::{Deserialize, Serialize};

/// The most tokens that one request may bias: enough for a list that a person or a script writes, and few beside
/// the candidates of one token.
pub const MAX_LOGIT_BIAS: usize = 1024;

/// The bias that bans a token altogether.
pub const BAN: f32 = -100.0;

/// How the next token is chosen. The defaults are those of OpenAI's API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// Divides the logits: 0 always takes the most likely token (greedy), 1 the model's own distribution. 0 to 2.
    pub temperature: f32,
    /// Only the `k` most likely tokens; `None` does not limit. At least 1.
    pub top_k: Option<usize>,
    /// Only the fewest most likely tokens that together have at least this probability (nucleus sampling,
    /// Holtzman et al. 2019, <https://arxiv.org/abs/1904.09751>). 0 to 1; 1 does not limit.
    pub top_p: f32,
    /// Only tokens at least this likely relative to the most likely one (Nguyen et al. 2024,
    /// <https://arxiv.org/abs/2407.01082>). 0 to 1; 0 does not limit.
    pub min_p: f32,
    /// The same seed gives the same text.
    pub seed: u64,
    /// Divides positive and multiplies negative logits of the tokens that occur in prompt or answer (Keskar et al.
    /// 2019, <https://arxiv.org/abs/1909.05858>). Above 0, up to 10; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Subtracted once from the logits of tokens that occur in the answer. −2 to 2.
    pub presence_penalty: f32,
    /// Subtracted for every occurrence in the answer. −2 to 2.
    pub frequency_penalty: f32,
    /// Added to the logits of single tokens, −100 to 100; [`BAN`] bans. At most [`MAX_LOGIT_BIAS`] different tokens.
    pub logit_bias: Vec<(u32, f32)>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        SamplingParams {
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
        }
    }
}

/// A sampling parameter (or stop string) is outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, but must be {range}")]
pub struct SamplingError {
    /// The parameter's name.
    pub field: &'static str,
    /// The offending value.
    pub value: String,
    /// What is accepted.
    pub range: String,
}

impl SamplingError {
    pub(crate) fn new(field: &'static str, value: impl Into<String>, range: impl Into<String>) -> Self {
        SamplingError { field, value: value.into(), range: range.into() }
    }
}

impl SamplingParams {
    /// The most likely token at every step.
    pub fn greedy() -> Self {
        SamplingParams { temperature: 0.0, ..SamplingParams::default() }
    }

    /// Whether the most likely token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Checks every field against its range, and biased tokens against the vocabulary's size.
    ///
    /// # Errors
    /// The first field that is outside its range.
    pub fn validate(&self, vocabulary: usize) -> Result<(), SamplingError> {
        let within = |field, value: f32, low: f32, high: f32| {
            let ok = (low..=high).contains(&value); // false for NaN
            ok.then_some(())
                .ok_or_else(|| SamplingError::new(field, value.to_string(), format!("from {low} to {high}")))
        };
        within("temperature", self.temperature, 0.0, 2.0)?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        if self.top_k == Some(0) {
            return Err(SamplingError::new("top_k", "0", "at least 1"));
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty <= 10.0) {
            let value = self.repetition_penalty.to_string();
            return Err(SamplingError::new("repetition_penalty", value, "above 0 and up to 10"));
        }
        if self.logit_bias.len() > MAX_LOGIT_BIAS {
            let found = format!("for {} tokens", self.logit_bias.len());
            return Err(SamplingError::new("logit_bias", found, format!("for at most {MAX_LOGIT_BIAS} tokens")));
        }
        for &(token, bias) in &self.logit_bias {
            if !(-100.0..=100.0).contains(&bias) {
                return Err(SamplingError::new("logit_bias", format!("{token}: {bias}"), "from -100 to 100"));
            }
            if token as usize >= vocabulary {
                let range = format!("for tokens below {vocabulary}");
                return Err(SamplingError::new("logit_bias", format!("for token {token}"), range));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const VOCABULARY: usize = 100;

    #[rstest]
    #[case("temperature", SamplingParams { temperature: 2.1, ..Default::default() })]
    #[case("temperature", SamplingParams { temperature: -0.1, ..Default::default() })]
    #[case("temperature", SamplingParams { temperature: f32::NAN, ..Default::default() })]
    #[case("temperature", SamplingParams { temperature: f32::INFINITY, ..Default::default() })]
    #[case("top_k", SamplingParams { top_k: Some(0), ..Default::default() })]
    #[case("top_p", SamplingParams { top_p: 1.1, ..Default::default() })]
    #[case("min_p", SamplingParams { min_p: -0.5, ..Default::default() })]
    #[case("repetition_penalty", SamplingParams { repetition_penalty: 0.0, ..Default::default() })]
    #[case("repetition_penalty", SamplingParams { repetition_penalty: f32::NAN, ..Default::default() })]
    #[case("presence_penalty", SamplingParams { presence_penalty: 2.5, ..Default::default() })]
    #[case("frequency_penalty", SamplingParams { frequency_penalty: -2.5, ..Default::default() })]
    #[case("logit_bias", SamplingParams { logit_bias: vec![(3, 101.0)], ..Default::default() })]
    #[case("logit_bias", SamplingParams { logit_bias: vec![(100, 1.0)], ..Default::default() })]
    #[case("logit_bias", SamplingParams { logit_bias: vec![(3, 1.0); MAX_LOGIT_BIAS + 1], ..Default::default() })]
    fn a_value_out_of_range_is_refused_by_name(#[case] field: &str, #[case] params: SamplingParams) {
        assert_eq!(params.validate(VOCABULARY).map_err(|e| e.field), Err(field));
    }

    #[rstest]
    #[case(SamplingParams::default())]
    #[case(SamplingParams::greedy())]
    #[case(SamplingParams { temperature: 2.0, top_k: Some(1), top_p: 0.0, min_p: 1.0, ..Default::default() })]
    #[case(SamplingParams { logit_bias: vec![(0, BAN), (99, 100.0)], repetition_penalty: 10.0, ..Default::default() })]
    fn the_ends_of_the_ranges_are_accepted(#[case] params: SamplingParams) {
        assert_eq!(params.validate(VOCABULARY), Ok(()));
    }

    #[test]
    fn an_error_names_field_value_and_range() {
        let error = SamplingParams { top_p: 1.5, ..Default::default() }.validate(VOCABULARY).map_err(|e| e.to_string());
        assert_eq!(error, Err("top_p is 1.5, but must be from 0 to 1".to_owned()));
    }
}
