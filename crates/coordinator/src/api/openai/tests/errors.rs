//! Every status, in OpenAI's JSON.

use super::{
    Reply, app, chat, chat_body, complete,
    fake::{Fake, Script, tokens},
    get, post, post_request, send,
};
use crate::{
    api::MAX_BODY_BYTES,
    generate::{Event, FinishReason, GenerateError, NotReady},
};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use futures::{
    FutureExt, StreamExt,
    stream::{self, FuturesUnordered},
};
use gogrid_model::SamplingError;
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt;

pub(super) fn assert_error(reply: &Reply, status: u16, kind: &str, param: &Value, code: &Value) {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text);
    assert_eq!(reply.headers[header::CONTENT_TYPE], "application/json");
    let error = &reply.json()["error"];
    assert_eq!((&error["type"], &error["param"], &error["code"]), (&json!(kind), param, code), "{error}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
}

#[tokio::test]
async fn the_routers_refusals_have_their_statuses() {
    let context = json!("context_length_exceeded");
    let retry_after = Duration::from_millis(2500);
    for (error, status, kind, param, code, seconds) in [
        (
            GenerateError::PromptTooLong { prompt: 2000, context: 1024 },
            400,
            "invalid_request_error",
            json!("messages"),
            context.clone(),
            None,
        ),
        (
            GenerateError::AnswerTooLong { prompt: 1000, max_tokens: 100, context: 1024 },
            400,
            "invalid_request_error",
            json!("messages"),
            context,
            None,
        ),
        (GenerateError::EmptyPrompt, 400, "invalid_request_error", json!("messages"), Value::Null, None),
        (
            GenerateError::TokenOutOfRange { token: 9999, vocabulary: 2048 },
            400,
            "invalid_request_error",
            json!("messages"),
            Value::Null,
            None,
        ),
        (
            GenerateError::Sampling(SamplingError {
                field: "logit_bias",
                value: "for token 9999".to_owned(),
                range: "for tokens below 2048".to_owned(),
            }),
            400,
            "invalid_request_error",
            json!("logit_bias"),
            Value::Null,
            None,
        ),
        (
            GenerateError::TooLarge { needed: 900, available: 500 },
            400,
            "invalid_request_error",
            json!("messages"),
            json!("sequence_too_large"),
            None,
        ),
        (
            GenerateError::QueueFull { waiting: 64, retry_after },
            429,
            "rate_limit_error",
            Value::Null,
            json!("rate_limit_exceeded"),
            Some("3"),
        ),
        (
            GenerateError::NotReady { model: "demo".to_owned(), reason: NotReady::InsufficientMemory },
            503,
            "server_error",
            Value::Null,
            json!("model_not_ready"),
            Some("5"),
        ),
        (
            GenerateError::PipelineLost { delivered: 0 },
            503,
            "server_error",
            Value::Null,
            json!("pipeline_lost"),
            Some("5"),
        ),
        (GenerateError::ShuttingDown, 503, "server_error", Value::Null, json!("shutting_down"), Some("5")),
        (
            GenerateError::Stage { message: "secret detail".to_owned() },
            500,
            "server_error",
            Value::Null,
            json!("internal_error"),
            None,
        ),
        (
            GenerateError::BadCandidates { message: "secret detail".to_owned() },
            500,
            "server_error",
            Value::Null,
            json!("internal_error"),
            None,
        ),
    ] {
        let refused = Fake::new([Script::Refuse(error.clone())]);
        let reply = chat(&refused, json!({"stream": true})).await;
        assert_error(&reply, status, kind, &param, &code);
        let after = reply.headers.get(header::RETRY_AFTER).map(|value| value.to_str().expect("text"));
        assert_eq!(after, seconds, "{error}");
        assert!(!reply.text.contains("secret"), "what the log says is not for clients");

        let failed = Fake::new([Script::Play(vec![Event::Failed(error)])]);
        assert_error(&chat(&failed, json!({})).await, status, kind, &param, &code);
    }
}

