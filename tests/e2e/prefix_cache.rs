//! A conversation goes on from what its machines still have of it.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{Api, ask, cluster, content};
use serde_json::{Value, json};

const QUESTION: &str = "What is the capital of Japan?";

/// Tokens of the prompt, and those of it that were not computed.
fn prompt_tokens(answer: &Value) -> Result<(u64, u64)> {
    let usage = &answer["usage"];
    let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64();
    usage["prompt_tokens"].as_u64().zip(cached).with_context(|| format!("no usage: {answer}"))
}

/// The question, its answer, and another question.
fn second_turn(answer: &Value) -> Value {
    let mut body = ask(QUESTION);
    let said = json!({ "role": "assistant", "content": content(answer) });
    let next = json!({ "role": "user", "content": "What is the capital of France?" });
    if let Some(messages) = body["messages"].as_array_mut() {
        messages.extend([said, next]);
    }
    body
}

#[tokio::test]
async fn the_next_turn_computes_what_is_new_alone() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    let api = cluster.api();
    let first = api.chat(ask(QUESTION)).await?;
    let (prompt, cached) = prompt_tokens(&first)?;
    ensure!(cached == 0, "nobody asked before: {cached}");

    let body = second_turn(&first);
    let second = api.chat(body.clone()).await?;
    let (whole, cached) = prompt_tokens(&second)?;
    ensure!((prompt..whole).contains(&cached), "{cached} of {whole} tokens, {prompt} of them of the first turn");
    // With a salt of its own nothing of it is there, and the answer is the same.
    let mut apart = body.clone();
    apart["cache_salt"] = json!("apart");
    let fresh = api.chat(apart).await?;
    ensure!(prompt_tokens(&fresh)?.1 == 0, "{fresh}");
    ensure!(content(&fresh) == content(&second), "{fresh} {second}");

    // Nor is it there for another key.
    let key = cluster.gogrid(&["key", "create"]).await?.success()?;
    let other = Api::new(cluster.url())?.with_key(key.trim());
    ensure!(prompt_tokens(&other.chat(body.clone()).await?)?.1 == 0, "what others asked is not found");
    ensure!(prompt_tokens(&other.chat(body).await?)?.1 > 0, "what the key itself asked is");
    Ok(())
}
