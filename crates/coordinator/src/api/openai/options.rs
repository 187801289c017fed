//! The options that chat and plain completions share, and their check.

use crate::api::common::{
    error::ApiError,
    lenient::{biases, count},
    options::{ValidOptions, check_stop},
};
use gogrid_model::{SamplingParams, TextModel};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};
use utoipa::ToSchema;

/// The most choices for one prompt. Each is a session of its own, with its own KV cache on every stage.
const MAX_CHOICES: u32 = 16;

/// The most stop strings, as in OpenAI's API.
const MAX_STOP_STRINGS: usize = 4;

/// Bytes of a cache salt: it is kept as long as the answer is.
const MAX_SALT: usize = 256;

/// Sampling, length and delivery: the options that both kinds of completion have.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = GenerationOptions)]
pub(super) struct Options {
    /// Divides the logits: 0 takes the most likely token. Default: the model's own, or 1.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f32>,
    /// Keeps the most likely tokens that together have this probability. Default: the model's own, or 1.
    #[schema(minimum = 0, maximum = 1)]
    top_p: Option<f32>,
    /// Keeps this many of the most likely tokens; 0 or -1 keeps all. Default: the model's own, or all.
    #[schema(minimum = -1)]
    top_k: Option<i64>,
    /// Drops tokens less likely than this share of the most likely one's probability.
    #[schema(minimum = 0, maximum = 1)]
    min_p: Option<f32>,
    /// Lowers the logits of tokens that the answer holds already.
    #[schema(minimum = -2, maximum = 2)]
    presence_penalty: Option<f32>,
    /// Lowers the logits of the answer's tokens, once for every time that they are in it.
    #[schema(minimum = -2, maximum = 2)]
    frequency_penalty: Option<f32>,
    /// Divides positive logits of tokens in prompt and answer, and multiplies negative ones; 1 changes nothing.
    #[schema(exclusive_minimum = 0)]
    repetition_penalty: Option<f32>,
    /// The same seed gives the same text; the choices of one prompt get seed, seed + 1, … Default: random.
    seed: Option<i64>,
    /// Added to the logits, by token id (a decimal number), from -100 to 100.
    #[serde(default, deserialize_with = "biases")]
    logit_bias: Option<BTreeMap<String, f32>>,
    /// Strings that end the answer and are not part of it.
    stop: Option<Stop>,
    /// How many answers to give for each prompt.
    #[schema(minimum = 1, maximum = 16, default = 1)]
    #[serde(default, deserialize_with = "count")]
    n: Option<u32>,
    /// The most tokens to emit. Default, also for -1: up to the end of the context in chats, 16 in completions.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "count")]
    max_tokens: Option<u32>,
    /// Whether to send the answer in pieces, as server-sent events.
    #[schema(default = false)]
    stream: Option<bool>,
    /// Only with `stream`.
    stream_options: Option<StreamOptions>,
    /// Goes on past the end-of-sequence token.
    #[schema(default = false)]
    ignore_eos: Option<bool>,
    /// Sets requests apart that share a key: a prompt begins with what is in memory of an earlier one only if both have
    /// the same salt.
    #[schema(max_length = 256)]
    cache_salt: Option<String>,
}

/// One stop string, or up to four.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
pub(super) enum Stop {
    /// One.
    One(String),
    /// Up to four.
    Many(Vec<String>),
}

/// How a stream is to be sent.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct StreamOptions {
    /// A last chunk without choices tells the token counts of the whole request.
    #[schema(default = false)]
    include_usage: Option<bool>,
}

impl Options {
    /// The most tokens to emit, as the request has it.
    pub(super) fn max_tokens(&self) -> Option<u32> {
        self.max_tokens
    }

    /// Checks the options for a model; `max_tokens` is what the endpoint made of its fields for it.
    ///
    /// # Errors
    /// 400 that names the field and its range.
    pub(super) fn check(self, text: &TextModel, max_tokens: Option<u32>) -> Result<ValidOptions, ApiError> {
        if max_tokens == Some(0) {
            return Err(ApiError::invalid(Some("max_tokens"), "max_tokens is 0, but must be at least 1".to_owned()));
        }
        let choices = self.n.unwrap_or(1);
        if !(1..=MAX_CHOICES).contains(&choices) {
            return Err(ApiError::invalid(Some("n"), format!("n is {choices}, but must be from 1 to {MAX_CHOICES}")));
        }
        Ok(ValidOptions {
            choices,
            sampling: self.sampling(text)?,
            // The API's seeds are signed; the sampler takes any 64 bits.
            seed: self.seed.map(i64::cast_unsigned),
            max_tokens: max_tokens.map(|tokens| tokens as usize),
            stream: self.stream.unwrap_or(false),
            ignore_eos: self.ignore_eos.unwrap_or(false),
            cache_salt: check_salt(self.cache_salt)?,
            stop: check_stop(self.stop.map_or_else(Vec::new, Stop::into_strings), "stop", MAX_STOP_STRINGS)?,
        })
    }

    fn sampling(&self, text: &TextModel) -> Result<SamplingParams, ApiError> {
        let defaults = text.sampling_defaults().clone();
        let params = SamplingParams {
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            top_k: match self.top_k {
                None => defaults.top_k,
                Some(-1 | 0) => None,
                Some(top_k) => Some(usize::try_from(top_k).map_err(|_| {
                    let message = format!("top_k is {top_k}, but must be at least 1, or 0 or -1 for all tokens");
                    ApiError::invalid(Some("top_k"), message)
                })?),
            },
            min_p: self.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(defaults.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(defaults.frequency_penalty),
            logit_bias: self.logit_bias()?,
            seed: defaults.seed,
        };
        // The router knows the vocabulary's size and checks token ids against it.
        params.validate(usize::MAX).map_err(|error| ApiError::sampling(&error))?;
        Ok(params)
    }

    fn logit_bias(&self) -> Result<Vec<(u32, f32)>, ApiError> {
        let entry = |(key, &bias): (&String, &f32)| match key.parse::<u32>() {
            Ok(token) => Ok((token, bias)),
            Err(_) => {
                let message = format!("logit_bias has the key '{key}', but keys must be token ids");
                Err(ApiError::invalid(Some("logit_bias"), message))
            }
        };
        self.logit_bias.iter().flatten().map(entry).collect()
    }

    /// Whether a last chunk tells the token counts.
    ///
    /// # Errors
    /// 400: the options of a stream without one.
    pub(super) fn include_usage(&self) -> Result<bool, ApiError> {
        match (self.stream.unwrap_or(false), &self.stream_options) {
            (true, Some(options)) => Ok(options.include_usage.unwrap_or(false)),
            (_, None) => Ok(false),
            (false, Some(_)) => {
                Err(ApiError::invalid(Some("stream_options"), "stream_options needs stream to be true".to_owned()))
            }
        }
    }
}

fn check_salt(salt: Option<String>) -> Result<Option<Arc<str>>, ApiError> {
    match salt {
        Some(salt) if salt.len() > MAX_SALT => {
            let message = format!("cache_salt has {} bytes, but may have up to {MAX_SALT}", salt.len());
            Err(ApiError::invalid(Some("cache_salt"), message))
        }
        salt => Ok(salt.map(Arc::from)),
    }
}

impl Stop {
    fn into_strings(self) -> Vec<String> {
        match self {
            Self::One(string) => vec![string],
            Self::Many(strings) => strings,
        }
    }
}
