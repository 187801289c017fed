//! A worker that the desktop app starts as its child process.

use anyhow::{Context, Result};
use gogrid_testkit::{Cluster, MODEL, Resident, SOON, ask, cluster, content, demo_model, long_story, wait_until};
use gogrid_wire::{InviteToken, JoinCode};
use serde_json::{Value, json};
use std::time::Duration;

/// A worker whose parent is gone ends within this time.
const ORPHAN_ENDS_WITHIN: Duration = Duration::from_secs(2);

/// The demo model on a coordinator without workers.
async fn coordinator() -> Result<Cluster> {
    let cluster = cluster().setting("name = \"Example Grid\"").start_coordinator().await?;
    cluster.add_model(&demo_model(), MODEL, &["--quant", "none"]).await?.success()?;
    Ok(cluster)
}

async fn join(worker: &Resident, code: &str) -> Result<Value> {
    worker.ask(&json!({ "request": "join", "code": code })).await
}

async fn wait_for_state(worker: &Resident, state: &str) -> Result<Value> {
    wait_until(&format!("the worker is {state}"), SOON, async || {
        let status = worker.status().await?;
        Ok((status["state"] == state).then_some(status))
    })
    .await
}

#[tokio::test]
async fn a_machine_joins_works_leaves_and_joins_again_without_a_restart() -> Result<()> {
    let mut cluster = coordinator().await?;
    let line = json!({ "key": "07".repeat(32) });
    let worker = Resident::start(&line).await?;
    let status = worker.status().await?;
    assert_eq!((&status["state"], &status["connection"]), (&json!("not_joined"), &Value::Null), "{status:#}");
    assert!(!worker.data().join("machine.key").exists(), "the key is its parent's to keep");

    let code = cluster.invite(&[]).await?;
    let says = worker.get(&json!({ "request": "read_code", "code": code })).await?;
    assert_eq!(says["grid"], "Example Grid", "{says}");
    assert_eq!(worker.status().await?["state"], "not_joined", "a code that is read is not used");
    assert_eq!(join(&worker, &code).await?, json!({ "response": "done" }));
    let connection = worker.status().await?["connection"].take();
    assert_eq!((&connection["grid"], &connection["connected"]), (&json!("Example Grid"), &json!(true)));
    cluster.ready(MODEL).await?;
    let answer = cluster.api().chat(ask("What is the capital of Japan?")).await?;
    assert!(content(&answer).contains("Tokyo"), "{answer}");
    it_is_remembered(&worker).await?;

    // Nothing that could go wrong with the way back keeps a donor from leaving.
    let in_the_way = worker.data().join("left.json.new");
    std::fs::create_dir(&in_the_way)?;
    worker.get(&json!({ "request": "leave" })).await?;
    std::fs::remove_dir(&in_the_way)?;
    assert_eq!(worker.status().await?["left"], Value::Null);
    join(&worker, &cluster.invite(&[]).await?).await?;

    worker.get(&json!({ "request": "leave" })).await?;
    let status = worker.status().await?;
    assert_eq!((&status["state"], &status["stages"]), (&json!("not_joined"), &json!([])), "{status:#}");
    let forgotten = |status: &Value| status["workers"].as_array().is_some_and(Vec::is_empty).then_some(());
    cluster.wait_status("the coordinator has forgotten the machine", SOON, forgotten).await?;
    let again = worker.ask(&json!({ "request": "leave" })).await?;
    assert_eq!(again["response"], "refused");

    // Left by mistake: back without a new code, also after a restart.
    let worker = worker.restart(&line).await?;
    assert_eq!(worker.status().await?["left"]["grid"], "Example Grid");
    let back = json!({ "request": "join_again" });
    assert_eq!(worker.ask(&back).await?, json!({ "response": "done" }));
    assert_eq!(worker.status().await?["left"], Value::Null);
    cluster.ready(MODEL).await?;
    assert_eq!(worker.ask(&back).await?["response"], "refused", "it is a member");
    Ok(())
}

/// Charts, the timeline and the day show the answer.
async fn it_is_remembered(worker: &Resident) -> Result<()> {
    wait_until("the chart shows tokens", SOON, async || {
        let history = worker.get(&json!({ "request": "history", "range": "minute" })).await?;
        let points = history["points"].as_array().context("points")?;
        let worked = |point: &Value| point["tokens_per_second"].as_f64() > Some(0.0) && point["cpu"].is_number();
        Ok(points.iter().any(worked).then_some(()))
    })
    .await?;
    let events = worker.get(&json!({ "request": "events" })).await?;
    let events: Vec<&str> =
        events.as_array().context("events")?.iter().filter_map(|e| e["what"]["event"].as_str()).collect();
    let positions: Vec<Option<usize>> =
        ["joined", "connected", "loaded"].iter().map(|event| events.iter().position(|seen| seen == event)).collect();
    assert!(positions.is_sorted() && positions[0].is_some(), "{events:?}");
    let days = worker.get(&json!({ "request": "days" })).await?;
    assert!(
        days["days"][0]["tokens"].as_u64() > Some(0) && days["days"][0]["energy_wh"].as_f64() > Some(0.0),
        "{days}"
    );
    Ok(())
}

#[tokio::test]
async fn a_member_is_one_again_after_a_restart_and_its_days_go_on() -> Result<()> {
    let mut cluster = coordinator().await?;
    let line = json!({ "key": null });
    let worker = Resident::start(&line).await?;
    join(&worker, &cluster.invite(&[]).await?).await?;
    cluster.ready(MODEL).await?;
    cluster.api().chat(ask("What is 2 + 2?")).await?;
    let tokens = |days: Value| days["days"][0]["tokens"].as_u64().context("tokens");
    let before = wait_until("the day has tokens", SOON, async || {
        Ok(tokens(worker.get(&json!({ "request": "days" })).await?).ok().filter(|tokens| *tokens > 0))
    })
    .await?;
    let worker = worker.restart(&line).await?;
    assert_eq!(worker.status().await?["connection"]["grid"], "Example Grid", "known before it is reached");
    cluster.ready(MODEL).await?;
    assert!(tokens(worker.get(&json!({ "request": "days" })).await?)? >= before);
    Ok(())
}

