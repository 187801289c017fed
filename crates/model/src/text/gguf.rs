//! The text side of GGUF metadata (`tokenizer.*`), whose keys and token types llama.cpp defines:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer>.

mod metadata;
mod split;
mod vocabulary;

use super::{TextError, TextModel};
use crate::SamplingParams;
use crate::gguf::Content;
use crate::template::ChatTemplate;
use metadata::Metadata;
use std::collections::BTreeMap;
use tokenizers::Tokenizer;
use tokenizers::processors::template::TemplateProcessing;
use vocabulary::{CONTROL, Vocabulary};

/// Control tokens that end a turn, by their text: files often name one end token, and not the one that chats use.
const END_OF_TURN: [&str; 9] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<EOT>",
    "<｜end▁of▁sentence｜>",
];

pub(super) fn read(content: &Content) -> Result<TextModel, TextError> {
    let metadata = Metadata(content);
    let vocabulary = Vocabulary::read(&metadata)?;
    let mut notes = Vec::new();
    let (mut tokenizer, adds_bos) = match metadata.string("tokenizer.ggml.model")? {
        "gpt2" => vocabulary.byte_level(&metadata, &mut notes)?,
        "gemma4" => vocabulary.marked_merges(&metadata)?,
        "llama" => vocabulary.sentence_piece(&metadata)?,
        other => return Err(TextError::unknown("tokenizer.ggml.model", other, "gpt2, llama, gemma4")),
    };
    surround(&metadata, &vocabulary, &mut tokenizer, adds_bos)?;
    let template = match metadata.optional_string("tokenizer.chat_template")? {
        Some(source) => Some(ChatTemplate::new(source, named_tokens(&metadata, &vocabulary)?)?),
        None => None,
    };
    let eos = ends(&metadata, &vocabulary)?;
    Ok(TextModel { notes, ..TextModel::new(tokenizer, template, eos, SamplingParams::default())? })
}

/// Lets a text begin with the start token and end with the end token, where the file or its kind says so.
fn surround(
    metadata: &Metadata<'_>,
    vocabulary: &Vocabulary<'_>,
    tokenizer: &mut Tokenizer,
    adds_bos: bool,
) -> Result<(), TextError> {
    let bos = metadata.optional_bool("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
    let eos = metadata.optional_bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
    let bos = vocabulary.named(metadata, "tokenizer.ggml.bos_token_id")?.filter(|_| bos);
    let eos = vocabulary.named(metadata, "tokenizer.ggml.eos_token_id")?.filter(|_| eos);
    if bos.is_none() && eos.is_none() {
        return Ok(());
    }
    // the parts have names of their own, because a token's text may be anything
    let single = [bos.map(|_| "bos"), Some("$A"), eos.map(|_| "eos")];
    let parts = [("bos", bos), ("eos", eos)];
    let special = parts.into_iter().filter_map(|(name, token)| token.map(|(id, _)| (name, id)));
    let processor = TemplateProcessing::builder()
        .try_single(single.into_iter().flatten().collect::<Vec<_>>())
        .and_then(|builder| builder.special_tokens(special.collect::<Vec<_>>()).build().map_err(|e| e.to_string()))
        .map_err(|e| TextError::Tokenizer(e.into()))?;
    tokenizer.with_post_processor(Some(processor));
    Ok(())
}

/// The special tokens by the names that templates use.
fn named_tokens(metadata: &Metadata<'_>, vocabulary: &Vocabulary<'_>) -> Result<BTreeMap<String, String>, TextError> {
    let names = [
        ("bos_token", "tokenizer.ggml.bos_token_id"),
        ("eos_token", "tokenizer.ggml.eos_token_id"),
        ("unk_token", "tokenizer.ggml.unknown_token_id"),
        ("pad_token", "tokenizer.ggml.padding_token_id"),
    ];
    let named = names.map(|(name, key)| {
        let token = vocabulary.named(metadata, key)?;
        Ok(token.map(|(_, text)| (name.to_owned(), text.to_owned())))
    });
    named.into_iter().filter_map(Result::transpose).collect()
}

/// The tokens that end an answer: those that the file names, and control tokens known by their text.
fn ends(metadata: &Metadata<'_>, vocabulary: &Vocabulary<'_>) -> Result<Vec<u32>, TextError> {
    let known = vocabulary.of_type(CONTROL).filter(|(_, token)| END_OF_TURN.contains(token)).map(|(id, _)| id);
    let mut ends: Vec<u32> = known.collect();
    for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        ends.extend(vocabulary.named(metadata, key)?.map(|(id, _)| id));
    }
    ends.sort_unstable();
    ends.dedup();
    Ok(ends)
}

#[cfg(test)]
mod tests;
