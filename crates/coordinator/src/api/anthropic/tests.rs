//! The Messages API against a service that plays scripts.

use crate::{
    api::openai::tests::{
        Reply,
        fake::{Fake, Script, text_of, tokens},
        post, post_request, send,
    },
    generate::{Completion, Event, FinishReason, GenerateError},
};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

fn body(more: &Value) -> Value {
    let mut body = json!({"model": "thinks", "max_tokens": 100, "messages": [{"role": "user", "content": "Rome?"}]});
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    body
}

async fn ask(fake: &Arc<Fake>, more: &Value) -> Reply {
    post(fake, "/v1/messages", &body(more)).await
}

fn tools() -> Value {
    json!([
        {"name": "weather", "description": "The weather.", "input_schema": {"type": "object",
            "properties": {"city": {"type": "string"}}}, "cache_control": {"type": "ephemeral"}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    ])
}

/// The events of a stream, whose names are their types.
fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let event = |text: &str| {
        let (name, data) = text.strip_prefix("event: ").and_then(|text| text.split_once("\ndata: ")).expect("both");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(data["type"], name);
        data
    };
    reply.text.split_terminator("\n\n").map(event).collect()
}

const SAID: &str = "<think>\nHm.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \
    \"Rome\"}}\n</tool_call>";

#[tokio::test]
async fn a_message_has_its_blocks_in_order() {
    let fake = Fake::new([Script::Say(SAID, FinishReason::Stop)]);
    let reply = ask(&fake, &json!({"tools": tools()})).await;
    assert!(reply.headers["request-id"].to_str().is_ok_and(|id| id.starts_with("req-")));
    let message = reply.json();
    assert!(message["id"].as_str().is_some_and(|id| id.starts_with("msg_")));
    assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!((&message["model"], &message["stop_sequence"]), (&json!("thinks"), &Value::Null));
    assert_eq!(message["stop_reason"], "tool_use");
    let [thinking, text, call] = &message["content"].as_array().expect("blocks")[..] else { panic!("{message}") };
    assert_eq!(thinking, &json!({"type": "thinking", "thinking": "Hm.", "signature": ""}));
    assert_eq!(text, &json!({"type": "text", "text": "I look."}));
    assert!(call["id"].as_str().is_some_and(|id| id.starts_with("toolu_")));
    assert_eq!((&call["name"], &call["input"]), (&json!("weather"), &json!({"city": "Rome"})));
    assert_eq!(message["usage"]["input_tokens"], fake.seen()[0].prompt.len());
    assert!(message["usage"]["output_tokens"].as_u64().is_some_and(|tokens| tokens > 10));
    let prompt = text_of("thinks").decode(&fake.seen()[0].prompt);
    assert!(prompt.contains("The weather.") && !prompt.contains("web_search"), "{prompt}");
}

#[tokio::test]
async fn a_stream_has_its_events_in_order() {
    let fake = Fake::new([Script::Say(SAID, FinishReason::Stop)]);
    let events = events(&ask(&fake, &json!({"tools": tools(), "stream": true})).await);
    let mut kinds: Vec<&str> = Vec::new();
    for event in &events {
        let kind = event["delta"]["type"].as_str().or(event["type"].as_str()).expect("a type");
        if kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
    }
    let expected = [
        "message_start",
        "ping",
        "content_block_start",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "content_block_stop",
        "content_block_start",
        "input_json_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds, expected);
    let start = &events[0]["message"];
    assert_eq!((&start["content"], &start["stop_reason"]), (&json!([]), &Value::Null));
    assert_eq!(start["usage"]["input_tokens"], fake.seen()[0].prompt.len());
    let added = |field: &str| events.iter().filter_map(|event| event["delta"][field].as_str()).collect::<String>();
    assert_eq!((added("thinking"), added("text")), ("Hm.".to_owned(), "I look.".to_owned()));
    assert_eq!(added("partial_json"), "{\"city\": \"Rome\"}");
    let starts: Vec<&Value> = events.iter().filter(|event| event["type"] == "content_block_start").collect();
    assert_eq!(starts.iter().map(|start| start["index"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    assert_eq!(
        (&starts[2]["content_block"]["name"], &starts[2]["content_block"]["input"]),
        (&json!("weather"), &json!({}))
    );
    let end = &events[events.len() - 2];
    assert_eq!(end["delta"], json!({"stop_reason": "tool_use", "stop_sequence": null}));
    assert!(end["usage"]["output_tokens"].as_u64().is_some_and(|tokens| tokens > 10));
}

#[tokio::test]
async fn endings_have_anthropics_words() {
    let completion = |stop: Option<&str>, reason| {
        let stop = stop.map(str::to_owned);
        Event::Done(Completion {
            reason,
            text: String::new(),
            stop,
            prompt_tokens: 3,
            completion_tokens: 1,
            cached_tokens: 0,
        })
    };
    for (end, reason, sequence) in [
        (completion(None, FinishReason::Stop), "end_turn", Value::Null),
        (completion(Some("END"), FinishReason::Stop), "stop_sequence", json!("END")),
        (completion(None, FinishReason::Length), "max_tokens", Value::Null),
    ] {
        let mut events = tokens("Rome", 0);
        events.push(end);
        let fake = Fake::new([Script::Play(events)]);
        let message = ask(&fake, &json!({"stop_sequences": ["END"], "temperature": 0.5, "top_k": 5})).await.json();
        assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!(reason), &sequence));
        let request = &fake.seen()[0];
        assert_eq!((&request.stop, request.max_tokens), (&vec!["END".to_owned()], Some(100)));
        assert_eq!((request.sampling.temperature, request.sampling.top_k), (0.5, Some(5)));
    }
}

#[tokio::test]
async fn a_conversation_goes_through_the_template() {
    let fake = Fake::new([]);
    let billing = json!({"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=deadbeef"});
    let system = json!([billing, {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be kind."}]);
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "Rome?"}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "sunny"}]},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "gone", "is_error": true},
            {"type": "text", "text": "And now?"},
        ]},
    ]);
    let more = json!({"system": system, "messages": messages, "tools": tools(), "metadata": {"user_id": "x"},
        "thinking": {"type": "disabled"}, "context_management": {"edits": []}, "betas": ["new"]});
    let reply = ask(&fake, &more).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let prompt = text_of("thinks").decode(&fake.seen()[0].prompt);
    let expected = [
        "Be brief.\n\nBe kind.",
        "Rome?",
        "<think>\nHm.\n</think>",
        "I look.",
        "{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}",
        "<tool_response>\nsunny\n",
        "Error: gone",
        "And now?",
        "<think>\n\n</think>",
    ];
    let places: Vec<Option<usize>> = expected.iter().map(|part| prompt.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} {prompt}");
    assert!(!prompt.contains("billing"), "{prompt}");

    let count = post(&fake, "/v1/messages/count_tokens", &body(&more)).await.json();
    assert_eq!(count, json!({"input_tokens": fake.seen()[0].prompt.len()}));
    assert_eq!(fake.seen().len(), 1, "counting asks nobody");
}

