//! Chats, whole and streamed.

use super::{
    chat, chat_body,
    fake::{Fake, Script, done, encode, text, tokens},
    post,
};
use crate::generate::FinishReason;
use axum::http::StatusCode;
use gogrid_model::ChatMessage;
use serde_json::{Value, json};

/// The content that a stream's chunks add to a choice.
fn streamed_text(events: &[Value], choice: usize) -> String {
    let deltas = events.iter().filter_map(|event| event["choices"].get(0)).filter(|c| c["index"] == choice);
    deltas.filter_map(|choice| choice["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn a_whole_answer_has_openai_form() {
    let fake = Fake::new([]);
    let reply = chat(&fake, json!({})).await;
    assert_eq!(reply.status, StatusCode::OK);
    let answer = reply.json();
    assert!(answer["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "demo");
    assert!(answer["created"].as_u64().is_some_and(|created| created > 1_700_000_000));
    assert!(answer["system_fingerprint"].is_string());
    let choice = json!({
        "index": 0,
        "message": {"role": "assistant", "content": "Tokyo.", "refusal": null},
        "logprobs": null,
        "finish_reason": "stop",
    });
    assert_eq!(answer["choices"], json!([choice]));
    let (prompt, completion) = (fake.seen()[0].prompt.len(), encode("Tokyo.").len());
    let usage = json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
    });
    assert_eq!(answer["usage"], usage);
}

#[tokio::test]
async fn the_prompt_is_the_rendered_chat() {
    let fake = Fake::new([]);
    let messages = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "2+2?"}]},
        {"role": "assistant", "content": "4", "refusal": null},
        {"role": "user", "content": "And 3+3?", "name": "Ada"},
    ]);
    let reply = chat(&fake, json!({"messages": messages})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let messages = [("system", "Be brief."), ("user", "What is 2+2?"), ("assistant", "4"), ("user", "And 3+3?")];
    let prompt = text().chat(&messages.map(|(role, content)| ChatMessage::new(role, content)), true);
    assert_eq!(fake.seen()[0].prompt, encode(&prompt.expect("the template renders")));
}

#[tokio::test]
async fn the_prompt_ends_as_the_request_says() {
    let fake = Fake::new([]);
    let messages = json!([{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "It is "}]);
    for end in [json!({"continue_final_message": true}), json!({"add_generation_prompt": false})] {
        let mut body = json!({"messages": messages});
        body.as_object_mut().expect("an object").extend(end.as_object().expect("an object").clone());
        let reply = chat(&fake, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    }
    let chat = [ChatMessage::new("user", "2+2?"), ChatMessage::new("assistant", "It is ")];
    let whole = text().chat(&chat, false).expect("the template renders");
    let (continued, _) = whole.rsplit_once("It is ").expect("the template shows the answer");
    let seen = fake.seen();
    assert_eq!(seen[0].prompt, encode(&format!("{continued}It is ")));
    assert!(seen[0].continues);
    assert_eq!(seen[1].prompt, encode(&whole));
    assert!(!seen[1].continues);
}

#[tokio::test]
async fn variables_for_the_template_are_checked() {
    let fake = Fake::new([]);
    let said = json!([{"role": "user", "content": "a"}]);
    for (fields, param) in [
        (json!({"chat_template_kwargs": {"messages": []}}), "chat_template_kwargs.messages"),
        (json!({"chat_template_kwargs": {"eos_token": "x"}}), "chat_template_kwargs.eos_token"),
        (json!({"chat_template_kwargs": {"a b": 1}}), "chat_template_kwargs.a b"),
        (json!({"chat_template_kwargs": {"a": "x".repeat(20_000)}}), "chat_template_kwargs"),
        (json!({"chat_template_kwargs": [1]}), "chat_template_kwargs"),
        (json!({"reasoning_effort": "huge"}), "reasoning_effort"),
        (json!({"continue_final_message": true, "messages": said}), "continue_final_message"),
        (json!({"continue_final_message": true, "add_generation_prompt": true}), "continue_final_message"),
    ] {
        let reply = chat(&fake, fields.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{fields}");
        assert_eq!(reply.json()["error"]["param"], param, "{fields}");
    }
    assert!(fake.seen().is_empty(), "nothing was queued");
    let fields = json!({"chat_template_kwargs": {"enable_thinking": false}, "reasoning_effort": "low"});
    assert_eq!(chat(&fake, fields).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_stream_has_openai_form() {
    let fake = Fake::new([]);
    let events = chat(&fake, json!({"stream": true})).await.events();
    let (done, chunks) = events.split_last().expect("events");
    assert_eq!(done, "[DONE]");
    for chunk in chunks {
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], "demo");
        assert_eq!(chunk.get("usage"), None, "usage was not asked for");
        assert_eq!(chunk["choices"][0]["logprobs"], Value::Null);
    }
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(chunks[0]["choices"][0]["finish_reason"], Value::Null);
    let last = chunks.last().expect("chunks");
    assert_eq!(last["choices"][0]["delta"], json!({}));
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(streamed_text(chunks, 0), "Tokyo.");
}

#[tokio::test]
async fn include_usage_adds_a_last_chunk() {
    let fake = Fake::new([]);
    let events = chat(&fake, json!({"stream": true, "stream_options": {"include_usage": true}})).await.events();
    let [before @ .., last, done] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(done, "[DONE]");
    assert!(before.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], encode("Tokyo.").len());
    assert_eq!(last["usage"]["prompt_tokens"], fake.seen()[0].prompt.len());
}

#[tokio::test]
async fn choices_come_side_by_side_and_the_prompt_counts_once() {
    let scripts = || {
        [
            Script::Say("Tokyo is the capital", FinishReason::Stop),
            Script::Say("Kyoto was it once", FinishReason::Length),
        ]
    };
    let fake = Fake::new(scripts());
    let answer = chat(&fake, json!({"n": 2})).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "Tokyo is the capital");
    assert_eq!(answer["choices"][1]["message"]["content"], "Kyoto was it once");
    assert_eq!(answer["choices"][1]["index"], 1);
    assert_eq!(answer["choices"][1]["finish_reason"], "length");
    assert_eq!(answer["usage"]["prompt_tokens"], fake.seen()[0].prompt.len());
    let both = encode("Tokyo is the capital").len() + encode("Kyoto was it once").len();
    assert_eq!(answer["usage"]["completion_tokens"], both);

    let fake = Fake::new(scripts());
    let events = chat(&fake, json!({"n": 2, "stream": true})).await.events();
    assert_eq!(streamed_text(&events, 0), "Tokyo is the capital");
    assert_eq!(streamed_text(&events, 1), "Kyoto was it once");
    let reasons: Vec<_> = events.iter().filter_map(|event| event["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(reasons.len(), 2);
    let indices: Vec<_> = events.iter().filter_map(|event| event["choices"][0]["index"].as_u64()).collect();
    let turns = indices.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns > 2, "one answer after the other: {indices:?}");
}

#[tokio::test]
async fn held_back_text_comes_before_the_end() {
    let mut events = tokens("Tokyo", 0);
    let count = events.len();
    events.push(done(FinishReason::Length, " \u{fffd}", 3, count));
    let fake = Fake::new([Script::Play(events.clone()), Script::Play(events)]);
    let answer = chat(&fake, json!({})).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "Tokyo \u{fffd}");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    let events = chat(&fake, json!({"stream": true})).await.events();
    assert_eq!(streamed_text(&events, 0), "Tokyo \u{fffd}");
}

