//! Plain completions, whole and streamed.

use super::{
    complete,
    fake::{Fake, Script, encode},
};
use crate::generate::FinishReason;
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_whole_answer_has_openai_form() {
    let fake = Fake::new([]);
    let answer = complete(&fake, json!({})).await.json();
    assert!(answer["id"].as_str().is_some_and(|id| id.starts_with("cmpl-")));
    assert_eq!(answer["object"], "text_completion");
    let choice = json!({"index": 0, "text": "Tokyo.", "logprobs": null, "finish_reason": "stop"});
    assert_eq!(answer["choices"], json!([choice]));
    assert_eq!(answer["usage"]["prompt_tokens"], encode("The capital of Japan is").len());
    let request = &fake.seen()[0];
    assert_eq!(request.prompt, encode("The capital of Japan is"));
    assert_eq!(request.max_tokens, Some(16), "OpenAI's default");
}

#[tokio::test]
async fn a_stream_has_openai_form() {
    let fake = Fake::new([]);
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let events = complete(&fake, more).await.events();
    let [chunks @ .., usage, done] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(done, "[DONE]");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], encode("Tokyo.").len());
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, "Tokyo.");
    assert!(chunks.iter().all(|chunk| chunk["object"] == "text_completion"));
    assert!(chunks.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    let (last, before) = chunks.split_last().expect("chunks");
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert!(before.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
}

#[tokio::test]
async fn prompts_are_texts_or_token_ids() {
    let (a, b) = (encode("One"), encode("Two three"));
    for (prompt, expected) in [
        (json!("One"), vec![a.clone()]),
        (json!(["One", "Two three"]), vec![a.clone(), b.clone()]),
        (json!(a), vec![a.clone()]),
        (json!([a, b]), vec![a.clone(), b.clone()]),
    ] {
        let fake = Fake::new([]);
        let reply = complete(&fake, json!({"prompt": prompt})).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
        let mut seen: Vec<_> = fake.seen().into_iter().map(|request| request.prompt).collect();
        seen.sort_by_key(Vec::len);
        assert_eq!(seen, expected);
        assert_eq!(reply.json()["choices"].as_array().map(Vec::len), Some(expected.len()));
        let prompt_tokens: usize = expected.iter().map(Vec::len).sum();
        assert_eq!(reply.json()["usage"]["prompt_tokens"], prompt_tokens);
    }
}

#[tokio::test]
async fn choices_are_ordered_by_prompt() {
    // the longer prompt is asked first, so it gets the first two scripts
    let say = |said| Script::Say(said, FinishReason::Stop);
    let fake = Fake::new([say("c"), say("d"), say("a"), say("b")]);
    let answer = complete(&fake, json!({"prompt": ["One", "Two three four"], "n": 2, "seed": 5})).await.json();
    let texts: Vec<_> = answer["choices"].as_array().into_iter().flatten().map(|c| c["text"].clone()).collect();
    assert_eq!(texts, ["a", "b", "c", "d"]);
    let seeds: Vec<_> = fake.seen().iter().map(|request| request.sampling.seed).collect();
    assert_eq!(seeds, [5, 6, 5, 6], "each prompt's answers are those that it would get alone");
}

#[tokio::test]
async fn echo_repeats_the_prompt() {
    let fake = Fake::new([]);
    let answer = complete(&fake, json!({"echo": true, "n": 2})).await.json();
    assert_eq!(answer["choices"][1]["text"], "The capital of Japan isTokyo.");

    let tokens = encode("Two three");
    let events = complete(&fake, json!({"echo": true, "prompt": tokens, "stream": true})).await.events();
    assert_eq!(events[0]["choices"][0]["text"], "Two three");
    let text: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, "Two threeTokyo.");
}

#[tokio::test]
async fn what_is_not_supported_is_refused_by_name() {
    let fake = Fake::new([]);
    for (more, param) in [
        (json!({"suffix": "!"}), "suffix"),
        (json!({"best_of": 3}), "best_of"),
        (json!({"best_of": 3, "n": 2}), "best_of"),
        (json!({"echo": true, "logprobs": 1}), "echo"),
        (json!({"logprobs": 6}), "logprobs"),
        (json!({"prompt": ""}), "prompt"),
        (json!({"prompt": []}), "prompt"),
        (json!({"prompt": ["One", ""]}), "prompt"),
        (json!({"prompt": [[]]}), "prompt"),
        (json!({"prompt": {"text": "One"}}), "prompt"),
        (json!({"prompt": null}), "prompt"),
        (json!({"prompt": [-1]}), "prompt"),
        (json!({"prompt": vec!["One"; 129]}), "prompt"),
        (json!({"prompt": vec!["One"; 65], "n": 2}), "n"),
        (json!({"max_tokens": 0}), "max_tokens"),
    ] {
        let reply = complete(&fake, more.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{more}");
        assert_eq!(reply.json()["error"]["param"], param, "{}", reply.text);
    }
    assert!(fake.seen().is_empty(), "nothing was queued");
    let same = complete(&fake, json!({"best_of": 2, "n": 2, "suffix": ""})).await;
    assert_eq!(same.status, StatusCode::OK, "{}", same.text);
}
