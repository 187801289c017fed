//! The Responses API.

use super::{
    Reply,
    fake::{Fake, Script, text_of, tokens},
    post, post_request, read,
};
use crate::generate::{Event, FinishReason, GenerateError};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

const SAID: &str = "<think>\nHm.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \
    \"Rome\"}}\n</tool_call>";

fn body(more: &Value) -> Value {
    super::with(json!({"model": "thinks", "input": "Rome?"}), more)
}

async fn ask(fake: &Arc<Fake>, more: &Value) -> Reply {
    post(fake, "/v1/responses", &body(more)).await
}

fn tools() -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!([
        {"type": "function", "name": "weather", "description": "The weather.", "parameters": parameters, "strict": false},
        {"type": "local_shell"}, {"type": "web_search"}, {"type": "custom", "name": "apply_patch"},
    ])
}

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

#[tokio::test]
async fn a_response_has_its_items_in_order() {
    let fake = Fake::new([Script::Say(SAID, FinishReason::Stop)]);
    let more = json!({"tools": tools(), "instructions": "Be brief.", "reasoning": {"effort": "low"}, "metadata": {"a": "b"},
        "max_output_tokens": 50, "temperature": 0.5, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "x"});
    let response = ask(&fake, &more).await.json();
    assert!(response["id"].as_str().is_some_and(|id| id.starts_with("resp_")));
    assert_eq!((&response["object"], &response["status"]), (&json!("response"), &json!("completed")));
    assert_eq!((&response["instructions"], &response["metadata"]), (&json!("Be brief."), &json!({"a": "b"})));
    let [reasoning, message, call] = &response["output"].as_array().expect("items")[..] else { panic!("{response}") };
    assert_eq!(reasoning["content"], json!([{"type": "reasoning_text", "text": "Hm."}]));
    assert_eq!((&reasoning["type"], &reasoning["summary"]), (&json!("reasoning"), &json!([])));
    let text = json!([{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]);
    assert_eq!(
        (&message["type"], &message["role"], &message["content"]),
        (&json!("message"), &json!("assistant"), &text)
    );
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("weather")));
    assert_eq!(call["arguments"], "{\"city\": \"Rome\"}");
    assert!(call["call_id"].as_str().is_some_and(|id| id.starts_with("call_")));
    let usage = &response["usage"];
    assert_eq!(usage["input_tokens"], fake.seen()[0].prompt.len());
    assert!(usage["output_tokens_details"]["reasoning_tokens"].as_u64().is_some_and(|tokens| tokens > 2));
    let request = &fake.seen()[0];
    assert_eq!((request.max_tokens, request.sampling.temperature), (Some(50), 0.5));
    let prompt = text_of("thinks").decode(&request.prompt);
    assert!(prompt.contains("Be brief.") && prompt.contains("The weather.") && prompt.contains("Rome?"), "{prompt}");
    assert!(!prompt.contains("apply_patch"), "{prompt}");
}

#[tokio::test]
async fn a_stream_has_its_events_in_order() {
    let fake = Fake::new([Script::Say(SAID, FinishReason::Stop)]);
    let events = events(&ask(&fake, &json!({"tools": tools(), "stream": true})).await);
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    kinds.dedup();
    let text = |kind: &'static str, delta: &'static str, done: &'static str| {
        ["response.output_item.added", "response.content_part.added", delta, done, "response.content_part.done", kind]
    };
    let item = "response.output_item.done";
    let mut expected = vec!["response.created", "response.in_progress"];
    expected.extend(text(item, "response.reasoning_text.delta", "response.reasoning_text.done"));
    expected.extend(text(item, "response.output_text.delta", "response.output_text.done"));
    let arguments = ["response.function_call_arguments.delta", "response.function_call_arguments.done"];
    expected.extend(["response.output_item.added", arguments[0], arguments[1], item, "response.completed"]);
    assert_eq!(kinds, expected);
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    let last = &events[events.len() - 1]["response"];
    assert_eq!((&last["status"], last["output"].as_array().map(Vec::len)), (&json!("completed"), Some(3)));
    let done: Vec<&Value> = events.iter().filter(|event| event["type"] == item).map(|event| &event["item"]).collect();
    assert_eq!(json!(done), last["output"], "the items are those that were streamed");
    let deltas = |kind: &str| {
        let of_kind = events.iter().filter(|event| event["type"] == kind);
        of_kind.filter_map(|event| event["delta"].as_str()).collect::<String>()
    };
    assert_eq!(deltas("response.output_text.delta"), "I look.");
    assert_eq!(deltas("response.function_call_arguments.delta"), "{\"city\": \"Rome\"}");
}

