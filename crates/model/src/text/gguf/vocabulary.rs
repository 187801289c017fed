//! The vocabularies that GGUF files hold, as tokenizers.

use super::metadata::Metadata;
use super::split::{Rule, split, told_by};
use crate::TextError;
use std::cmp::Reverse;
use std::collections::HashMap;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// A value of `tokenizer.ggml.token_type`: the unknown token, for text that no other token can express.
pub(super) const UNKNOWN: u32 = 2;
/// A value of `tokenizer.ggml.token_type`: a mark of the format, not text.
pub(super) const CONTROL: u32 = 3;
/// A value of `tokenizer.ggml.token_type`: never split, but text.
pub(super) const USER_DEFINED: u32 = 4;

/// The mark that SentencePiece writes for a space.
const SPACE: &str = "▁";

/// The tokens of a file with their types.
pub(super) struct Vocabulary<'a> {
    tokens: Vec<&'a str>,
    ids: HashMap<&'a str, u32>,
    types: Vec<u32>,
}

impl<'a> Vocabulary<'a> {
    pub(super) fn read(metadata: &Metadata<'a>) -> Result<Self, TextError> {
        let tokens = metadata.strings("tokenizer.ggml.tokens")?;
        let types = metadata.optional_numbers("tokenizer.ggml.token_type")?.unwrap_or_default();
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in (0u32..).zip(&tokens) {
            ids.entry(*token).or_insert(id); // of equal tokens the first
        }
        Ok(Vocabulary { tokens, ids, types: types.into_iter().map(|kind| kind as u32).collect() })
    }

    pub(super) fn of_type(&self, kind: u32) -> impl Iterator<Item = (u32, &'a str)> {
        let typed = (0u32..).zip(&self.tokens).zip(&self.types);
        typed.filter(move |&(_, &found)| found == kind).map(|((id, token), _)| (id, *token))
    }

    /// The token that a key such as `tokenizer.ggml.bos_token_id` names.
    pub(super) fn named(
        &self,
        metadata: &Metadata<'_>,
        key: &'static str,
    ) -> Result<Option<(u32, &'a str)>, TextError> {
        let Some(id) = metadata.optional_u32(key)? else { return Ok(None) };
        let token = self.tokens.get(id as usize).ok_or_else(|| TextError::field(key, "a token of the vocabulary"))?;
        Ok(Some((id, *token)))
    }

    /// GPT-2's kind: merges over bytes. Also says whether texts begin with the start token by default.
    pub(super) fn byte_level(
        &self,
        metadata: &Metadata<'_>,
        notes: &mut Vec<String>,
    ) -> Result<(Tokenizer, bool), TextError> {
        let rule = self.rule(metadata.optional_string("tokenizer.ggml.pre")?, notes)?;
        let bpe =
            BPE::builder().vocab_and_merges(self.owned(), self.merges(metadata)?).ignore_merges(rule.ignore_merges);
        let mut tokenizer = Tokenizer::new(bpe.build().map_err(TextError::Tokenizer)?);
        tokenizer.with_normalizer(rule.normalizer).map_err(TextError::Tokenizer)?;
        tokenizer.with_pre_tokenizer(Some(rule.words));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        self.add_marked(&mut tokenizer)?;
        Ok((tokenizer, rule.adds_bos))
    }

    /// The rule that cuts words. A name that is missing or not known is no reason to refuse a model: the vocabulary tells
    /// many families, and GPT-2's rule comes close for the others.
    fn rule(&self, name: Option<&str>, notes: &mut Vec<String>) -> Result<Rule, TextError> {
        if let Some(rule) = Rule::named(name.unwrap_or("default"))? {
            return Ok(rule);
        }
        let told = told_by(|token| self.ids.contains_key(token));
        let found = name.map_or_else(|| "is missing".to_owned(), |name| format!("is \"{name}\", which is not known"));
        notes.push(match told {
            Some(rule) => format!("tokenizer.ggml.pre {found}: by its tokens the vocabulary is of the kind {rule}"),
            None => format!("tokenizer.ggml.pre {found}: words are cut as for gpt-2, which may cost quality"),
        });
        Rule::named(told.unwrap_or("gpt-2"))?.ok_or_else(|| TextError::unknown("tokenizer.ggml.pre", "", "gpt-2"))
    }

