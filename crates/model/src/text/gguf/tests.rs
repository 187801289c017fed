#![allow(clippy::unwrap_used)]

use super::*;
use crate::gguf::Value;
use crate::text::tests::{check_typed_marks, demo, demo_folder, ids, reference, typed_marks};
use crate::{ChatMessage, TemplateError};
use rstest::rstest;

fn content(metadata: Vec<(&str, Value)>) -> Content {
    Content::of_metadata(metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn strings<T: AsRef<str>>(texts: &[T]) -> Value {
    Value::Array(texts.iter().map(|text| string(text.as_ref())).collect())
}

fn with(mut content: Content, key: &str, value: Value) -> Content {
    content.metadata.insert(key.to_owned(), value);
    content
}

/// The demo model's tokenizer as GGUF metadata: `smollm` is its way to cut words.
fn demo_content() -> Content {
    let tokenizer: serde_json::Value =
        serde_json::from_slice(&std::fs::read(demo_folder().join("tokenizer.json")).unwrap()).unwrap();
    let vocab = tokenizer["model"]["vocab"].as_object().unwrap();
    let mut tokens = vec![String::new(); vocab.len()];
    for (token, id) in vocab {
        tokens[id.as_u64().unwrap() as usize].clone_from(token);
    }
    let types = (0..tokens.len()).map(|id| Value::I32(if id < 3 { 3 } else { 1 })).collect();
    let merge = |pair: &serde_json::Value| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    let merges: Vec<String> = tokenizer["model"]["merges"].as_array().unwrap().iter().map(merge).collect();
    content(vec![
        ("tokenizer.ggml.model", string("gpt2")),
        ("tokenizer.ggml.pre", string("smollm")),
        ("tokenizer.ggml.tokens", strings(&tokens)),
        ("tokenizer.ggml.token_type", Value::Array(types)),
        ("tokenizer.ggml.merges", strings(&merges)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.chat_template", string(include_str!("../../../../cli/assets/demo-model/chat_template.jinja"))),
    ])
}

#[test]
fn the_demo_model_s_metadata_does_what_its_folder_does() {
    let (text, folder) = (TextModel::from_gguf(&demo_content()).unwrap(), demo());
    for sample in reference() {
        let messages = [ChatMessage::new("user", sample["user"].as_str().unwrap())];
        let prompt = text.chat(&messages, true).unwrap();
        assert_eq!(prompt, sample["prompt"]);
        assert_eq!(text.encode(&prompt, true).unwrap(), ids(&sample["prompt_ids"]));
        assert_eq!(text.decode(&ids(&sample["greedy_ids"])), sample["greedy_text"]);
    }
    let odd = "Ünï  cødé\n\t 日本語 123 don't <|im_end|>";
    assert_eq!(text.encode(odd, false).unwrap(), folder.encode(odd, false).unwrap());
    assert_eq!(text.eos(), [0, 2]); // <|endoftext|> by its text
}

#[test]
fn start_and_end_tokens_surround_a_text_if_the_file_says_so() {
    let plain = TextModel::from_gguf(&demo_content()).unwrap().encode("Hi", true).unwrap();
    let content = with(demo_content(), "tokenizer.ggml.add_bos_token", Value::Bool(true));
    let content = with(content, "tokenizer.ggml.add_eos_token", Value::Bool(true));
    let text = TextModel::from_gguf(&content).unwrap();
    assert_eq!(text.encode("Hi", true).unwrap(), [&[1], plain.as_slice(), &[2]].concat());
    assert_eq!(text.encode("Hi", false).unwrap(), plain);
}

#[test]
fn user_defined_tokens_are_whole_and_stay_in_the_text() {
    let mut content = demo_content();
    let Some(Value::Array(tokens)) = content.metadata.get_mut("tokenizer.ggml.tokens") else { panic!() };
    let id = tokens.len() as u32;
    tokens.push(string("<think>"));
    let Some(Value::Array(types)) = content.metadata.get_mut("tokenizer.ggml.token_type") else { panic!() };
    types.push(Value::I32(4));
    let text = TextModel::from_gguf(&content).unwrap();
    assert_eq!(text.encode("a<think>", false).unwrap()[1], id);
    assert_eq!(text.decode(&[id]), "<think>");
}

#[rstest]
#[case::llama3("llama-bpe", "x1234 I'LL\n\n", true, &["x", "123", "4", "ĠI", "'LL", "ĊĊ"])]
#[case::qwen2("qwen2", "x12 I'LL\n\n", false, &["x", "1", "2", "ĠI", "'LL", "ĊĊ"])]
#[case::tekken("tekken", "x12 camelCase\n\n", true, &["x", "1", "2", "Ġcamel", "Case", "ĊĊ"])]
#[case::smollm("smollm", "x12 I'll\n\n", false, &["x", "1", "2", "ĠI", "'ll", "ĊĊ"])]
#[case::gpt2("gpt-2", "x12 I'll\n\n", false, &["x", "12", "ĠI", "'ll", "ĊĊ"])]
#[case::gpt4o("gpt-4o", "x1234 camelCase's\n\n", false, &["x", "123", "4", "Ġcamel", "Case's", "ĊĊ"])]
#[case::qwen35("qwen35", "x12 e\u{301}a", false, &["x", "1", "2", "ĠeÌģa"])]
#[case::glm4("glm4", "x1234 I'll", false, &["x", "123", "4", "ĠI", "'ll"])]
#[case::deepseek3("deepseek-v3", "x1234 (ab", false, &["x", "123", "4", "Ġ(", "ab"])]
#[case::lfm2("lfm2", "x1234", true, &["x", "123", "4"])]
#[case::falcon("falcon", "x12345!", false, &["x", "123", "45", "!"])]
fn words_are_cut_as_the_models_do(
    #[case] pre: &str,
    #[case] text: &str,
    #[case] adds_bos: bool,
    #[case] words: &[&str],
) {
    use tokenizers::{OffsetReferential::Original, OffsetType::Byte, PreTokenizedString, PreTokenizer};
    let rule = split::Rule::named(pre).unwrap().unwrap();
    let mut cut = PreTokenizedString::from(text);
    rule.words.pre_tokenize(&mut cut).unwrap();
    let found: Vec<&str> = cut.get_splits(Original, Byte).into_iter().map(|(word, ..)| word).collect();
    assert_eq!(found, words);
    assert_eq!(rule.adds_bos, adds_bos);
}

/// A vocabulary as Llama 2's, small: the pieces' scores fall with their ids, as SentencePiece writes them.
fn llama_content() -> Content {
    let bytes = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 6));
    let pieces = ["▁the", "▁t", "he", "▁", "t", "h", "e", "c", "a", "▁c", "at", "▁cat", "in"];
    let marks = [("<unk>", 2), ("<s>", 3), ("</s>", 3)].map(|(token, kind)| (token.to_owned(), kind));
    let all: Vec<(String, i32)> =
        marks.into_iter().chain(bytes).chain(pieces.iter().map(|&piece| (piece.to_owned(), 1))).collect();
    let scores = (0..all.len()).map(|id| Value::F32(if id < 259 { 0.0 } else { 258.0 - id as f32 })).collect();
    content(vec![
        ("tokenizer.ggml.model", string("llama")),
        ("tokenizer.ggml.tokens", strings(&all.iter().map(|(token, _)| token).collect::<Vec<_>>())),
        ("tokenizer.ggml.token_type", Value::Array(all.iter().map(|&(_, kind)| Value::I32(kind)).collect())),
        ("tokenizer.ggml.scores", Value::Array(scores)),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.ggml.unknown_token_id", Value::U32(0)),
        ("tokenizer.chat_template", string("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")),
    ])
}

fn token_texts(text: &TextModel, tokens: &[u32]) -> Vec<String> {
    tokens.iter().map(|&token| text.pieces().tokenizer.id_to_token(token).unwrap()).collect()
}

#[test]
fn sentence_piece_vocabularies_merge_by_score() {
    let text = TextModel::from_gguf(&llama_content()).unwrap();
    let tokens = text.encode("the cat", true).unwrap();
    assert_eq!(token_texts(&text, &tokens), ["<s>", "▁the", "▁cat"]);
    assert_eq!(text.decode(&tokens), "the cat");
    assert_eq!(text.eos(), [2]);
}

#[test]
fn what_has_no_piece_is_written_in_bytes() {
    let text = TextModel::from_gguf(&llama_content()).unwrap();
    let tokens = text.encode("the 日", false).unwrap();
    assert_eq!(token_texts(&text, &tokens), ["▁the", "▁", "<0xE6>", "<0x97>", "<0xA5>"]);
    assert_eq!(text.decode(&tokens), "the 日");
    assert_eq!(text.token_bytes(tokens[2]), [0xe6]);
}

#[test]
fn text_after_a_mark_begins_with_a_space_as_at_the_start() {
    let text = TextModel::from_gguf(&llama_content()).unwrap();
    let prompt = text.chat(&[ChatMessage::new("user", "the")], true).unwrap();
    let tokens = text.encode(&(prompt + "cat"), false).unwrap();
    assert_eq!(token_texts(&text, &tokens), ["<s>", "▁the", "</s>", "▁cat"]);

    let without = with(llama_content(), "tokenizer.ggml.add_space_prefix", Value::Bool(false));
    let text = TextModel::from_gguf(&without).unwrap();
    assert_eq!(token_texts(&text, &text.encode("the", false).unwrap()), ["t", "he"]);
}

#[rstest]
#[case::no_model(demo_content(), "tokenizer.ggml.model", None)]
#[case::no_tokens(demo_content(), "tokenizer.ggml.tokens", None)]
#[case::no_merges(demo_content(), "tokenizer.ggml.merges", None)]
#[case::tokens_of_another_kind(demo_content(), "tokenizer.ggml.tokens", Some(Value::U32(1)))]
#[case::merge_without_space(demo_content(), "tokenizer.ggml.merges", Some(strings(&["ab"])))]
#[case::merge_of_no_tokens(demo_content(), "tokenizer.ggml.merges", Some(strings(&["zzzzzzzzzzzzzzzzz yyyyyyyyyyyyyyyyyyyyyyyyy"])))]
#[case::eos_outside(demo_content(), "tokenizer.ggml.eos_token_id", Some(Value::U32(1 << 20)))]
#[case::eos_negative(demo_content(), "tokenizer.ggml.eos_token_id", Some(Value::I32(-2)))]
#[case::types_of_another_kind(demo_content(), "tokenizer.ggml.token_type", Some(strings(&["x"])))]
#[case::template_of_another_kind(demo_content(), "tokenizer.chat_template", Some(Value::Bool(true)))]
#[case::no_scores(llama_content(), "tokenizer.ggml.scores", None)]
#[case::too_few_scores(llama_content(), "tokenizer.ggml.scores", Some(Value::Array(vec![Value::F32(0.0)])))]
fn metadata_that_does_not_fit_is_named(#[case] mut content: Content, #[case] key: &str, #[case] value: Option<Value>) {
    match value {
        Some(value) => drop(content.metadata.insert(key.to_owned(), value)),
        None => drop(content.metadata.remove(key)),
    }
    let error = TextModel::from_gguf(&content).unwrap_err();
    assert!(matches!(&error, TextError::Field { field, .. } if field == key), "{error}");
}

#[test]
fn a_kind_that_is_not_known_is_refused_with_those_that_are() {
    let error = TextModel::from_gguf(&with(demo_content(), "tokenizer.ggml.model", string("t5"))).unwrap_err();
    assert!(matches!(&error, TextError::Unknown { field: "tokenizer.ggml.model", .. }), "{error}");
    assert!(error.to_string().contains("gpt2"), "{error}");
}

#[rstest]
#[case::missing(None, "is missing")]
#[case::unknown(Some("nobody-1b"), "is \"nobody-1b\"")]
fn a_rule_that_is_not_known_is_told_by_the_vocabulary(#[case] rule: Option<&str>, #[case] note: &str) {
    let mut content = demo_content();
    content.metadata.remove("tokenizer.ggml.pre");
    if let Some(rule) = rule {
        content = with(content, "tokenizer.ggml.pre", string(rule));
    }
    let text = TextModel::from_gguf(&content).unwrap();
    let [found] = text.notes() else { panic!("{:?}", text.notes()) };
    assert!(found.contains(note) && found.contains("gpt-2"), "{found}");
    let more = [("tokenizer.ggml.tokens", string("<|vision_start|>")), ("tokenizer.ggml.token_type", Value::I32(3))];
    for (key, value) in more {
        let Some(Value::Array(list)) = content.metadata.get_mut(key) else { panic!() };
        list.push(value);
    }
    let found = TextModel::from_gguf(&content).unwrap().notes()[0].clone();
    assert!(found.contains("of the kind qwen2"), "{found}");
    assert!(TextModel::from_gguf(&demo_content()).unwrap().notes().is_empty());
}

#[test]
fn a_token_id_of_minus_one_is_none() {
    for none in [Value::I32(-1), Value::U32(u32::MAX)] {
        let content = with(demo_content(), "tokenizer.ggml.padding_token_id", none);
        TextModel::from_gguf(&content).unwrap();
    }
}

#[test]
fn a_template_that_does_not_parse_is_a_typed_error() {
    let content = with(demo_content(), "tokenizer.chat_template", string("{% for %}"));
    let error = TextModel::from_gguf(&content).unwrap_err();
    assert!(matches!(error, TextError::Template(TemplateError::Syntax(_))), "{error}");
}

#[rstest]
#[case::bytes(demo_content())]
#[case::sentence_piece(llama_content())]
#[case::sentence_piece_without_prefix(with(llama_content(), "tokenizer.ggml.add_space_prefix", Value::Bool(false)))]
#[case::that_can_merge_a_mark(mergeable())]
fn typed_marks_are_text_in_every_kind_of_vocabulary(#[case] content: Content) {
    let text = TextModel::from_gguf(&content).unwrap();
    typed_marks(&text).iter().for_each(|typed| check_typed_marks(&text, typed));
}

/// A vocabulary whose characters merge into the end token: `<`, `/`, `s>` and `</`.
fn mergeable() -> Content {
    let mut content = llama_content();
    let more = ["<", "/", "s", ">", "s>", "</"];
    for (key, values) in [
        ("tokenizer.ggml.tokens", more.map(string)),
        ("tokenizer.ggml.token_type", more.map(|_| Value::I32(1))),
        ("tokenizer.ggml.scores", more.map(|_| Value::F32(-1.0))),
    ] {
        let Some(Value::Array(list)) = content.metadata.get_mut(key) else { panic!() };
        list.extend(values);
    }
    content
}
