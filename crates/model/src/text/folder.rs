//! The text side of a Hugging Face folder.

use super::{TextError, TextModel};
use crate::SamplingParams;
use crate::template::ChatTemplate;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use tokenizers::Tokenizer;

/// The special tokens that templates may name.
const NAMED_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

pub(super) fn read(folder: &Path) -> Result<TextModel, TextError> {
    let path = folder.join("tokenizer.json");
    let bytes = std::fs::read(&path).map_err(|source| TextError::Read { path, source })?;
    let mut tokenizer = parse(&bytes)?;
    // Settings left over from training; a prompt is never cut or filled up.
    tokenizer.with_truncation(None).map_err(TextError::Tokenizer)?;
    tokenizer.with_padding(None);

    let settings = json(folder, "tokenizer_config.json")?;
    let named = special_tokens(&settings, &json(folder, "special_tokens_map.json")?);
    let generation = json(folder, "generation_config.json")?;
    let mut eos = token_ids("generation_config.json: eos_token_id", &generation["eos_token_id"])?;
    if eos.is_empty() {
        eos = token_ids("config.json: eos_token_id", &json(folder, "config.json")?["eos_token_id"])?;
    }
    eos.extend(named.get("eos_token").and_then(|token| tokenizer.token_to_id(token)));
    eos.sort_unstable();
    eos.dedup();

    let template = template_source(folder, &settings)?.map(|source| ChatTemplate::new(&source, named)).transpose()?;
    let sampling = sampling(&generation)?;
    TextModel::new(tokenizer, template, eos, sampling)
}

/// The tokenizers library indexes past a buffer when a merge makes more than the longest token (0.23.2): a broken file
/// must not end the program.
fn parse(bytes: &[u8]) -> Result<Tokenizer, TextError> {
    let parsed = std::panic::catch_unwind(|| Tokenizer::from_bytes(bytes));
    parsed.unwrap_or_else(|_| Err("its merges do not fit its vocabulary".into())).map_err(TextError::Tokenizer)
}

/// A JSON file of the folder; null where there is none.
fn json(folder: &Path, name: &str) -> Result<Value, TextError> {
    let path = folder.join(name);
    match text(folder, name)? {
        Some(text) => serde_json::from_str(&text).map_err(|source| TextError::Json { path, source }),
        None => Ok(Value::Null),
    }
}

/// A text file of the folder, where it is.
fn text(folder: &Path, name: &str) -> Result<Option<String>, TextError> {
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TextError::Read { path, source }),
    }
}

/// The named special tokens, each a string or an object with a `content`; tokenizer_config.json counts first.
fn special_tokens(settings: &Value, map: &Value) -> BTreeMap<String, String> {
    let content = |token: &Value| token.as_str().or(token["content"].as_str()).map(str::to_owned);
    let named = |name: &str| content(&settings[name]).or_else(|| content(&map[name]));
    NAMED_TOKENS.iter().filter_map(|&name| Some((name.to_owned(), named(name)?))).collect()
}

/// One id, a list of ids, or nothing.
fn token_ids(field: &str, value: &Value) -> Result<Vec<u32>, TextError> {
    let wrong = || TextError::field(field, "a token id or a list of token ids");
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong);
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(ids) => ids.iter().map(id).collect(),
        one => Ok(vec![id(one)?]),
    }
}

/// The chat template: a file of its own, or a field of the settings, there also as a list by names.
fn template_source(folder: &Path, settings: &Value) -> Result<Option<String>, TextError> {
    if let Some(source) = text(folder, "chat_template.jinja")? {
        return Ok(Some(source));
    }
    let file = json(folder, "chat_template.json")?;
    let field = if file.is_null() { &settings["chat_template"] } else { &file["chat_template"] };
    let named_default = |list: &Vec<Value>| list.iter().find(|t| t["name"] == "default").map(|t| t["template"].clone());
    let source = field.as_array().map_or_else(|| Some(field.clone()), named_default).unwrap_or_default();
    match source {
        Value::Null => Ok(None),
        Value::String(source) => Ok(Some(source)),
        _ => Err(TextError::field("chat_template", "a string, or a list of templates by name")),
    }
}

/// What generation_config.json recommends, over the general defaults.
fn sampling(generation: &Value) -> Result<SamplingParams, TextError> {
    let number = |name: &str| match &generation[name] {
        Value::Null => Ok(None),
        value => {
            let wrong = || TextError::field(format!("generation_config.json: {name}"), "a number");
            value.as_f64().map(Some).ok_or_else(wrong)
        }
    };
    let mut params = SamplingParams::default();
    for (name, field) in [
        ("temperature", &mut params.temperature),
        ("top_p", &mut params.top_p),
        ("min_p", &mut params.min_p),
        ("repetition_penalty", &mut params.repetition_penalty),
    ] {
        if let Some(value) = number(name)? {
            *field = value as f32;
        }
    }
    params.top_k = number("top_k")?.map(|k| k as usize).filter(|&k| k > 0); // 0 says: all
    if generation["do_sample"] == false {
        params.temperature = 0.0;
    }
    params.validate(usize::MAX)?;
    Ok(params)
}
