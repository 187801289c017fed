//! A coordinator that is killed again and again while keys, members, models and usage are written.
//!
//! `GOGRID_KILLS` sets how often, 5 if it is not given.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{Api, Cluster, MODEL, ask, cluster, demo_model};
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What may be forgotten of a quota.
const FORGETFUL: Duration = Duration::from_secs(5);

/// Tokens of answers that their client has read, each with the time.
type Read = Arc<Mutex<Vec<(Instant, u64)>>>;

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost() -> Result<()> {
    let kills = std::env::var("GOGRID_KILLS").ok().map_or(Ok(5), |kills| kills.parse::<usize>())?;
    let mut cluster = cluster().workers(1).fixed_ports().start().await?;
    let key = cluster.gogrid(&["key", "create", "--note", "the first"]).await?.success()?.trim().to_owned();
    let (mut keys, mut models, mut codes) = (vec![key.clone()], Vec::new(), Vec::new());
    // Tokens that must be counted.
    let mut saved = 0;
    for round in 0..kills {
        let read = Read::default();
        let stop = Arc::new(AtomicBool::new(false));
        let api = Api::new(cluster.url())?.with_key(&key);
        let asking = tokio::spawn(keep_asking(api, read.clone(), stop.clone()));
        keys.push(cluster.gogrid(&["key", "create"]).await?.success()?.trim().to_owned());
        codes.push(cluster.invite(&[]).await?);
        models.push(format!("copy-{round}"));
        cluster.add_model(&demo_model(), &models[round], &["--group", "nowhere"]).await?.success()?;
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..9000))).await;
        let killed = Instant::now();
        cluster.coordinator().kill()?;
        stop.store(true, Ordering::Relaxed);
        asking.await?;
        cluster.restart_coordinator().await?;
        cluster.ready(MODEL).await.with_context(|| format!("after kill {round}"))?;
        let read = std::mem::take(&mut *read.lock().unwrap_or_else(PoisonError::into_inner));
        let old = read.iter().filter(|(at, _)| *at + FORGETFUL < killed);
        let acknowledged = saved + old.map(|(_, tokens)| tokens).sum::<u64>();
        saved = check(&cluster, &keys, &models, &codes).await.with_context(|| format!("after kill {round}"))?;
        ensure!(
            saved >= acknowledged,
            "kill {round}: {saved} tokens are counted, but {acknowledged} were read in time"
        );
    }
    Ok(())
}

async fn keep_asking(api: Api, read: Read, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(answer) = api.chat(ask("What is the capital of Japan?")).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let tokens = answer["usage"]["total_tokens"].as_u64().unwrap_or(0);
        read.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), tokens));
    }
}

/// Checks that everything is there; returns the tokens that are counted.
async fn check(cluster: &Cluster, keys: &[String], models: &[String], codes: &[String]) -> Result<u64> {
    let listed = cluster.gogrid(&["key", "list"]).await?.success()?;
    for key in keys {
        ensure!(listed.contains(&key[..11]), "{} is lost: {listed}", &key[..11]);
        ensure!(Api::new(cluster.url())?.with_key(key).get("/v1/models").await?.status == 200, "{}", &key[..11]);
    }
    let listed = cluster.gogrid(&["model", "list"]).await?.success()?;
    ensure!(models.iter().all(|name| listed.contains(name.as_str())), "{listed}");
    let listed = cluster.gogrid(&["invite", "list"]).await?.success()?;
    ensure!(listed.lines().count() >= codes.len(), "{} codes were made: {listed}", codes.len());
    let members = cluster.gogrid(&["member", "list"]).await?.success()?;
    ensure!(members.lines().count() == 1, "{members}");
    let days: Vec<Value> = serde_json::from_str(&cluster.gogrid(&["usage", "--json"]).await?.success()?)?;
    let counts = days.iter().flat_map(|day| [&day["prompt_tokens"], &day["completion_tokens"]]);
    Ok(counts.filter_map(Value::as_u64).sum())
}