#[tokio::test]
async fn thinking_and_choices_reach_the_router() {
    let fake = Fake::new([]);
    let thinking = json!({"type": "enabled", "budget_tokens": 50});
    assert_eq!(ask(&fake, &json!({"thinking": thinking})).await.status, StatusCode::OK);
    assert_eq!(fake.seen()[0].reasoning.as_ref().map(|reasoning| reasoning.max_tokens), Some(50));
    assert_eq!(ask(&fake, &json!({"thinking": thinking, "model": "demo"})).await.status, StatusCode::OK);
    assert_eq!(fake.seen()[1].reasoning, None, "the model does not think");
    for (choice, field) in [(json!({"type": "any"}), Some("tool_choice")), (json!({"type": "auto"}), None)] {
        let fake = Fake::new([]);
        assert_eq!(ask(&fake, &json!({"tools": tools(), "tool_choice": choice})).await.status, StatusCode::OK);
        let constraint = fake.seen()[0].constraint.clone();
        assert_eq!(constraint.as_ref().map(|constraint| constraint.field.as_str()), field);
    }
    let prefill = json!([{"role": "user", "content": "Rome?"}, {"role": "assistant", "content": "It is "}]);
    assert_eq!(ask(&fake, &json!({"messages": prefill})).await.status, StatusCode::OK);
    assert!(fake.seen()[2].continues, "the answer goes on from the assistant's message");
}

#[tokio::test]
async fn errors_are_anthropics() {
    let full = GenerateError::QueueFull { waiting: 3, retry_after: Duration::from_secs(2) };
    let image = json!([{"role": "user", "content": [{"type": "image", "source": {}}]}]);
    for (script, more, status, kind, said) in [
        (None, json!({"max_tokens": null}), 400, "invalid_request_error", "max_tokens"),
        (None, json!({"messages": []}), 400, "invalid_request_error", "messages"),
        (None, json!({"messages": image}), 400, "invalid_request_error", "messages.0.content.0.type"),
        (None, json!({"thinking": {"type": "deep"}}), 400, "invalid_request_error", "thinking.type"),
        (None, json!({"tool_choice": {"type": "tool", "name": "f"}}), 400, "invalid_request_error", "'f'"),
        (None, json!({"model": "nobody"}), 404, "not_found_error", "nobody"),
        (None, json!({"model": "sleepy"}), 529, "overloaded_error", "not ready"),
        (Some(full), json!({}), 429, "rate_limit_error", "queue"),
        (Some(GenerateError::Stage { message: "secret".into() }), json!({}), 500, "api_error", "log"),
    ] {
        let fake = Fake::new(script.map(Script::Refuse));
        let reply = ask(&fake, &more).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text);
        let error = reply.json();
        assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!(kind)), "{error}");
        assert!(error["error"]["message"].as_str().is_some_and(|message| message.contains(said)), "{error}");
        assert_eq!(error["request_id"], reply.headers["request-id"].to_str().expect("text"));
    }
    let broken = send(&Fake::new([]), post_request("/v1/messages", "{")).await;
    assert_eq!(broken.json()["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn an_error_in_the_middle_is_the_last_event() {
    let mut script = tokens("Rome", 0);
    script.push(Event::Failed(GenerateError::PipelineLost { delivered: 1 }));
    let fake = Fake::new([Script::Play(script)]);
    let events = events(&ask(&fake, &json!({"stream": true})).await);
    let last = events.last().expect("events");
    assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("overloaded_error")));
}