#[tokio::test]
async fn too_long_prompts_are_told_both_lengths() {
    let fake = Fake::new([Script::Refuse(GenerateError::PromptTooLong { prompt: 2000, context: 1024 })]);
    let reply = complete(&fake, json!({})).await;
    assert_eq!(reply.json()["error"]["param"], "prompt");
    assert!(reply.text.contains("2000") && reply.text.contains("1024"), "{}", reply.text);
}

#[tokio::test]
async fn models_that_cannot_answer() {
    let fake = Fake::new([]);
    let unknown = chat(&fake, json!({"model": "gpt-4o"})).await;
    assert_error(&unknown, 404, "invalid_request_error", &json!("model"), &json!("model_not_found"));
    let sleepy = complete(&fake, json!({"model": "sleepy"})).await;
    assert_error(&sleepy, 503, "server_error", &Value::Null, &json!("model_not_ready"));
    assert!(sleepy.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn unknown_routes_and_methods() {
    let fake = Fake::new([]);
    let unknown = get(&fake, "/v1/embeddings").await;
    assert_error(&unknown, 404, "invalid_request_error", &Value::Null, &json!("unknown_url"));
    let method = get(&fake, "/v1/chat/completions").await;
    assert_error(&method, 405, "invalid_request_error", &Value::Null, &json!("method_not_supported"));
    assert_eq!(method.headers[header::ALLOW], "POST");
    let options = Request::options("/v1/models").body(Body::empty()).expect("a request");
    assert_eq!(send(&fake, options).await.status, StatusCode::METHOD_NOT_ALLOWED, "no CORS");
}

#[tokio::test]
async fn bodies_that_are_no_json() {
    let fake = Fake::new([]);
    let path = "/v1/chat/completions";
    for body in ["", "{", "{\"model\": \"demo\",}", "\u{1}", "[1, 2", "{} {}"] {
        let reply = send(&fake, post_request(path, body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(reply.json()["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }
    let broken = send(&fake, post_request(path, "{\"model\": \"demo\",\n \"messages\": [}")).await;
    assert_error(&broken, 400, "invalid_request_error", &Value::Null, &json!("invalid_json"));
    assert!(broken.text.contains("line 2"), "{}", broken.text);
    let not_utf8 = send(&fake, post_request(path, b"{\"model\": \"\xff\"}".to_vec())).await;
    assert_eq!(not_utf8.status, StatusCode::BAD_REQUEST);
    let array = post(&fake, path, &json!([1, 2])).await;
    assert_error(&array, 400, "invalid_request_error", &Value::Null, &Value::Null);
    let missing = post(&fake, path, &json!({"model": "demo"})).await;
    assert_error(&missing, 400, "invalid_request_error", &json!("messages"), &Value::Null);

    let form = Request::post(path).body(Body::from(chat_body(&json!({})).to_string())).expect("a request");
    let reply = send(&fake, form).await;
    assert_error(&reply, 415, "invalid_request_error", &Value::Null, &json!("unsupported_media_type"));
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let fake = Fake::new([]);
    let body = chat_body(&json!({"user": "x".repeat(MAX_BODY_BYTES)}));
    let reply = post(&fake, "/v1/chat/completions", &body).await;
    assert_error(&reply, 413, "invalid_request_error", &Value::Null, &json!("request_too_large"));
}

#[tokio::test]
async fn an_error_in_the_middle_ends_the_stream() {
    let mut events = tokens("Tokyo", 0);
    let said = events.len();
    events.push(Event::Failed(GenerateError::PipelineLost { delivered: said }));
    let fake = Fake::new([Script::Play(events)]);
    let events = chat(&fake, json!({"stream": true, "stream_options": {"include_usage": true}})).await.events();
    let [chunks @ .., error] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(chunks.len(), said + 1);
    assert_eq!(error["error"]["code"], "pipeline_lost");
    assert_eq!(error["error"]["type"], "server_error");
}

#[tokio::test]
async fn a_generation_that_just_stops_is_an_error() {
    let fake = Fake::new([Script::Play(tokens("Tokyo", 0)), Script::Play(tokens("Tokyo", 0))]);
    let reply = chat(&fake, json!({})).await;
    assert_error(&reply, 500, "server_error", &Value::Null, &json!("internal_error"));
    let events = chat(&fake, json!({"stream": true})).await.events();
    assert_eq!(events.last().map(|event| &event["error"]["code"]), Some(&json!("internal_error")));
}

#[tokio::test]
async fn one_failed_choice_fails_and_cancels_the_request() {
    let failed = Script::Play(vec![Event::Failed(GenerateError::ShuttingDown)]);
    let fake = Fake::new([Script::Hang("Tokyo"), failed]);
    let reply = chat(&fake, json!({"n": 2})).await;
    assert_error(&reply, 503, "server_error", &Value::Null, &json!("shutting_down"));
    fake.cancelled(1).await;
}

#[tokio::test]
async fn when_the_queue_refuses_one_choice_all_are_refused() {
    let full = GenerateError::QueueFull { waiting: 1, retry_after: Duration::from_secs(1) };
    let fake = Fake::new([Script::Hang("Tokyo"), Script::Hang("Kyoto"), Script::Refuse(full)]);
    let reply = chat(&fake, json!({"n": 5, "stream": true})).await;
    assert_error(&reply, 429, "rate_limit_error", &Value::Null, &json!("rate_limit_exceeded"));
    fake.cancelled(2).await;
    assert_eq!(fake.seen().len(), 3, "the fourth was not asked for");
}

#[tokio::test]
async fn the_longest_prompt_is_checked_first() {
    let too_long = GenerateError::PromptTooLong { prompt: 4, context: 3 };
    let fake = Fake::new([Script::Refuse(too_long)]);
    let reply = complete(&fake, json!({"prompt": ["One", "Two three four five"]})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(fake.seen().len(), 1, "nothing was queued before it");
    let whole = complete(&Fake::new([Script::Say("x", FinishReason::Stop)]), json!({})).await;
    assert_eq!(whole.status, StatusCode::OK);
}

/// A body of which some has arrived, and the rest never does.
fn unfinished_body() -> Body {
    let start = Ok::<_, std::convert::Infallible>("{\"model\": ");
    Body::from_stream(stream::iter([start]).chain(stream::pending()))
}

#[tokio::test(start_paused = true)]
async fn slow_bodies_end_in_time_and_hold_up_nobody() {
    let app = app(&Fake::new([]));
    let path = "/v1/chat/completions";
    let mut slow: FuturesUnordered<_> =
        (0..64).map(|_| app.clone().oneshot(post_request(path, unfinished_body()))).collect();
    assert!(slow.next().now_or_never().is_none(), "all of them are being read");
    let quick = app.clone().oneshot(post_request(path, chat_body(&json!({})).to_string()));
    assert_eq!(quick.await.expect("routers do not fail").status(), StatusCode::OK);
    let statuses: Vec<StatusCode> = slow.map(|reply| reply.expect("routers do not fail").status()).collect().await;
    assert_eq!(statuses, [StatusCode::REQUEST_TIMEOUT; 64]);
}

#[tokio::test]
async fn prompts_that_can_never_fit_are_refused_before_they_are_encoded() {
    let fake = Fake::new([]);
    let digits = "7".repeat(4_000_000);
    let messages = json!([{"role": "user", "content": digits}]);
    let refused = json!("context_length_exceeded");
    let reply = chat(&fake, json!({"messages": messages})).await;
    assert_error(&reply, 400, "invalid_request_error", &json!("messages"), &refused);
    assert!(reply.text.contains("4000000 bytes"), "{}", reply.text);
    for prompt in [json!(digits), json!(["short", digits])] {
        let reply = complete(&fake, json!({"prompt": prompt})).await;
        assert_error(&reply, 400, "invalid_request_error", &json!("prompt"), &refused);
    }
    assert!(fake.seen().is_empty(), "nothing was asked of the router");
}
