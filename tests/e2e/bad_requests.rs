//! Wrong requests: each gets an error in OpenAI's form, and a running answer continues.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{ask, cluster, long_story};
use serde_json::{Value, json};

#[tokio::test]
async fn bad_requests_are_refused_by_field_while_an_answer_goes_on() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    let api = cluster.api();
    let undisturbed = api.stream(long_story(900)).await?.answer().await?;
    let mut stream = api.stream(long_story(900)).await?;
    let mut answer = stream.first_pieces(1).await?;

    for (field, value) in [
        ("model", json!(7)),
        ("messages", json!("hello")),
        ("messages", json!([])),
        ("messages", json!([{ "role": "user" }])),
        ("messages", json!([{ "role": "wizard", "content": "hello" }])),
        ("temperature", json!("hot")),
        ("temperature", json!(-1)),
        ("top_p", json!(1.5)),
        ("n", json!(0)),
        ("max_tokens", json!(-3)),
        ("max_tokens", json!(5000)),
        ("stop", json!({ "at": "once" })),
        ("seed", json!("dandelion")),
        ("stream", json!("yes")),
        ("logit_bias", json!({ "99999999": 1 })),
        ("top_logprobs", json!(-1)),
    ] {
        let mut body = ask("What is GoGrid?");
        body[field] = value.clone();
        let reply = api.post("/v1/chat/completions", &body).await?;
        let message = reply.error(400).with_context(|| format!("{field}: {value}"))?;
        let named = message.contains(field) || reply.body["error"]["param"].as_str().is_some_and(|p| p.contains(field));
        // The message names the unknown token id.
        ensure!(named || message.contains("99999999"), "{field} = {value}: {message}");
    }
    for text in ["", "{", "[1, 2]", "\"a text\"", "{\"model\": \"demo\"}"] {
        let reply = api.post_text("/v1/chat/completions", text).await?;
        reply.error(400).with_context(|| format!("body {text:?}"))?;
    }
    for path in ["/v1/chat/completions", "/v1/completions"] {
        let reply = api.post(path, &unknown_model(path)).await?;
        ensure!(reply.error(404)?.contains("nobody"), "{path}: {}", reply.body);
    }
    api.get("/v1/nothing-here").await?.error(404)?;
    api.get("/v1/chat/completions").await?.error(405)?;

    while let Some(event) = stream.next().await? {
        answer.add(&event)?;
    }
    assert_eq!(answer, undisturbed);
    Ok(())
}

fn unknown_model(path: &str) -> Value {
    if path.contains("chat") {
        let mut body = ask("What is GoGrid?");
        body["model"] = json!("nobody");
        body
    } else {
        json!({ "model": "nobody", "prompt": "hello" })
    }
}
