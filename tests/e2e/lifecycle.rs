//! Programs stop and restart: they keep their state, and running answers complete.

use anyhow::{Result, ensure};
use gogrid_testkit::{Cluster, MODEL, SOON, ask, cluster, content, long_story};
use serde_json::Value;

#[tokio::test]
async fn a_coordinator_that_restarts_keeps_its_machines_and_models() -> Result<()> {
    let mut cluster = cluster().workers(2).fixed_ports().start().await?;
    let members = worker_ids(&cluster.status().await?);

    cluster.coordinator().terminate(SOON).await?;
    cluster.restart_coordinator().await?;
    cluster.ready(MODEL).await?;
    ensure!(worker_ids(&cluster.status().await?) == members, "other machines than before");
    it_answers(&cluster).await?;

    // The same after a power cut.
    cluster.coordinator().kill()?;
    cluster.restart_coordinator().await?;
    cluster.ready(MODEL).await?;
    ensure!(worker_ids(&cluster.status().await?) == members, "other machines than before");
    it_answers(&cluster).await
}

#[tokio::test]
async fn a_worker_that_restarts_needs_no_new_code() -> Result<()> {
    let mut cluster = cluster().workers(2).start().await?;
    let members = worker_ids(&cluster.status().await?);
    cluster.worker(0).kill()?;
    cluster.wait_status("the loss is noticed", SOON, |status| (!is_ready(status)).then_some(())).await?;
    cluster.restart_worker(0)?;
    cluster.ready(MODEL).await?;
    ensure!(worker_ids(&cluster.status().await?) == members, "other machines than before");
    it_answers(&cluster).await
}

#[tokio::test]
async fn a_worker_that_is_asked_to_end_drains_and_ends_with_code_0() -> Result<()> {
    let mut cluster = cluster().workers(2).start().await?;
    cluster.worker(1).terminate(SOON).await?;
    cluster.wait_status("the worker is gone", SOON, |status| (!is_ready(status)).then_some(())).await?;
    cluster.restart_worker(1)?;
    cluster.ready(MODEL).await?;
    it_answers(&cluster).await
}

#[tokio::test]
async fn a_coordinator_that_is_asked_to_end_finishes_its_answers_first() -> Result<()> {
    let mut cluster = cluster().workers(2).start().await?;
    let whole = cluster.api().stream(long_story(200)).await?.answer().await?;
    let mut stream = cluster.api().stream(long_story(200)).await?;
    let mut answer = stream.first_pieces(2).await?;
    cluster.coordinator().signal(gogrid_testkit::Signal::TERM)?;
    while let Some(event) = stream.next().await? {
        answer.add(&event)?;
    }
    assert_eq!(answer, whole);
    let status = cluster.coordinator().exit(SOON).await?;
    assert!(status.success(), "{status}");
    // Workers outlive their coordinator, and stop cleanly without it.
    for worker in cluster.workers() {
        worker.expect_running()?;
        worker.terminate(SOON).await?;
    }
    Ok(())
}

async fn it_answers(cluster: &Cluster) -> Result<()> {
    let answer = cluster.api().chat(ask("What is the capital of Japan?")).await?;
    assert_eq!(content(&answer), "The capital of Japan is Tokyo.");
    Ok(())
}

fn worker_ids(status: &Value) -> Vec<String> {
    let workers = status["workers"].as_array().into_iter().flatten();
    let mut ids: Vec<String> = workers.filter_map(|worker| worker["id"].as_str().map(ToOwned::to_owned)).collect();
    ids.sort_unstable();
    ids
}

fn is_ready(status: &Value) -> bool {
    status["models"][0]["ready"] == true
}