#[tokio::test]
async fn a_conversation_goes_on_from_a_stored_response() {
    let fake = Fake::new([Script::Say(SAID, FinishReason::Stop), Script::Say("Sunny.", FinishReason::Stop)]);
    let app = super::app(&fake);
    let send = async |more: &Value| {
        let request = post_request("/v1/responses", body(more).to_string());
        read(app.clone().oneshot(request).await.expect("routers do not fail")).await
    };
    let first = send(&json!({"tools": tools(), "instructions": "Once."})).await.json();
    let call = first["output"][2]["call_id"].clone();
    let output = json!([{"type": "function_call_output", "call_id": call, "output": "sunny"}]);
    let second = send(&json!({"previous_response_id": first["id"], "input": output, "tools": tools()})).await.json();
    assert_eq!(second["previous_response_id"], first["id"]);
    let third = send(&json!({"previous_response_id": second["id"], "input": "Thanks.", "store": false})).await.json();
    let prompts: Vec<String> = fake.seen().iter().map(|seen| text_of("thinks").decode(&seen.prompt)).collect();
    for part in ["Rome?", "I look.", "{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}", "sunny"] {
        assert!(prompts[1].contains(part), "{part} is not in {}", prompts[1]);
    }
    assert!(!prompts[1].contains("Once."), "instructions are not carried on");
    assert!(prompts[2].contains("Rome?") && prompts[2].contains("Sunny.") && prompts[2].contains("Thanks."));
    for lost in [&third["id"], &json!("resp_0")] {
        let reply = send(&json!({"previous_response_id": lost})).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(reply.json()["error"]["code"], "previous_response_not_found");
        assert_eq!(reply.json()["error"]["param"], "previous_response_id");
    }
}

#[tokio::test]
async fn a_conversation_may_be_given_as_items() {
    let fake = Fake::new([]);
    let input = json!([
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"role": "user", "content": "Rome?"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Rome\"}"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "sunny"}]},
    ]);
    let reply = ask(&fake, &json!({"input": input, "tools": tools()})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let prompt = text_of("thinks").decode(&fake.seen()[0].prompt);
    let expected = ["Be brief.", "Rome?", "Hm.", "I look.", "{\"name\": \"weather\"", "sunny"];
    let places: Vec<Option<usize>> = expected.iter().map(|part| prompt.rfind(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} {prompt}");
}

#[tokio::test]
async fn endings_and_errors() {
    let fake = Fake::new([Script::Say("It is", FinishReason::Length)]);
    let response = ask(&fake, &json!({})).await.json();
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));

    let mut script = tokens("Rome", 0);
    script.push(Event::Failed(GenerateError::PipelineLost { delivered: 1 }));
    let fake = Fake::new([Script::Play(script)]);
    let events = events(&ask(&fake, &json!({"stream": true})).await);
    let last = events.last().expect("events");
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert_eq!(last["response"]["error"]["code"], "pipeline_lost");

    for (more, param) in [
        (json!({"background": true}), "background"),
        (json!({"conversation": "conv_1"}), "conversation"),
        (json!({"prompt": {"id": "pmpt_1"}}), "prompt"),
        (json!({"input": []}), "input"),
        (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input[0].type"),
        (json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}), "input[0].content[0].type"),
        (json!({"tool_choice": {"type": "function", "name": "nobody"}}), "tool_choice"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
    ] {
        let fake = Fake::new([]);
        let reply = ask(&fake, &more).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{more}: {}", reply.text);
        assert_eq!(reply.json()["error"]["param"], param, "{more}");
        assert!(fake.seen().is_empty());
    }
}
