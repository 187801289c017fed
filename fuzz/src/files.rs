//! Models' files from elsewhere.

use gogrid_model::{ChatMessage, ModelConfig, Source, TextModel};
use std::{fs, path::Path};
use tempfile::TempDir;

/// Tokens that a text may be encoded to: those of a small context.
const CONTEXT: usize = 512;
const CONFIG: &[u8] = include_bytes!("../../crates/cli/assets/demo-model/config.json");
const TOKENIZER: &[u8] = include_bytes!("../../crates/cli/assets/demo-model/tokenizer.json");

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> Option<TempDir> {
    let folder = tempfile::tempdir().ok()?;
    files.iter().try_for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes)).ok()?;
    Some(folder)
}

/// A model's description.
pub(crate) fn config_json(data: &[u8]) {
    let Ok(config) = serde_json::from_slice(data) else { return };
    if let Ok(config) = ModelConfig::from_hf(&config, None) {
        assert!(config.validate().is_ok(), "what is read is valid: {config:?}");
    }
}

pub(crate) fn configs() -> Vec<Vec<u8>> {
    vec![CONFIG.to_vec()]
}

/// The file of tensors beside the demo model's description.
pub(crate) fn safetensors(data: &[u8]) {
    let Some(folder) = folder(&[("config.json", CONFIG), ("model.safetensors", data)]) else { return };
    opened(folder.path());
}

pub(crate) fn safetensors_files() -> Vec<Vec<u8>> {
    // The demo model's tensors by name, all zeros, would be large; a header with two of them begins well.
    let header = br#"{"model.norm.weight":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},"model.embed_tokens.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]}}"#;
    vec![[&(header.len() as u64).to_le_bytes()[..], header, &[0; 24]].concat()]
}

/// A GGUF file: description, tensors, tokenizer and template.
pub(crate) fn gguf(data: &[u8]) {
    let Some(folder) = folder(&[("model.gguf", data)]) else { return };
    opened(&folder.path().join("model.gguf"));
}

pub(crate) fn gguf_files() -> Vec<Vec<u8>> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let pair = |key: &str, kind: u32, value: &[u8]| [&text(key), &kind.to_le_bytes()[..], value].concat();
    let pairs = [
        pair("general.architecture", 8, &text("llama")),
        pair("llama.block_count", 4, &1u32.to_le_bytes()),
        pair("llama.embedding_length", 4, &4u32.to_le_bytes()),
        pair("llama.attention.head_count", 4, &1u32.to_le_bytes()),
        pair("llama.attention.layer_norm_rms_epsilon", 6, &1e-5f32.to_le_bytes()),
        pair(
            "tokenizer.ggml.tokens",
            9,
            &[&8u32.to_le_bytes()[..], &2u64.to_le_bytes(), &text("a"), &text("b")].concat(),
        ),
    ];
    let tensor = [
        &text("output_norm.weight")[..],
        &1u32.to_le_bytes(),
        &4u64.to_le_bytes(),
        &0u32.to_le_bytes(),
        &0u64.to_le_bytes(),
    ];
    let start = [b"GGUF", &3u32.to_le_bytes()[..], &1u64.to_le_bytes(), &(pairs.len() as u64).to_le_bytes()].concat();
    vec![[start, pairs.concat(), tensor.concat(), vec![0; 64]].concat()]
}

fn opened(path: &Path) {
    if let Ok(source) = Source::open(path) {
        if let Ok(manifest) = source.manifest() {
            assert!(manifest.validate().is_ok());
        }
        if let Ok(text) = source.text() {
            texts(&text);
        }
    }
}

/// A tokenizer beside the demo model's description.
pub(crate) fn tokenizer_json(data: &[u8]) {
    let Some(folder) = folder(&[("config.json", CONFIG), ("tokenizer.json", data)]) else { return };
    if let Ok(text) = TextModel::from_hf_folder(folder.path()) {
        texts(&text);
    }
}

pub(crate) fn tokenizers() -> Vec<Vec<u8>> {
    let small = br#"{"version":"1.0","added_tokens":[{"id":2,"content":"<s>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}],"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"String":" "},"content":"_"}]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":null,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":3},"merges":["a b"]}}"#;
    vec![small.to_vec()]
}

/// A chat template beside the demo model's tokenizer.
pub(crate) fn template(data: &[u8]) {
    let files = [("config.json", CONFIG), ("tokenizer.json", TOKENIZER), ("chat_template.jinja", data)];
    let Some(folder) = folder(&files) else { return };
    if let Ok(text) = TextModel::from_hf_folder(folder.path()) {
        // What `model add` tries, and what a request asks.
        drop(text.try_template());
        drop(text.chat(&[ChatMessage::new("user", "What is 2 + 2?")], true));
    }
}

pub(crate) fn templates() -> Vec<Vec<u8>> {
    [
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        "{%- macro show(x) %}{{ x | tojson }}{% endmacro %}{% set ns = namespace(n=0) %}{% for m in messages[1:] %}{% set ns.n = ns.n + 1 %}{{ show(m) }}{% endfor %}{{ raise_exception('no') if ns.n > 3 }}",
        "{% set x = 'ab' * 100 %}{% for i in range(20) %}{% set x = x ~ x %}{% endfor %}{{ x[:9] | upper | trim }}",
        "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | join(', ') }}",
    ]
    .map(|template| template.as_bytes().to_vec())
    .into()
}

fn texts(text: &TextModel) {
    for sample in ["", "a", "What is 2 + 2?", "<s>\u{1f600} \0 ß", "ab ab ab"] {
        if let Ok(tokens) = text.encode_for(CONTEXT, sample, true) {
            drop(text.decode(&tokens));
        }
    }
    drop(text.try_template());
    (0..4).for_each(|token| drop((text.token_bytes(token), text.is_special(token))));
}
