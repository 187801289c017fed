//! Behavior of the API that involves every part from the client to the stages.

use crate::answers::references;
use anyhow::{Context, Result};
use gogrid_testkit::{Cluster, Program, SOON, ask, cluster, content, long_story};
use serde_json::{Value, json};

#[tokio::test]
async fn a_full_queue_answers_429_and_says_when_to_retry() -> Result<()> {
    let mut cluster = crowded().await?;
    let running = cluster.api().stream(long_story(900)).await?;
    let one_runs = |status: &Value| (status["sessions"] == 1).then_some(());
    cluster.wait_status("one request runs", SOON, one_runs).await?;

    let api = cluster.api();
    let waiting = tokio::spawn(async move { api.chat(ask("What is 47 + 38?")).await });
    let one_waits = |status: &Value| (status["queue"]["waiting"] == 1).then_some(());
    cluster.wait_status("one request waits", SOON, one_waits).await?;

    let reply = cluster.api().post("/v1/chat/completions", &ask("What is GoGrid?")).await?;
    let message = reply.error(429)?;
    assert!(message.contains("queue"), "{message}");
    let seconds: u64 = reply.retry_after.as_deref().context("429 comes with Retry-After")?.parse()?;
    assert!(seconds >= 1, "{seconds}");

    // The queued request is served.
    drop(running);
    assert_eq!(content(&waiting.await??), "47 + 38 = 85");
    Ok(())
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_is_told_both_lengths() -> Result<()> {
    let cluster = cluster().start().await?;
    let reply = cluster.api().post("/v1/chat/completions", &ask(&"apple river ".repeat(1000))).await?;
    let message = reply.error(400)?;
    let numbers: Vec<u64> =
        message.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
    assert!(numbers.contains(&1024), "{message}");
    assert!(numbers.iter().any(|&tokens| tokens > 2000), "{message}");
    Ok(())
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text_however_the_model_is_cut() -> Result<()> {
    let mut texts = Vec::new();
    for workers in [1, 2] {
        let cluster = cluster().workers(workers).start().await?;
        for seed in [1, 1, 2, 3] {
            let mut body = ask("Tell me a story about Leo and a rocket.");
            body["temperature"] = json!(1.2);
            body["seed"] = json!(seed);
            texts.push(content(&cluster.api().chat(body).await?).to_owned());
        }
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[..4], texts[4..]);
    assert!(texts[0] != texts[2] || texts[0] != texts[3], "three seeds, one text: {}", texts[0]);
    Ok(())
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_even_if_it_is_split_over_tokens() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    for (stop, expected) in [("Tokyo", "The capital of Japan is "), ("tal of Ja", "The capi"), ("nowhere", "")] {
        let mut body = ask("What is the capital of Japan?");
        body["stop"] = json!([stop]);
        let expected = if expected.is_empty() { "The capital of Japan is Tokyo." } else { expected };
        let streamed = cluster.api().stream(body.clone()).await?.answer().await?;
        assert_eq!(streamed.text, expected, "streamed, stop {stop:?}");
        assert_eq!(streamed.finish_reason.as_deref(), Some("stop"));
        assert_eq!(content(&cluster.api().chat(body).await?), expected, "whole, stop {stop:?}");
    }
    Ok(())
}

#[tokio::test]
async fn text_completions_take_the_prompt_as_it_is() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    for reference in references()? {
        let body = json!({ "model": "demo", "prompt": reference.prompt, "temperature": 0, "max_tokens": 200 });
        let reply = cluster.api().post("/v1/completions", &body).await?;
        assert_eq!(reply.body["choices"][0]["text"], reference.answer, "{}", reply.body);
        assert_eq!(reply.body["usage"]["prompt_tokens"], reference.prompt_tokens, "{}", reply.body);
    }
    Ok(())
}

#[tokio::test]
async fn the_openapi_document_is_served() -> Result<()> {
    let cluster = cluster().start_coordinator().await?;
    let reply = cluster.api().get("/openapi.json").await?;
    assert_eq!(reply.status, 200);
    assert!(reply.body["paths"]["/v1/chat/completions"]["post"].is_object(), "{}", reply.body);
    Ok(())
}

#[tokio::test]
async fn the_chat_command_answers_lines_of_its_input() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    let command = gogrid_testkit::Host::Local.gogrid(["chat", "--url", cluster.url(), "--model", "demo"]);
    let logs = cluster.scratch().join("logs");
    let mut chat = Program::spawn("chat", command, &logs, "What is the capital of Japan?\n")?;
    let status = chat.exit(SOON).await?;
    assert!(status.success(), "{status}");
    assert!(chat.stdout().contains("The capital of Japan is Tokyo."), "{}", chat.stdout());
    Ok(())
}

/// One request at a time and one in the queue.
async fn crowded() -> Result<Cluster> {
    cluster().workers(2).setting("max_sessions = 1").setting("queue_capacity = 1").start().await
}
