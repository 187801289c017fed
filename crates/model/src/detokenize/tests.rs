#![allow(clippy::unwrap_used)]

use super::*;
use crate::TextModel;
use crate::text::tests::{demo, ids, reference};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;
use std::sync::LazyLock;

static DEMO: LazyLock<TextModel> = LazyLock::new(demo);

/// The pieces of text that the tokens lead to, and the rest at the end.
fn pieces(mut detokenizer: Detokenizer, tokens: &[u32]) -> Vec<String> {
    let mut pieces: Vec<String> = tokens.iter().map(|&token| detokenizer.push(token)).collect();
    pieces.push(detokenizer.finish());
    pieces
}

/// A SentencePiece vocabulary as Llama 2's: `<unk>`, `<s>`, `</s>`, 256 bytes, and these pieces.
fn sentence_piece(words: &[&str]) -> TextModel {
    let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
    let tokens = ["<unk>", "<s>", "</s>"].map(str::to_owned).into_iter().chain(bytes);
    let tokens: Vec<String> = tokens.chain(words.iter().map(ToString::to_string)).collect();
    let vocab: serde_json::Map<String, Value> = tokens.into_iter().zip(0..).map(|(t, id)| (t, json!(id))).collect();
    let special = ["<unk>", "<s>", "</s>"].iter().zip(0..).map(|(content, id)| {
        json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false})
    });
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": special.collect::<Vec<_>>(),
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab, "merges": []}
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    TextModel::from_hf_folder(folder.path()).unwrap()
}

static LLAMA: LazyLock<TextModel> =
    LazyLock::new(|| sentence_piece(&["▁", "▁Hello", "▁world", "He", "!", "▁▁", "l", "o", "é"]));
/// The first id after the bytes of [`LLAMA`].
const WORDS: u32 = 259;

proptest! {
    #[test]
    fn pieces_of_any_tokens_are_the_whole_decoded_text(tokens in prop::collection::vec(0u32..2048, 0..40)) {
        let whole = DEMO.pieces().tokenizer.decode(&tokens, true).unwrap();
        prop_assert_eq!(pieces(DEMO.detokenizer(false), &tokens).concat(), whole);
    }

    #[test]
    fn any_text_comes_back_in_whole_characters(text in "\\PC{0,30}") {
        let tokens = DEMO.encode(&text, false).unwrap();
        let pieces = pieces(DEMO.detokenizer(false), &tokens);
        prop_assert_eq!(pieces.concat(), text.as_str());
        let replaced = pieces.iter().any(|piece| piece.contains(char::REPLACEMENT_CHARACTER));
        prop_assert_eq!(replaced, text.contains(char::REPLACEMENT_CHARACTER));
    }

    #[test]
    fn sentence_piece_text_comes_back_in_whole_characters(text in "[a-z éHelo日本🦀]{0,30}") {
        let tokens = LLAMA.encode(&text, false).unwrap();
        prop_assert_eq!(pieces(LLAMA.detokenizer(false), &tokens).concat(), text.as_str());
        let whole = LLAMA.pieces().tokenizer.decode(&tokens, true).unwrap();
        prop_assert_eq!(whole, text);
    }

    #[test]
    fn sentence_piece_pieces_are_the_whole_decoded_text(
        words in prop::collection::vec(prop_oneof![0u32..3, WORDS..WORDS + 9], 0..20),
    ) {
        let whole = LLAMA.pieces().tokenizer.decode(&words, true).unwrap();
        prop_assert_eq!(pieces(LLAMA.detokenizer(false), &words).concat(), whole);
    }
}

#[test]
fn answers_of_the_reference_stream_word_by_word() {
    for sample in reference() {
        let tokens = ids(&sample["greedy_ids"]);
        let pieces = pieces(DEMO.detokenizer(false), &tokens);
        assert_eq!(pieces.concat(), sample["greedy_text"].as_str().unwrap());
        assert!(pieces[..tokens.len() - 1].iter().all(|piece| !piece.is_empty())); // all but the end token
    }
}

#[test]
fn a_character_waits_for_its_last_byte() {
    let tokens = DEMO.encode("a日b", false).unwrap();
    assert_eq!(pieces(DEMO.detokenizer(false), &tokens), ["a", "", "", "日", "b", ""]);
}

#[test]
fn a_character_that_is_cut_off_shows_as_replacement() {
    let byte = |byte: u8| u32::from(byte) + 3; // of a SentencePiece vocabulary
    let broken = [byte(0xe6), byte(0x97), WORDS + 4];
    assert_eq!(pieces(LLAMA.detokenizer(false), &broken), ["", "", "\u{fffd}!", ""]);
    assert_eq!(pieces(LLAMA.detokenizer(false), &broken[..2]), ["", "", "\u{fffd}"]);
    let invalid = [byte(0xff), byte(0xff), byte(b'a')];
    assert_eq!(pieces(LLAMA.detokenizer(false), &invalid), ["\u{fffd}", "\u{fffd}", "a", ""]);
}

#[rstest]
#[case::a_new_text(false, &["Hello", " world", ""])]
#[case::the_middle_of_a_text(true, &[" Hello", " world", ""])]
fn a_leading_space_belongs_to_the_middle_of_a_text(#[case] continues: bool, #[case] expected: &[&str]) {
    assert_eq!(pieces(LLAMA.detokenizer(continues), &[WORDS + 1, WORDS + 2]), expected);
}

#[test]
fn a_leading_space_of_its_own_is_the_one_that_goes() {
    assert_eq!(pieces(LLAMA.detokenizer(false), &[1, WORDS, WORDS + 1]), ["", "", " Hello", ""]);
    assert_eq!(pieces(LLAMA.detokenizer(false), &[WORDS + 5, WORDS + 1]), [" ", " Hello", ""]);
}

#[test]
fn special_and_unknown_tokens_have_no_text() {
    assert_eq!(pieces(DEMO.detokenizer(false), &[0, 1, 2, 1 << 30]).concat(), "");
}
