//! Answers while limits change all the time: none may be wrong or lost, and memory must follow each change.
//!
//! The demo model answers known questions greedily, so the right answer is known to the byte. Memory limits range from
//! what all sessions need down to little more than the stage. Sessions that no longer fit wait and are computed again,
//! and their answers must be the same.

use super::{report::Row, selection::Selection, site::Site, windows::percentile};
use crate::{
    args::BenchModel,
    assets,
    client::{ApiClient, Message, Question, connect},
};
use anyhow::{Context, Result, ensure};
use gogrid_model::DeviceSpec;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Deserialize;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};

/// Answers at a time.
const SESSIONS: usize = 16;
/// Changes of limits.
const CHANGES: usize = 1000;
/// The time between two changes, in ms: some slices, or none.
const BETWEEN_MS: std::ops::Range<u64> = 0..30;
/// A memory limit must hold after one slice and the time to free memory.
const HOLDS_WITHIN: Duration = Duration::from_millis(50);
/// The delay before a refused answer is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Fixed, so that a run can be repeated.
const SEED: u64 = 7;

/// A question, with the demo model's answer.
#[derive(Debug, Clone, Deserialize)]
struct Known {
    question: String,
    answer: String,
}

/// The outcomes of answers.
#[derive(Debug, Default, Clone, Copy)]
struct Outcomes {
    right: usize,
    wrong: usize,
    /// Broke off after its beginning.
    lost: usize,
    /// Refused before its beginning, and asked for again.
    refused: usize,
}

pub(super) async fn rows(selection: &Selection) -> Result<Vec<Row>> {
    selection.announce("answers under changing limits");
    let mut site = Site::start(BenchModel::Demo, DeviceSpec::Cpu).await?;
    let client = connect(site.url())?;
    let known = known(&client).await?;
    let stage = site.status().await?.usage;
    let over = Arc::new(AtomicBool::new(false));
    let mut sessions = JoinSet::new();
    for known in known {
        sessions.spawn(ask_again(client.clone(), known, over.clone()));
    }
    let changes = selection.scaled(CHANGES);
    let changed = change(&mut site, stage.weights_bytes + stage.workspace_bytes, changes).await;
    over.store(true, Ordering::Relaxed);
    site.unlimited().await?;
    let mut outcomes = Outcomes::default();
    while let Some(one) = sessions.join_next().await {
        let one = one?;
        outcomes.right += one.right;
        outcomes.wrong += one.wrong;
        outcomes.lost += one.lost;
        outcomes.refused += one.refused;
    }
    let Changed { late, below, without_stage } = changed?;
    site.stop().await?;
    let Outcomes { right, wrong, lost, refused } = outcomes;
    ensure!(right >= SESSIONS, "only {right} answers came to their end while limits changed");
    let longest = percentile(&late, 100.0);
    let measured = format!(
        "{changes} changes ({below} of them took memory away), {right} answers: {wrong} wrong, {lost} lost; memory over a \
         new limit for {longest:.1} ms at most"
    );
    let raw = json!({
        "changes": changes, "right": right, "wrong": wrong, "lost": lost, "refused": refused, "below": below,
        "without_stage": without_stage, "late_ms": late,
    });
    let met = wrong == 0 && lost == 0 && longest <= HOLDS_WITHIN.as_secs_f64() * 1e3;
    let bar = "none wrong, none lost, memory within a slice";
    Ok(vec![Row::new("answers under changing limits", measured, bar, met, raw)])
}

/// Questions, with the answers that the model gives undisturbed.
async fn known(client: &ApiClient) -> Result<Vec<Known>> {
    let mut known: Vec<Known> = serde_json::from_str(assets::HELD_OUT).context("the held-out questions")?;
    // The longest answers, so that most of each is in flight when a limit changes.
    known.sort_by_key(|known| std::cmp::Reverse(known.answer.len()));
    known.truncate(SESSIONS);
    for one in &mut known {
        one.answer.clear();
        ask(client, &one.question, &mut one.answer).await?;
    }
    Ok(known)
}

async fn ask(client: &ApiClient, question: &str, answer: &mut String) -> Result<()> {
    let messages = [Message { role: "user", content: question.to_owned() }];
    let question = Question { model: "demo", messages: &messages, temperature: Some(0.0) };
    client
        .stream_chat(question, |text| {
            answer.push_str(text);
            Ok(())
        })
        .await?;
    Ok(())
}

/// Asks again and again, until `over`.
async fn ask_again(client: ApiClient, known: Known, over: Arc<AtomicBool>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    while !over.load(Ordering::Relaxed) {
        let mut answer = String::new();
        match ask(&client, &known.question, &mut answer).await {
            Ok(()) if answer == known.answer => outcomes.right += 1,
            Ok(()) => {
                tracing::error!(question = known.question, answer, expected = known.answer, "a wrong answer");
                outcomes.wrong += 1;
            }
            Err(error) if answer.is_empty() => {
                tracing::debug!(error = format!("{error:#}"), "refused");
                outcomes.refused += 1;
                sleep(AGAIN_AFTER).await;
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a lost answer");
                outcomes.lost += 1;
            }
        }
    }
    outcomes
}

/// The effect of the changes.
#[derive(Debug, Default)]
struct Changed {
    /// How long memory exceeded each new limit, in ms.
    late: Vec<f64>,
    /// Changes of the memory limit below the memory in use.
    below: usize,
    /// Changes after which the stage was not in memory.
    without_stage: usize,
}

/// Changes limits again and again. `stage` is the stage's memory without sessions, in bytes.
async fn change(site: &mut Site, stage: u64, changes: usize) -> Result<Changed> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut done = Changed::default();
    let mut most_kv = stage / 8;
    for _ in 0..changes {
        let before = site.status().await?.usage;
        most_kv = most_kv.max(before.kv_bytes);
        let (key, value) = match random.random_range(0..4) {
            0 => ("cpu", random.random_range(1..=100_u32).to_string()),
            1 => ("cpu-threads", random.random_range(1..=site.cores).to_string()),
            2 => ("gpu", random.random_range(1..=100_u32).to_string()),
            _ => ("memory", memory(stage, most_kv, &mut random)),
        };
        site.limit(&[(key, &value)]).await?;
        let (start, mut held) = (Instant::now(), Duration::ZERO);
        let mut now = site.status().await?;
        done.below += usize::from(now.usage.limit_bytes < before.ledger_bytes);
        done.without_stage += usize::from(!now.stages.iter().any(|stage| stage.loaded));
        while now.usage.ledger_bytes > now.usage.limit_bytes && held <= HOLDS_WITHIN {
            held = start.elapsed();
            now = site.status().await?;
        }
        done.late.push(held.as_secs_f64() * 1e3);
        sleep(Duration::from_millis(random.random_range(BETWEEN_MS))).await;
    }
    Ok(done)
}

/// A memory limit: in half of the cases enough for everything. Otherwise it lies between little more than the stage and
/// the stage with all sessions, so that sessions have to go or the coordinator finds no place for the model.
fn memory(stage: u64, kv: u64, random: &mut StdRng) -> String {
    if random.random() {
        return "25%".into();
    }
    // A sixteenth is reserved for workspace.
    let least = stage * 9 / 8;
    format!("{}B", random.random_range(least..=least + 2 * kv))
}