    /// Gemma 4's kind: merges over characters, with SentencePiece's mark for spaces, bytes for what has no token.
    pub(super) fn marked_merges(&self, metadata: &Metadata<'_>) -> Result<(Tokenizer, bool), TextError> {
        let bpe = BPE::builder().vocab_and_merges(self.owned(), self.merges(metadata)?);
        let mut bpe = bpe.fuse_unk(true).byte_fallback(true);
        if let Some((_, token)) = self.named(metadata, "tokenizer.ggml.unknown_token_id")? {
            bpe = bpe.unk_token(token.to_owned());
        }
        let mut tokenizer = Tokenizer::new(bpe.build().map_err(TextError::Tokenizer)?);
        let spaces = Replace::new(" ", SPACE).map_err(TextError::Tokenizer)?;
        tokenizer.with_normalizer(Some(spaces)).map_err(TextError::Tokenizer)?;
        tokenizer.with_pre_tokenizer(Some(split(r"[^\n]+|[\n]+")?));
        let decoders = vec![
            Replace::new(SPACE, " ").map_err(TextError::Tokenizer)?.into(),
            ByteFallback::new().into(),
            Fuse::new().into(),
        ];
        tokenizer.with_decoder(Some(Decoders::new(decoders)));
        self.add_marked(&mut tokenizer)?;
        Ok((tokenizer, true))
    }

    /// The merges of a file, the first ones first.
    fn merges(&self, metadata: &Metadata<'_>) -> Result<Vec<(String, String)>, TextError> {
        let wrong =
            || TextError::field("tokenizer.ggml.merges", "a list of \"left right\", both and their union tokens");
        let merge = |merge: &str| {
            let (left, right) = merge.split_once(' ')?;
            self.ids.get(format!("{left}{right}").as_str())?;
            Some((left.to_owned(), right.to_owned()))
        };
        let merges = metadata.strings("tokenizer.ggml.merges")?;
        merges.into_iter().map(merge).collect::<Option<_>>().ok_or_else(wrong)
    }

    /// SentencePiece's kind: merges by the score of what they make, bytes for what has no token.
    pub(super) fn sentence_piece(&self, metadata: &Metadata<'_>) -> Result<(Tokenizer, bool), TextError> {
        let scores = metadata.optional_numbers("tokenizer.ggml.scores")?;
        let scores = scores.filter(|scores| scores.len() == self.tokens.len());
        let scores = scores.ok_or_else(|| TextError::field("tokenizer.ggml.scores", "a list of a number per token"))?;
        let mut bpe =
            BPE::builder().vocab_and_merges(self.owned(), self.merges_by(&scores)).fuse_unk(true).byte_fallback(true);
        if let Some((_, token)) = self.named(metadata, "tokenizer.ggml.unknown_token_id")? {
            bpe = bpe.unk_token(token.to_owned());
        }
        let mut tokenizer = Tokenizer::new(bpe.build().map_err(TextError::Tokenizer)?);
        let mut normalizers = vec![Replace::new(" ", SPACE).map_err(TextError::Tokenizer)?.into()];
        let mut decoders = vec![
            Replace::new(SPACE, " ").map_err(TextError::Tokenizer)?.into(),
            ByteFallback::new().into(),
            Fuse::new().into(),
        ];
        if metadata.optional_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
            normalizers.insert(0, Prepend::new(SPACE.to_owned()).into());
            decoders.push(Strip::new(' ', 1, 0).into());
        }
        tokenizer.with_normalizer(Some(Normalizers::new(normalizers))).map_err(TextError::Tokenizer)?;
        tokenizer.with_decoder(Some(Decoders::new(decoders)));
        self.add_marked(&mut tokenizer)?;
        Ok((tokenizer, true))
    }

    /// Every way to put a token together from two others, the best token first: merging in this order finds what
    /// SentencePiece finds by always making the best token that two neighbours make.
    fn merges_by(&self, scores: &[f32]) -> Vec<(String, String)> {
        let mut merges = Vec::new();
        for (token, &score) in self.tokens.iter().zip(scores) {
            for (at, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(at);
                if let (Some(&l), Some(&r)) = (self.ids.get(left), self.ids.get(right)) {
                    merges.push((score, left, right, l, r));
                }
            }
        }
        // equal scores: longer parts first, then lower ids, the order in which transformers converts such vocabularies
        let length = |part: &str| Reverse(part.chars().count());
        merges.sort_by_cached_key(|&(_, left, right, l, r)| (length(left), length(right), l, r));
        merges.sort_by(|a, b| b.0.total_cmp(&a.0)); // stable
        merges.into_iter().map(|(_, left, right, ..)| (left.to_owned(), right.to_owned())).collect()
    }

    /// Control and user-defined tokens are found in text before anything is split.
    fn add_marked(&self, tokenizer: &mut Tokenizer) -> Result<(), TextError> {
        let marked = |kind| self.of_type(kind).map(|(_, token)| token).filter(|token| !token.is_empty());
        let special = marked(UNKNOWN).chain(marked(CONTROL)).map(|token| AddedToken::from(token, true));
        tokenizer.add_special_tokens(special.collect::<Vec<_>>()).map_err(TextError::Tokenizer)?;
        let text = marked(USER_DEFINED).map(|token| AddedToken::from(token, false).normalized(false));
        tokenizer.add_tokens(text.collect::<Vec<_>>()).map_err(TextError::Tokenizer)?;
        Ok(())
    }

    fn owned(&self) -> tokenizers::models::bpe::Vocab {
        self.ids.iter().map(|(token, &id)| ((*token).to_owned(), id)).collect()
    }
}
