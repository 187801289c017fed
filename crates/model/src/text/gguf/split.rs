//! How a byte-level vocabulary cuts text into words before merging: `tokenizer.ggml.pre` names a rule, and the rule
//! itself is known to the reader. The expressions are those of the models' own tokenizer.json files.

use crate::TextError;
use tokenizers::SplitDelimiterBehavior::Isolated;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: [&str; 3] = [
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];
const DEEPSEEK_LLM: [&str; 6] = [
    r"[\r\n]",
    r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    r"\s+$",
    r"[一-龥ࠀ-一가-퟿]+",
    r"\p{N}+",
];
const DEEPSEEK_CODER: [&str; 5] = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"];
const FALCON: [&str; 3] = [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"];
/// Each digit for itself, then GPT-2's words.
const DIGITS: [&str; 2] = [r"\p{N}", GPT2];

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
    /// The rule of this name, if it is known.
    ///
    /// # Errors
    /// The tokenizers library refuses its expressions.
    pub(super) fn named(name: &str) -> Result<Option<Self>, TextError> {
        let plain = |expressions: &[&str]| -> Result<Rule, TextError> {
            Ok(Rule { normalizer: None, words: words(expressions)?, ignore_merges: false, adds_bos: false })
        };
        Ok(Some(match name {
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "lfm2" => {
                Rule { ignore_merges: true, adds_bos: true, ..plain(&[LLAMA3])? }
            }
            "glm4" | "glm5" => Rule { ignore_merges: true, ..plain(&[LLAMA3])? },
            "smaug-bpe" | "dbrx" | "chatglm-bpe" => plain(&[LLAMA3])?,
            "qwen2" | "deepseek-r1-qwen" | "megrez" => Rule { normalizer: Some(NFC.into()), ..plain(&[QWEN2])? },
            "stablelm2" | "hunyuan" | "solar-open" | "grok-2" => plain(&[QWEN2])?,
            "qwen35" => Rule { normalizer: Some(NFC.into()), ..plain(&[QWEN35])? },
            "tekken" => Rule { ignore_merges: true, adds_bos: true, ..plain(&[TEKKEN])? },
            "gpt-4o" | "llama4" | "minimax-m2" | "kanana2" => plain(&[GPT4O])?,
            "deepseek-v3" | "hunyuan-dense" | "joyai-llm" => plain(&DEEPSEEK3)?,
            "deepseek-llm" => plain(&DEEPSEEK_LLM)?,
            "deepseek-coder" => plain(&DEEPSEEK_CODER)?,
            "falcon" => plain(&FALCON)?,
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" => plain(&DIGITS)?,
            "gpt-2" | "phi-2" | "mpt" | "olmo" | "jais" | "trillion" | "granite-docling" | "exaone4" => plain(&[GPT2])?,
            _ => return Ok(None),
        }))
    }
}

/// Cuts out what each expression matches, one after the other, then writes bytes as GPT-2's characters.
fn words(expressions: &[&str]) -> Result<PreTokenizerWrapper, TextError> {
    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    for expression in expressions {
        steps.push(split(expression)?);
    }
    steps.push(ByteLevel::new(false, true, false).into());
    Ok(Sequence::new(steps).into())
}

/// Cuts out what an expression matches.
pub(super) fn split(expression: &str) -> Result<PreTokenizerWrapper, TextError> {
    let pattern = SplitPattern::Regex(expression.to_owned());
    Ok(Split::new(pattern, Isolated, false).map_err(TextError::Tokenizer)?.into())
}

/// The rule of a file that names none, or one that is not known, told by tokens that only one family has.
pub(super) fn told_by(has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let families: [(&[&str], &str); 8] = [
        (&["<|start_header_id|>", "<|eot_id|>"], "llama-bpe"),
        (&["<|start|>", "<|channel|>", "<|message|>"], "gpt-4o"),
        (&["<|header_start|>", "<|eot|>"], "llama4"),
        (&["<｜begin▁of▁sentence｜>", "<｜User｜>"], "deepseek-v3"),
        (&["[gMASK]", "<sop>", "<|user|>"], "glm4"),
        (&["[INST]", "[/INST]", "[AVAILABLE_TOOLS]"], "tekken"),
        (&["<|im_start|>", "<|vision_start|>"], "qwen2"),
        (&["<|im_start|>", "<|object_ref_start|>"], "qwen2"),
    ];
    families.into_iter().find(|(tokens, _)| tokens.iter().all(|token| has(token))).map(|(_, rule)| rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_told_by_its_own_tokens() {
        let of = |tokens: &'static [&'static str]| told_by(move |token| tokens.contains(&token));
        assert_eq!(of(&["a", "<|start_header_id|>", "<|eot_id|>"]), Some("llama-bpe"));
        assert_eq!(of(&["<|im_start|>", "<|im_end|>"]), None);
        assert_eq!(of(&["<|im_start|>", "<|vision_start|>"]), Some("qwen2"));
    }
}
