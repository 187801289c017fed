//! The demo model gives the reference's answers for every way of cutting its layers.

use crate::answers::{EXACT, references};
use anyhow::{Context, Result};
use gogrid_testkit::{Cluster, ask, cluster, content};
use serde_json::Value;

/// Layers of the demo model.
const LAYERS: u64 = 8;

#[tokio::test]
async fn one_worker_answers_exactly() -> Result<()> {
    answers_exactly(1).await
}

#[tokio::test]
async fn two_workers_answer_exactly() -> Result<()> {
    answers_exactly(2).await
}

#[tokio::test]
async fn four_workers_answer_exactly() -> Result<()> {
    answers_exactly(4).await
}

#[tokio::test]
async fn eight_workers_answer_exactly() -> Result<()> {
    answers_exactly(8).await
}

#[tokio::test]
async fn eight_bit_weights_get_sums_facts_and_lists_right() -> Result<()> {
    let cluster = cluster().workers(2).quant("q8_0").start().await?;
    for reference in references()?.iter().filter(|reference| EXACT.contains(&reference.question.as_str())) {
        let answer = cluster.api().chat(ask(&reference.question)).await?;
        assert_eq!(content(&answer), reference.answer, "{}", reference.question);
    }
    Ok(())
}

async fn answers_exactly(workers: usize) -> Result<()> {
    let cluster = cluster().workers(workers).quant("none").start().await?;
    every_worker_holds_its_own_layers(&cluster, workers).await?;
    for reference in references()? {
        let answer = cluster.api().chat(ask(&reference.question)).await?;
        assert_eq!(content(&answer), reference.answer, "{}", reference.question);
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{}", reference.question);
        assert_eq!(answer["usage"]["prompt_tokens"], reference.prompt_tokens, "{}", reference.question);
        assert_eq!(answer["usage"]["completion_tokens"], reference.answer_tokens, "{}", reference.question);
        let streamed = cluster.api().stream(ask(&reference.question)).await?.answer().await?;
        assert_eq!(streamed.text, reference.answer, "{}", reference.question);
        assert_eq!(streamed.finish_reason.as_deref(), Some("stop"), "{}", reference.question);
    }
    Ok(())
}

/// The stages cover the layers in order, each on a machine of its own that holds nothing else.
async fn every_worker_holds_its_own_layers(cluster: &Cluster, workers: usize) -> Result<()> {
    let status = cluster.status().await?;
    let stages = status["models"][0]["stages"].as_array().context("the model has stages")?;
    assert_eq!(stages.len(), workers, "{status:#}");
    let mut next = 0;
    for stage in stages {
        assert_eq!(stage["layers"][0], next, "{status:#}");
        next = stage["layers"][1].as_u64().context("a stage's layers are numbers")?;
        let machine = status["workers"]
            .as_array()
            .and_then(|machines| machines.iter().find(|machine| machine["id"] == stage["worker_id"]))
            .with_context(|| format!("the stage's worker is known: {status:#}"))?;
        let held: Vec<&Value> = machine["stages"].as_array().into_iter().flatten().collect();
        assert_eq!(held.len(), 1, "{status:#}");
        assert_eq!(held[0]["layers"], stage["layers"], "{status:#}");
    }
    assert_eq!(next, LAYERS, "{status:#}");
    Ok(())
}