#[tokio::test]
async fn fields_that_change_nothing_are_accepted() {
    let fake = Fake::new([]);
    let more = json!({
        "user": "me", "metadata": {"a": "b"}, "store": false, "service_tier": "auto", "parallel_tool_calls": true,
        "response_format": {"type": "text"}, "tools": [], "tool_choice": "none", "modalities": ["text"], "audio": null,
        "logit_bias": null, "stop": null, "seed": null, "n": null, "functions": null, "prediction": null, "new": 1,
        "stream_options": null, "reasoning_effort": "low", "temperature": null, "max_tokens": null,
    });
    let reply = chat(&fake, more).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
}

#[tokio::test]
async fn features_that_are_missing_are_refused_by_name() {
    let fake = Fake::new([]);
    for (field, value) in [
        ("functions", json!([{"name": "f"}])),
        ("function_call", json!({"name": "f"})),
        ("modalities", json!(["text", "audio"])),
        ("audio", json!({"voice": "x"})),
        ("web_search_options", json!({"search_context_size": "low"})),
        ("stop_token_ids", json!([1])),
        ("min_tokens", json!(5)),
    ] {
        let reply = chat(&fake, json!({field: value})).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{field}");
        assert_eq!(reply.json()["error"]["param"], field);
        assert_eq!(reply.json()["error"]["code"], "unsupported_parameter");
    }
}

#[tokio::test]
async fn messages_are_refused_by_their_place() {
    let fake = Fake::new([]);
    let image = json!([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "x"}}]);
    for (messages, param) in [
        (json!([]), "messages"),
        (json!([{"role": "user", "content": null}]), "messages[0].content"),
        (json!([{"role": "user"}]), "messages[0].content"),
        (json!([{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]), "messages[1].tool_call_id"),
        (json!([{"role": "narrator", "content": "b"}]), "messages[0].role"),
        (json!([{"role": "user", "content": image}]), "messages[0].content[1].type"),
        (json!([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0].text"),
        (json!([{"role": "assistant", "tool_calls": [{"id": "1"}]}]), "messages[0].tool_calls[0].function"),
        (
            json!([{"role": "user", "content": "a", "tool_calls": [{"id": "1", "function": {"name": "f",
            "arguments": ""}}]}]),
            "messages[0].tool_calls",
        ),
    ] {
        let reply = post(&fake, "/v1/chat/completions", &chat_body(&json!({"messages": messages}))).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{messages}");
        assert_eq!(reply.json()["error"]["param"], param, "{messages}");
        assert!(reply.json()["error"]["message"].as_str().is_some_and(|message| message.contains(param)));
    }
    assert!(fake.seen().is_empty(), "nothing was queued");
}
