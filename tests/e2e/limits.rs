//! The donor's limits apply while answers are running, and no answer loses a token because of them.

use crate::answers::{EXACT, references};
use anyhow::{Context, Result, ensure};
use gogrid_testkit::{Cluster, MODEL, SOON, ask, cluster, content, long_story, wait_until};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::{
    fs,
    time::{Duration, Instant},
};

/// Tokens that a paused worker must not produce: more than links and queues can hold.
const MANY: usize = 400;

#[tokio::test]
async fn a_pause_stops_the_worker_at_once_and_resuming_goes_on_with_the_same_answer() -> Result<()> {
    let cluster = cluster().start().await?;
    let whole = cluster.api().stream(long_story(MANY)).await?.answer().await?;
    let mut stream = cluster.api().stream(long_story(MANY)).await?;
    let mut answer = stream.first_pieces(2).await?;
    cluster.worker_gogrid(0, &["pause"]).await?.success()?;

    let status = cluster.worker_status(0).await?;
    assert_eq!(
        (&status["state"], &status["reason"]),
        (&"paused".into(), &"Paused until you resume".into()),
        "{status:#}"
    );
    let tokens = status["contribution"]["tokens"].clone();
    let text = cluster.worker_gogrid(0, &["status"]).await?.success()?;
    assert!(text.to_lowercase().contains("paused"), "{text}");
    let refused = cluster.api().post("/v1/chat/completions", &ask("What is 2 + 2?")).await?;
    let message = refused.error(503)?;
    assert!(message.contains("take no work now") && !message.contains("Paused"), "{message}");
    assert_eq!(cluster.worker_status(0).await?["contribution"]["tokens"], tokens, "nothing was computed meanwhile");

    cluster.worker_gogrid(0, &["resume"]).await?.success()?;
    while let Some(event) = stream.next().await? {
        answer.add(&event)?;
    }
    assert_eq!(answer, whole);
    Ok(())
}

#[tokio::test]
async fn a_pause_with_an_end_ends_by_itself() -> Result<()> {
    let mut cluster = cluster().start().await?;
    cluster.worker_gogrid(0, &["pause", "--for", "2s"]).await?.success()?;
    let status = cluster.worker_status(0).await?;
    assert!(status["reason"].as_str().is_some_and(|reason| reason.starts_with("Paused until")), "{status:#}");
    cluster.ready(MODEL).await?;
    it_answers(&cluster).await
}

#[tokio::test]
async fn a_pause_after_the_answers_lets_them_end_and_takes_no_new_ones() -> Result<()> {
    let cluster = cluster().start().await?;
    let whole = cluster.api().stream(long_story(MANY)).await?.answer().await?;
    let mut stream = cluster.api().stream(long_story(MANY)).await?;
    let mut answer = stream.first_pieces(2).await?;
    cluster.worker_gogrid(0, &["pause", "--after-answers"]).await?.success()?;
    assert_eq!(cluster.worker_status(0).await?["pausing_after_answers"], true);
    while let Some(event) = stream.next().await? {
        answer.add(&event)?;
    }
    assert_eq!(answer, whole);
    wait_until("the worker is paused", SOON, async || {
        Ok((cluster.worker_status(0).await?["state"] == "paused").then_some(()))
    })
    .await?;
    cluster.api().post("/v1/chat/completions", &ask("What is 2 + 2?")).await?.error(503)?;
    cluster.worker_gogrid(0, &["resume"]).await?.success()?;
    it_answers(&cluster).await
}

#[tokio::test]
async fn a_paused_machine_hands_its_model_to_one_that_works() -> Result<()> {
    let mut cluster = cluster().start().await?;
    let whole = cluster.api().stream(long_story(MANY)).await?.answer().await?;
    let code = cluster.invite(&[]).await?;
    let second = cluster.join_worker(&code)?;
    let both = |status: &Value| (status["workers"].as_array().map(Vec::len) == Some(2)).then_some(());
    cluster.wait_status("both machines are there", SOON, both).await?;

    let mut stream = cluster.api().stream(long_story(MANY)).await?;
    let mut answer = stream.first_pieces(2).await?;
    cluster.worker_gogrid(0, &["pause"]).await?.success()?;
    while let Some(event) = stream.next().await? {
        answer.add(&event)?;
    }
    assert_eq!(answer, whole);
    let sessions = |status: &Value| status["stages"].as_array().map_or(0, Vec::len);
    assert_eq!(sessions(&cluster.worker_status(second).await?), 1);
    assert_eq!(sessions(&cluster.worker_status(0).await?), 0);
    Ok(())
}

#[tokio::test]
async fn a_cpu_limit_holds_while_it_works_and_is_lifted_without_a_restart() -> Result<()> {
    let mut cluster = cluster().start().await?;
    let busy = long_story(1000);
    let mut stream = cluster.api().stream(busy).await?;
    stream.first_pieces(1).await?;
    cluster.worker_gogrid(0, &["limits", "set", "cpu=10"]).await?.success()?;
    let share = cpu_share(&mut cluster).await?;
    // The bench measures the accuracy; without any limit the worker takes half of a two-core machine.
    assert!(share < 0.16, "{share}");
    cluster.worker_gogrid(0, &["limits", "set", "cpu=default"]).await?.success()?;
    assert_eq!(stream.answer().await?.finish_reason.as_deref(), Some("length"));
    Ok(())
}