#[tokio::test]
async fn the_chart_and_the_timeline_go_on_after_a_restart_and_after_a_kill() -> Result<()> {
    let line = json!({ "key": null });
    let worker = Resident::start(&line).await?;
    worker.get(&json!({ "request": "pause" })).await?;
    let points = async |worker: &Resident| {
        let history = worker.get(&json!({ "request": "history", "range": "day" })).await?;
        anyhow::Ok(history["points"].as_array().context("points")?.len())
    };
    wait_until("the chart begins", SOON, async || Ok((points(&worker).await? > 0).then_some(()))).await?;

    let worker = worker.restart(&line).await?;
    assert!(points(&worker).await? > 0, "a restart keeps the chart");
    let worker = worker.restart_after_kill(&line).await?;
    assert!(points(&worker).await? > 0, "a kill keeps what was saved of it");
    let events = worker.get(&json!({ "request": "events", "after_ms": 0 })).await?;
    let what = |key: &str| -> Option<Vec<String>> {
        let text = |event: &Value| event["what"][key].as_str().unwrap_or_default().to_owned();
        Some(events.as_array()?.iter().map(text).collect())
    };
    let (mut told, causes) = (what("event").context("events")?, what("kind").context("events")?);
    let paused = causes.iter().position(|cause| cause == "paused");
    assert!(paused.is_some() && paused < told.iter().position(|event| event == "ended"), "{events}");
    told.retain(|event| event != "allowance");
    assert_eq!(told, ["started", "ended", "started", "ended_unexpectedly", "started"], "{events}");
    Ok(())
}

#[tokio::test]
async fn a_code_that_lets_nobody_in_leaves_the_machine_where_it_was() -> Result<()> {
    let mut cluster = coordinator().await?;
    let worker = Resident::start(&json!({})).await?;
    let refused = join(&worker, "gogrid1-hello").await?;
    assert_eq!((&refused["response"], &refused["body"]["field"]), (&json!("refused"), &json!("code")), "{refused}");

    let code = cluster.invite(&[]).await?;
    join(&worker, &code).await?;
    cluster.ready(MODEL).await?;
    let other = coordinator().await?;
    let theirs: JoinCode = other.invite(&[]).await?.parse()?;
    let forged = JoinCode { token: InviteToken([7; 16]), ..theirs };
    let refused = join(&worker, &forged.to_string()).await?;
    assert!(refused["body"]["message"].as_str().is_some_and(|why| why.contains("did not make")), "{refused}");
    wait_for_state(&worker, "idle").await?;
    cluster.ready(MODEL).await
}

#[tokio::test]
async fn an_orphan_ends_at_once_even_in_the_middle_of_an_answer() -> Result<()> {
    let mut cluster = coordinator().await?;
    let mut worker = Resident::start(&json!({})).await?;
    join(&worker, &cluster.invite(&[]).await?).await?;
    cluster.ready(MODEL).await?;
    let mut stream = cluster.api().stream(long_story(400)).await?;
    stream.first_pieces(2).await?;
    worker.close(ORPHAN_ENDS_WITHIN).await?;
    Ok(())
}

#[tokio::test]
async fn the_self_test_works_under_the_limit_and_stops() -> Result<()> {
    let mut cluster = coordinator().await?;
    let worker = Resident::start(&json!({})).await?;
    join(&worker, &cluster.invite(&[]).await?).await?;
    cluster.ready(MODEL).await?;
    worker.get(&json!({ "request": "set", "changes": [["cpu", "20"]] })).await?;
    let result = worker.get(&json!({ "request": "self_test" })).await?;
    let figure = |name: &str| result[name].as_f64().with_context(|| format!("{name} in {result}"));
    assert!((figure("cpu_allowed")? - 0.2).abs() < 1e-6, "{result}");
    // The bench measures how exactly.
    assert!((0.1..0.3).contains(&figure("cpu_taken")?), "{result}");
    assert!(figure("stopped_after_ms")? < 500.0, "{result}");
    let status = worker.status().await?;
    assert_eq!((&status["state"], &status["stages"][0]["loaded"]), (&json!("idle"), &json!(true)), "{status:#}");

    // Answers are finished first if the donor says so, and none is cut.
    worker.get(&json!({ "request": "set", "changes": [["cpu", "100"]] })).await?;
    let mut stream = cluster.api().stream(long_story(400)).await?;
    stream.first_pieces(2).await?;
    let refused = worker.ask(&json!({ "request": "self_test" })).await?;
    assert_eq!(refused["body"]["field"], "after_answers", "{refused}");
    let after_answers = json!({ "request": "self_test", "after_answers": true });
    let (answer, tested) = tokio::join!(stream.answer(), worker.get(&after_answers));
    answer?;
    assert!(tested?["stopped_after_ms"].as_f64().is_some());
    let answer = cluster.api().chat(ask("What is the capital of Japan?")).await?;
    assert_eq!(content(&answer), "The capital of Japan is Tokyo.", "new answers are taken again");

    worker.get(&json!({ "request": "pause" })).await?;
    let refused = worker.ask(&json!({ "request": "self_test" })).await?;
    assert!(refused["body"]["message"].as_str().is_some_and(|why| why.contains("Paused")), "{refused}");
    Ok(())
}
