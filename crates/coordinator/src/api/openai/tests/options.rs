//! What options become, and which are refused.

use super::{
    chat, complete,
    fake::{Fake, encode},
};
use axum::http::StatusCode;
use gogrid_model::SamplingParams;
use serde_json::json;

#[tokio::test]
async fn options_reach_the_router() {
    let fake = Fake::new([]);
    let token = encode("Tokyo")[0];
    let more = json!({
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "presence_penalty": 0.25, "frequency_penalty": -1,
        "repetition_penalty": 1.125, "seed": -1, "logit_bias": {token.to_string(): -100}, "stop": ["a", "b"],
        "max_completion_tokens": 9, "max_tokens": 9, "ignore_eos": true,
    });
    let reply = chat(&fake, more).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let request = fake.seen().remove(0);
    let sampling = SamplingParams {
        temperature: 0.5,
        top_k: Some(40),
        top_p: 0.9,
        min_p: 0.05,
        seed: u64::MAX,
        repetition_penalty: 1.125,
        presence_penalty: 0.25,
        frequency_penalty: -1.0,
        logit_bias: vec![(token, -100.0)],
    };
    assert_eq!(request.sampling, sampling);
    assert_eq!(request.max_tokens, Some(9));
    assert_eq!(request.stop, ["a", "b"]);
    assert!(request.ignore_eos);
}

#[tokio::test]
async fn what_clients_leave_empty_or_write_in_another_way_is_understood() {
    let fake = Fake::new([]);
    for (path, more) in [
        ("/v1/chat/completions", json!({"max_tokens": -1, "stop": "", "logit_bias": []})),
        ("/chat/completions", json!({"max_completion_tokens": 12.0, "stop": ["", "a"]})),
        ("//v1/chat/completions/", json!({"n": 1.0})),
    ] {
        let body = format!("\u{feff}{}", super::chat_body(&more));
        let reply = super::send(&fake, super::post_request(path, body)).await;
        assert_eq!(reply.status, StatusCode::OK, "{more}: {}", reply.text);
    }
    let seen = fake.seen();
    assert_eq!((seen[0].max_tokens, seen[0].stop.len()), (None, 0));
    assert_eq!((seen[1].max_tokens, &seen[1].stop[..]), (Some(12), &["a".to_owned()][..]));
}

#[tokio::test]
async fn defaults_are_the_models_and_seeds_are_random() {
    let fake = Fake::new([]);
    chat(&fake, json!({"n": 2})).await;
    chat(&fake, json!({"top_k": 0, "stop": "x"})).await;
    let seen = fake.seen();
    let sampling = SamplingParams { seed: seen[0].sampling.seed, ..SamplingParams::default() };
    assert_eq!(seen[0].sampling, sampling, "the demo model recommends nothing");
    assert_eq!(seen[0].max_tokens, None);
    assert_ne!(seen[0].sampling.seed, seen[1].sampling.seed);
    assert_ne!(seen[0].sampling.seed, seen[2].sampling.seed);
    assert_eq!(seen[2].sampling.top_k, None);
    assert_eq!(seen[2].stop, ["x"]);
}

#[tokio::test]
async fn values_out_of_range_name_the_field_and_the_range() {
    let fake = Fake::new([]);
    for (more, param, range) in [
        (json!({"temperature": 2.5}), "temperature", "from 0 to 2"),
        (json!({"temperature": -0.5}), "temperature", "from 0 to 2"),
        (json!({"top_p": 1.5}), "top_p", "from 0 to 1"),
        (json!({"top_k": -2}), "top_k", "at least 1"),
        (json!({"min_p": 2}), "min_p", "from 0 to 1"),
        (json!({"presence_penalty": 3}), "presence_penalty", "from -2 to 2"),
        (json!({"frequency_penalty": -3}), "frequency_penalty", "from -2 to 2"),
        (json!({"repetition_penalty": 0}), "repetition_penalty", "above 0"),
        (json!({"logit_bias": {"5": 101}}), "logit_bias", "from -100 to 100"),
        (json!({"logit_bias": {"five": 1}}), "logit_bias", "token ids"),
        (json!({"n": 0}), "n", "from 1 to 16"),
        (json!({"n": 17}), "n", "from 1 to 16"),
        (json!({"max_tokens": 0}), "max_tokens", "at least 1"),
        (json!({"max_completion_tokens": 0}), "max_completion_tokens", "at least 1"),
        (json!({"max_completion_tokens": 5, "max_tokens": 6}), "max_completion_tokens", "one of them"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop", "up to 4"),
        (json!({"max_tokens": -2}), "max_tokens", "whole number"),
        (json!({"max_tokens": 1.5}), "max_tokens", "whole number"),
        (json!({"temperature": "hot"}), "temperature", "expected a number"),
        (json!({"logit_bias": [1]}), "logit_bias", "an object of token ids"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options", "stream"),
    ] {
        let reply = chat(&fake, more.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{more}");
        let error = &reply.json()["error"];
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(error["param"], param, "{more}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(range)), "{more}: {error}");
    }
    assert!(fake.seen().is_empty(), "nothing was queued");
}

#[tokio::test]
async fn values_of_wrong_types_name_the_field() {
    let fake = Fake::new([]);
    for (more, param) in [
        (json!({"model": 5}), "model"),
        (json!({"messages": "Hello"}), "messages"),
        (json!({"messages": [{"role": 5, "content": "a"}]}), "messages[0].role"),
        (json!({"messages": [{"content": "a"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": 5}]}), "messages[0].content"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"max_tokens": 1.5}), "max_tokens"),
        (json!({"max_tokens": -2}), "max_tokens"),
        (json!({"n": "two"}), "n"),
        (json!({"seed": "x"}), "seed"),
        (json!({"stop": 5}), "stop"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream": true, "stream_options": {"include_usage": 1}}), "stream_options.include_usage"),
        (json!({"logit_bias": [1]}), "logit_bias"),
        (json!({"logit_bias": {"5": "x"}}), "logit_bias.5"),
    ] {
        let reply = chat(&fake, more.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{more}");
        let error = &reply.json()["error"];
        assert_eq!(error["param"], param, "{more}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.starts_with(param)), "{more}: {error}");
    }
    assert_eq!(complete(&fake, json!({"model": null})).await.json()["error"]["param"], "model");
}
