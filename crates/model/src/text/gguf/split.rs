//! How a byte-level vocabulary cuts text into words before merging: `tokenizer.ggml.pre` names a rule, and the rule
//! itself is known to the reader. The expressions are those of the models' own tokenizer.json files.

use crate::TextError;
use tokenizers::SplitDelimiterBehavior::Isolated;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper};

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The names that are known, for the error that refuses others.
const KNOWN: &str = "llama-bpe, llama3, llama-v3, falcon3, smaug-bpe, dbrx, qwen2, deepseek-r1-qwen, megrez, tekken, \
                     smollm, starcoder, gpt-2";

/// What a rule's name implies.
pub(super) struct Rule {
    pub(super) normalizer: Option<NormalizerWrapper>,
    pub(super) words: PreTokenizerWrapper,
    /// A word that is a token whole is not merged from its characters.
    pub(super) ignore_merges: bool,
    /// The start token goes before a text, unless the file says otherwise.
    pub(super) adds_bos: bool,
}

impl Rule {
    pub(super) fn named(name: &str) -> Result<Self, TextError> {
        let plain = |words| Rule { normalizer: None, words, ignore_merges: false, adds_bos: false };
        let gpt2 = || PreTokenizerWrapper::from(ByteLevel::new(false, true, true));
        Ok(match name {
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" => {
                Rule { ignore_merges: true, adds_bos: true, ..plain(expression(LLAMA3)?) }
            }
            "smaug-bpe" | "dbrx" => plain(expression(LLAMA3)?),
            "qwen2" | "deepseek-r1-qwen" | "megrez" => {
                Rule { normalizer: Some(NFC.into()), ..plain(expression(QWEN2)?) }
            }
            "tekken" => Rule { ignore_merges: true, adds_bos: true, ..plain(expression(TEKKEN)?) },
            "smollm" | "starcoder" => plain(Sequence::new(vec![Digits::new(true).into(), gpt2()]).into()),
            "gpt-2" => plain(gpt2()),
            other => return Err(TextError::unknown("tokenizer.ggml.pre", other, KNOWN)),
        })
    }
}

/// Cuts out what the expression matches, then writes bytes as GPT-2's characters.
fn expression(pattern: &str) -> Result<PreTokenizerWrapper, TextError> {
    let pattern = SplitPattern::Regex(pattern.to_owned());
    let split = Split::new(pattern, Isolated, false).map_err(TextError::Tokenizer)?;
    Ok(Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_error_is_known() {
        assert!(KNOWN.split(", ").all(|name| Rule::named(name).is_ok()));
    }
}
