//! Reasoning, apart from what is said.

use super::{
    chat_body,
    fake::{Fake, Script, text_of},
    post,
};
use crate::{chat::ReasoningBudget, constraint::Start, generate::FinishReason};
use axum::http::StatusCode;
use gogrid_model::ChatMessage;
use serde_json::{Value, json};
use std::sync::Arc;

async fn ask(fake: &Arc<Fake>, model: &str, more: Value) -> super::Reply {
    let mut body = chat_body(&more);
    body["model"] = model.into();
    post(fake, "/v1/chat/completions", &body).await
}

/// What a stream's deltas add to a field.
fn streamed(events: &[Value], field: &str) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"][field].as_str()).collect()
}

#[tokio::test]
async fn reasoning_comes_apart_from_the_content() {
    for (model, said) in [
        ("thinks", "<think>\nIt is Tokyo, I think.\n</think>\n\nTokyo."),
        (
            "channels",
            "<|channel|>analysis<|message|>It is Tokyo, I think.<|end|><|start|>assistant<|channel|>final<|message|>Tokyo.",
        ),
    ] {
        let scripts = [Script::Say(said, FinishReason::Stop), Script::Say(said, FinishReason::Stop)];
        let fake = Fake::new(scripts);
        let answer = ask(&fake, model, json!({})).await.json();
        let message = json!({
            "role": "assistant", "content": "Tokyo.", "reasoning_content": "It is Tokyo, I think.",
            "reasoning": "It is Tokyo, I think.", "refusal": null,
        });
        assert_eq!(answer["choices"][0]["message"], message, "{model}");
        let (usage, tokens) = (&answer["usage"], answer["usage"]["completion_tokens"].as_u64().expect("a number"));
        let reasoning = usage["completion_tokens_details"]["reasoning_tokens"].as_u64().expect("a number");
        assert!(reasoning > 5 && reasoning < tokens, "{usage}");

        let stream = json!({"stream": true, "stream_options": {"include_usage": true}});
        let events = ask(&fake, model, stream).await.events();
        assert_eq!(streamed(&events, "content"), "Tokyo.", "{model}");
        assert_eq!(streamed(&events, "reasoning_content"), "It is Tokyo, I think.");
        assert_eq!(streamed(&events, "reasoning"), "It is Tokyo, I think.");
        let usage = &events[events.len() - 2]["usage"];
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], reasoning);
        let first = |field: &str| {
            let said =
                |event: &Value| event["choices"][0]["delta"][field].as_str().is_some_and(|text| !text.is_empty());
            events.iter().position(said).expect("it is said")
        };
        assert!(first("reasoning_content") < first("content"), "the thought comes first");
        let deltas = events.iter().filter_map(|event| event["choices"][0]["delta"].as_object());
        assert!(deltas.filter(|delta| !delta.is_empty()).all(|delta| delta["content"].is_string()));
    }
}

#[tokio::test]
async fn a_prompt_that_opens_or_closes_the_reasoning_is_seen() {
    let opened = json!({"chat_template_kwargs": {"always_thinks": true}});
    let closed = json!({"chat_template_kwargs": {"enable_thinking": false}});
    let fake = Fake::new([
        Script::Say("Hm.\n</think>\nTokyo.", FinishReason::Stop),
        Script::Say("<think> is a mark.", FinishReason::Stop),
        Script::Say("It is ", FinishReason::Length),
    ]);
    let message = ask(&fake, "thinks", opened.clone()).await.json()["choices"][0]["message"].clone();
    assert_eq!((&message["reasoning_content"], &message["content"]), (&json!("Hm."), &json!("Tokyo.")));
    let message = ask(&fake, "thinks", closed).await.json()["choices"][0]["message"].clone();
    assert_eq!((message.get("reasoning_content"), &message["content"]), (None, &json!("<think> is a mark.")));
    let answer = ask(&fake, "thinks", opened).await.json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["reasoning_content"], "It is");
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!(""), &json!("length")));
}

#[tokio::test]
async fn earlier_reasoning_goes_to_the_template() {
    let fake = Fake::new([]);
    for field in ["reasoning_content", "reasoning"] {
        let messages = json!([
            {"role": "user", "content": "Japan?"}, {"role": "assistant", "content": "Tokyo.", field: "An island."},
            {"role": "user", "content": "Sure?"},
        ]);
        assert_eq!(ask(&fake, "thinks", json!({"messages": messages})).await.status, StatusCode::OK);
    }
    let mut answer = ChatMessage::new("assistant", "Tokyo.");
    answer.fields.insert("reasoning_content".into(), "An island.".into());
    let chat = [ChatMessage::new("user", "Japan?"), answer, ChatMessage::new("user", "Sure?")];
    let text = text_of("thinks");
    let prompt = text.chat(&chat, true).expect("it renders");
    assert!(prompt.contains("<think>\nAn island.\n</think>"));
    for request in fake.seen() {
        assert_eq!(request.prompt, text.encode(&prompt, false).expect("encoded"));
    }
}

#[tokio::test]
async fn a_bound_on_reasoning_goes_to_the_router() {
    let fake = Fake::new([]);
    let opened = json!({"max_reasoning_tokens": 7, "chat_template_kwargs": {"always_thinks": true}});
    assert_eq!(ask(&fake, "thinks", opened).await.status, StatusCode::OK);
    assert_eq!(ask(&fake, "channels", json!({"max_reasoning_tokens": 0})).await.status, StatusCode::OK);
    let [thinks, channels] = &fake.seen()[..] else { panic!("two requests") };
    let encode = |model: &str, text: &str| text_of(model).encode(text, false).expect("encoded");
    let expected = ReasoningBudget {
        open: "<think>".into(),
        close: "</think>".into(),
        is_open: true,
        max_tokens: 7,
        closing: encode("thinks", "\n</think>\n\n"),
    };
    assert_eq!(thinks.reasoning, Some(expected));
    let closing = encode("channels", "<|end|><|start|>assistant<|channel|>final<|message|>");
    assert_eq!(channels.reasoning.as_ref().map(|reasoning| &reasoning.closing), Some(&closing));

    let refused = ask(&fake, "demo", json!({"max_reasoning_tokens": 7})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.json()["error"]["param"], "max_reasoning_tokens");
}

#[tokio::test]
async fn opened_reasoning_is_free_of_the_answers_constraint() {
    let fake = Fake::new([]);
    let format = json!({"response_format": {"type": "json_object"}, "chat_template_kwargs": {"always_thinks": true}});
    assert_eq!(ask(&fake, "thinks", format).await.status, StatusCode::OK);
    let start = fake.seen()[0].constraint.as_ref().map(|constraint| constraint.start.clone());
    assert_eq!(start, Some(Start::After("</think>".into())));
}
