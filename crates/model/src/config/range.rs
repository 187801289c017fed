//! Checks of single fields against their ranges. Each names its field.

use super::ConfigError;

/// The most layers of a model: far above any dense model (the largest have about 130), and few enough to list.
pub(super) const MAX_LAYERS: usize = 4096;
/// The most elements of one dimension (hidden size, feed-forward size, heads × head size): products of two of
/// these fit 64 bits.
pub(super) const MAX_WIDTH: usize = 1 << 20;
/// The most token ids of a vocabulary.
pub(super) const MAX_VOCABULARY: usize = 1 << 24;
/// The longest context in tokens.
pub(super) const MAX_CONTEXT: usize = 1 << 30;
/// The most end-of-sequence tokens.
pub(super) const MAX_EOS: usize = 64;

/// A size of 1 to `most`.
pub(super) fn size(field: &str, value: usize, most: usize) -> Result<(), ConfigError> {
    match (1..=most).contains(&value) {
        true => Ok(()),
        false => Err(ConfigError::invalid(field, value, format!("1 to {most}"))),
    }
}

/// Anything that is `ok`, or not as `expected`.
#[expect(clippy::needless_pass_by_value, reason = "callers pass numbers and strings alike")]
pub(super) fn check(field: &str, value: impl ToString, ok: bool, expected: &str) -> Result<(), ConfigError> {
    if ok { Ok(()) } else { Err(ConfigError::invalid(field, value.to_string(), expected)) }
}

/// A number above 0.
pub(super) fn positive(field: &str, value: f32) -> Result<(), ConfigError> {
    check(field, value, value.is_finite() && value > 0.0, "a number above 0")
}