/// The worker's part of all cores over two seconds.
async fn cpu_share(cluster: &mut Cluster) -> Result<f64> {
    let (start, before) = (Instant::now(), cluster.worker(0).cpu_time()?);
    wait_until("two seconds pass", SOON, async || Ok((start.elapsed() > Duration::from_secs(2)).then_some(()))).await?;
    let used = cluster.worker(0).cpu_time()? - before;
    let cores = std::thread::available_parallelism()?.get() as f64;
    Ok(used.as_secs_f64() / start.elapsed().as_secs_f64() / cores)
}

#[tokio::test]
async fn limits_are_shown_kept_and_checked() -> Result<()> {
    let mut cluster = cluster().start().await?;
    let set = ["limits", "set", "cpu=40", "memory=2GiB", "stop-for=game"];
    cluster.worker_gogrid(0, &set).await?.success()?;
    let shown = cluster.worker_gogrid(0, &["limits", "show"]).await?.success()?;
    assert!(shown.contains("40%") && shown.contains("2GiB") && shown.contains("game"), "{shown}");

    for (change, named) in
        [("cpu=140", "1 to 100"), ("cpus=4", "cpu"), ("memory=7", "memory"), ("preset=loud", "quiet")]
    {
        let refusal = cluster.worker_gogrid(0, &["limits", "set", "gpu=50", change]).await?.refusal()?;
        assert!(refusal.contains(named), "{change}: {refusal}");
    }
    let file = fs::read_to_string(cluster.worker_data(0).join("limits.toml"))?;
    assert!(file.contains("cpu = 40") && !file.contains("gpu = 50"), "all or none: {file}");

    cluster.worker(0).terminate(SOON).await?;
    cluster.restart_worker(0)?;
    cluster.ready(MODEL).await?;
    let shown = cluster.worker_gogrid(0, &["limits", "show"]).await?.success()?;
    assert!(shown.contains("40%"), "{shown}");
    cluster.worker_gogrid(0, &["limits", "preset", "balanced"]).await?.success()?;
    cluster.worker_gogrid(0, &["limits", "preset", "loud"]).await?.refusal()?;

    cluster.worker(0).terminate(SOON).await?;
    fs::write(cluster.worker_data(0).join("limits.toml"), "cpu = 50\nbananas = 7\n")?;
    cluster.restart_worker(0)?;
    let status = cluster.worker(0).exit(SOON).await?;
    assert!(!status.success());
    let said = cluster.worker(0).stderr();
    assert!(said.contains("limits.toml") && said.contains("bananas"), "{said}");
    Ok(())
}

#[tokio::test]
async fn memory_that_is_taken_back_takes_the_stage_and_memory_that_is_given_brings_it_back() -> Result<()> {
    let mut cluster = cluster().start().await?;
    it_answers(&cluster).await?;
    cluster.worker_gogrid(0, &["limits", "set", "memory=1MiB"]).await?.success()?;
    let gone = |status: &Value| (status["models"][0]["ready"] == false).then_some(());
    cluster.wait_status("the stage is gone", SOON, gone).await?;
    let usage = cluster.worker_status(0).await?["usage"].clone();
    assert_eq!((&usage["ledger_bytes"], &usage["limit_bytes"]), (&0.into(), &(1 << 20).into()), "{usage:#}");
    cluster.worker_gogrid(0, &["limits", "set", "memory=default"]).await?.success()?;
    cluster.ready(MODEL).await?;
    it_answers(&cluster).await
}

/// Limits change at random while sessions run: no answer is lost or wrong, and the ledger stays within them.
#[tokio::test]
async fn limits_that_change_all_the_time_cost_no_answer() -> Result<()> {
    let cluster = cluster().start().await?;
    let status = cluster.worker_status(0).await?;
    let fits = status["usage"]["weights_bytes"].as_u64().context("weights")? + (64 << 20);
    let exact: Vec<_> = references()?.into_iter().filter(|r| EXACT.contains(&r.question.as_str())).collect();
    let asking = async {
        let rounds = (0..16).map(|at| {
            let (api, reference) = (cluster.api(), exact[at % exact.len()].clone());
            async move {
                for _ in 0..3 {
                    let answer = api.chat(ask(&reference.question)).await?;
                    ensure!(content(&answer) == reference.answer, "{}: {answer}", reference.question);
                }
                Ok(())
            }
        });
        futures::future::try_join_all(rounds).await
    };
    let changing = async {
        let mut random = StdRng::seed_from_u64(7);
        loop {
            let (cpu, memory) = (random.random_range(20..=100), fits + random.random_range(0u64..64 << 20));
            let (cpu, memory) = (format!("cpu={cpu}"), format!("memory={memory}B"));
            cluster.worker_gogrid(0, &["limits", "set", &cpu, &memory]).await?.success()?;
            let usage = cluster.worker_status(0).await?["usage"].clone();
            let (used, limit) = (usage["ledger_bytes"].as_u64(), usage["limit_bytes"].as_u64());
            ensure!(used.context("used")? <= limit.context("limit")?, "{usage:#}");
        }
        #[expect(unreachable_code, reason = "gives the block its type")]
        Ok::<(), anyhow::Error>(())
    };
    tokio::select! {
        answered = asking => answered.map(drop),
        changed = changing => changed,
    }
}

async fn it_answers(cluster: &Cluster) -> Result<()> {
    let answer = cluster.api().chat(ask("What is the capital of Japan?")).await?;
    assert_eq!(content(&answer), "The capital of Japan is Tokyo.");
    Ok(())
}
