//! Keys of consumers, from the command line to the API.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{Api, MODEL, ask, cluster, wait_until};
use serde_json::Value;
use std::time::Duration;

const QUESTION: &str = "What is the capital of Japan?";
const SOON: Duration = Duration::from_secs(20);

/// What a key has used today.
async fn used(cluster: &gogrid_testkit::Cluster, key: &str) -> Result<Value> {
    let printed = cluster.gogrid(&["usage", "--json"]).await?.success()?;
    let days: Vec<Value> = serde_json::from_str(&printed)?;
    Ok(days.into_iter().find(|day| day["key"] == key[..11]).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_key_is_made_used_counted_and_revoked_while_the_coordinator_runs() -> Result<()> {
    let mut cluster = cluster().workers(1).start().await?;
    ensure!(cluster.api().post("/v1/chat/completions", &ask(QUESTION)).await?.status == 200, "this machine needs none");
    let create = async |args: &[&str]| -> Result<String> {
        Ok(cluster.gogrid(&[&["key", "create"], args].concat()).await?.success()?.trim().to_owned())
    };
    let key = create(&["--note", "the wiki", "--tokens-per-day", "100"]).await?;
    let other = create(&["--model", MODEL]).await?;
    let with = |key: &str| Ok::<_, anyhow::Error>(Api::new(cluster.url())?.with_key(key));

    cluster.api().post("/v1/chat/completions", &ask(QUESTION)).await?.error(401)?;
    with("gg-wrong")?.get("/v1/models").await?.error(401)?;
    let answer = with(&key)?.chat(ask(QUESTION)).await?;
    let tokens = answer["usage"]["total_tokens"].as_u64().context("usage")?;
    let listed = cluster.gogrid(&["key", "list"]).await?.success()?;
    ensure!(listed.contains("the wiki") && listed.contains(&key[..11]) && !listed.contains(&key), "{listed}");

    wait_until("what was used is saved", SOON, async || {
        let day = used(&cluster, &key).await?;
        let saved = day["prompt_tokens"].as_u64().zip(day["completion_tokens"].as_u64());
        Ok(saved.filter(|(prompt, answer)| prompt + answer == tokens).map(drop))
    })
    .await?;

    // A crash forgets nothing that was saved: the quota is nearly used, and stays so.
    cluster.coordinator().kill()?;
    cluster.restart_coordinator().await?;
    cluster.ready(MODEL).await?;
    let with = |key: &str| Ok::<_, anyhow::Error>(Api::new(cluster.url())?.with_key(key));
    let refused = wait_until("the day's tokens are used", SOON, async || {
        let reply = with(&key)?.post("/v1/chat/completions", &ask(QUESTION)).await?;
        Ok((reply.status == 429).then_some(reply))
    });
    let refused = refused.await?;
    ensure!(refused.error(429)?.contains("100 tokens a day"), "{}", refused.body);
    let day = used(&cluster, &key).await?;
    ensure!(day["requests"].as_u64() >= Some(1), "requests are counted: {day}");
    with(&other)?.chat(ask(QUESTION)).await.context("another key goes on")?;

    cluster.gogrid(&["key", "revoke", &other[..11]]).await?.success()?;
    with(&other)?.post("/v1/chat/completions", &ask(QUESTION)).await?.error(401)?;
    let audit = cluster.gogrid(&["audit"]).await?.success()?;
    for act in ["key_created", "key_revoked", "model_added", "member_joined", "api_refused", "invite_created"] {
        ensure!(audit.contains(act), "{act} in {audit}");
    }
    ensure!(!audit.contains(&key) && !audit.contains(&other), "no secrets");
    Ok(())
}

#[tokio::test]
async fn health_and_figures_need_no_key() -> Result<()> {
    let cluster = cluster().start_coordinator().await?;
    cluster.gogrid(&["key", "create"]).await?.success()?;
    ensure!(cluster.api().get("/health").await?.status == 200);
    let ready = cluster.api().get("/ready").await?;
    ensure!((ready.status, ready.retry_after.as_deref()) == (503, Some("5")), "no model: {}", ready.body);
    ensure!(cluster.api().get("/").await?.status == 200);

    // Figures are the operator's.
    let operator: Value = serde_json::from_slice(&std::fs::read(cluster.data().join("operator.json"))?)?;
    let token = std::fs::read_to_string(cluster.data().join("operator.token"))?;
    let metrics = Api::new(operator["url"].as_str().context("a URL")?)?;
    ensure!(metrics.get("/metrics").await?.status == 401);
    let text = metrics.with_key(token.trim()).get("/metrics").await?.body;
    ensure!(text.as_str().is_some_and(|text| text.contains("gogrid_queue_waiting 0")), "{text}");
    Ok(())
}
