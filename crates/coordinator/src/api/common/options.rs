//! How answers are generated, after it was checked.

use super::error::ApiError;
use gogrid_model::{SamplingParams, StopScanner};
use std::sync::Arc;

/// The options after their check.
#[derive(Debug, Clone)]
pub(in crate::api) struct ValidOptions {
    /// Answers for each prompt.
    pub(in crate::api) choices: u32,
    /// For every choice, but for its seed.
    pub(in crate::api) sampling: SamplingParams,
    /// The first choice's seed.
    pub(in crate::api) seed: Option<u64>,
    /// The most tokens to emit.
    pub(in crate::api) max_tokens: Option<usize>,
    /// Strings that end an answer.
    pub(in crate::api) stop: Vec<String>,
    /// Goes on past the end-of-sequence token.
    pub(in crate::api) ignore_eos: bool,
    /// In pieces, as server-sent events.
    pub(in crate::api) stream: bool,
    /// Sets requests of one key apart.
    pub(in crate::api) cache_salt: Option<Arc<str>>,
}

/// The strings that end an answer; `field` holds them.
///
/// # Errors
/// 400 that names the field: too many, or one that is too long.
pub(in crate::api) fn check_stop(mut strings: Vec<String>, field: &str, most: usize) -> Result<Vec<String>, ApiError> {
    // No text ends with nothing: a form's field that was left empty.
    strings.retain(|string| !string.is_empty());
    if strings.len() > most {
        let message = format!("{field} has {} strings, but may have up to {most}", strings.len());
        return Err(ApiError::invalid(Some(field), message));
    }
    StopScanner::new(&strings).map_err(|error| ApiError::invalid(Some(field), error.to_string()))?;
    Ok(strings)
}
