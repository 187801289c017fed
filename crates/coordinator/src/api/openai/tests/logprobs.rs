//! Log-probabilities in both forms.

use super::{
    chat, complete,
    fake::{Fake, Script, done, encode, text, token_event, tokens},
};
use crate::generate::FinishReason;
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn chats_report_tokens_with_bytes_and_alternatives() {
    let fake = Fake::new([]);
    let answer = chat(&fake, json!({"logprobs": true, "top_logprobs": 2})).await.json();
    let content = answer["choices"][0]["logprobs"]["content"].as_array().cloned().unwrap_or_default();
    let ids = encode("Tokyo.");
    assert_eq!(content.len(), ids.len());
    for (entry, id) in content.iter().zip(ids) {
        assert_eq!(entry["token"], text().token_text(id));
        assert_eq!(entry["bytes"], json!(text().token_bytes(id)));
        assert_eq!(entry["logprob"], -0.5);
        assert_eq!(entry["top_logprobs"].as_array().map(Vec::len), Some(2));
        assert_eq!(entry["top_logprobs"][0]["token"], text().token_text(100));
        assert_eq!(entry["top_logprobs"][1]["logprob"], -2.0);
    }
    assert_eq!(answer["choices"][0]["logprobs"]["refusal"], Value::Null);
    assert_eq!(fake.seen()[0].top_logprobs, 2);

    let answer = chat(&fake, json!({"logprobs": true})).await.json();
    assert_eq!(answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"], json!([]));
}

#[tokio::test]
async fn streamed_chats_report_every_token_once() {
    let fake = Fake::new([]);
    let events = chat(&fake, json!({"logprobs": true, "stream": true})).await.events();
    let reported: usize =
        events.iter().filter_map(|event| event["choices"][0]["logprobs"]["content"].as_array()).map(Vec::len).sum();
    assert_eq!(reported, encode("Tokyo.").len());
}

#[tokio::test]
async fn tokens_without_text_of_their_own_are_reported_too() {
    // the first byte of a character: its text comes with the second
    let mut events = vec![token_event(300, String::new(), 0), token_event(301, "é".to_owned(), 0)];
    events.push(done(FinishReason::Length, "", 1, 2));
    let fake = Fake::new([Script::Play(events.clone()), Script::Play(events)]);
    let with = chat(&fake, json!({"logprobs": true, "stream": true})).await.events();
    assert_eq!(with[1]["choices"][0]["delta"], json!({"content": ""}));
    assert_eq!(with[1]["choices"][0]["logprobs"]["content"].as_array().map(Vec::len), Some(1));
    let without = chat(&fake, json!({"stream": true})).await.events();
    assert_eq!(without[1]["choices"][0]["delta"], json!({"content": "é"}), "no chunk without news");
}

#[tokio::test]
async fn the_end_of_sequence_token_is_no_content() {
    let eos = text().eos()[0];
    let mut events = tokens("Tokyo", 0);
    let count = events.len();
    events.extend([token_event(eos, String::new(), 0), done(FinishReason::Stop, "", 1, count + 1)]);
    let fake = Fake::new([Script::Play(events.clone()), Script::Play(events)]);
    let answer = chat(&fake, json!({"logprobs": true})).await.json();
    assert_eq!(answer["choices"][0]["logprobs"]["content"].as_array().map(Vec::len), Some(count));
    assert_eq!(answer["usage"]["completion_tokens"], count + 1);
    let events = complete(&fake, json!({"logprobs": 0, "stream": true})).await.events();
    let chunks = events.iter().filter(|event| event["choices"][0]["logprobs"].is_object()).count();
    assert_eq!(chunks, count);
}

/// The name that a token has in completions.
fn name(bytes: &[u8]) -> String {
    let spelled_out = || bytes.iter().map(|byte| format!("\\x{byte:02x}"));
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| format!("bytes:{}", spelled_out().collect::<String>()))
}

#[tokio::test]
async fn completions_report_four_arrays() {
    let said = "Tōkyō is big";
    let fake = Fake::new([Script::Say(said, FinishReason::Length), Script::Say(said, FinishReason::Length)]);
    let answer = complete(&fake, json!({"logprobs": 2})).await.json();
    let logprobs = &answer["choices"][0]["logprobs"];
    let ids = encode(said);
    let names: Vec<_> = ids.iter().map(|&id| name(&text().token_bytes(id))).collect();
    assert_eq!(logprobs["tokens"], json!(names));
    assert!(names.iter().any(|name| name.starts_with("bytes:\\x")), "a token with a part of a character: {names:?}");
    assert_eq!(logprobs["token_logprobs"], json!(vec![-0.5; ids.len()]));
    let mut begins = 0;
    let offsets = ids.iter().map(|&id| {
        let here = begins;
        begins += text().token_bytes(id).iter().filter(|&&byte| (byte as i8) >= -64).count();
        here
    });
    assert_eq!(logprobs["text_offset"], json!(offsets.collect::<Vec<_>>()));
    assert_eq!(begins, said.chars().count());
    assert_eq!(logprobs["top_logprobs"][0].as_object().map(serde_json::Map::len), Some(3), "two, and the chosen one");
    assert_eq!(logprobs["top_logprobs"][0][&names[0]], -0.5);

    let events = complete(&fake, json!({"logprobs": 0, "stream": true})).await.events();
    let joined = |field: &str| -> Vec<Value> {
        let chunks = events.iter().filter_map(|event| event["choices"][0]["logprobs"][field].as_array());
        chunks.flatten().cloned().collect()
    };
    assert_eq!(json!(joined("text_offset")), logprobs["text_offset"]);
    assert_eq!(json!(joined("tokens")), logprobs["tokens"]);
}

#[tokio::test]
async fn impossible_requests_name_their_field() {
    let fake = Fake::new([]);
    for (more, param) in [
        (json!({"top_logprobs": 3}), "top_logprobs"),
        (json!({"top_logprobs": 21, "logprobs": true}), "top_logprobs"),
        (json!({"logprobs": 3}), "logprobs"),
    ] {
        let reply = chat(&fake, more.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{more}");
        assert_eq!(reply.json()["error"]["param"], param, "{more}");
    }
}
