//! Invalid join codes: the worker says why and ends.

use anyhow::{Result, ensure};
use gogrid_testkit::{Cluster, Host, SOON, cluster, run_gogrid, wait_until};
use gogrid_wire::{InviteToken, JoinCode, PeerId};
use serde_json::Value;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_used_code_lets_nobody_in() -> Result<()> {
    let mut cluster = cluster().start_coordinator().await?;
    let code = cluster.invite(&["--uses", "1"]).await?;
    cluster.join_worker(&code)?;
    let joined = |status: &Value| (members(status) == 1).then_some(());
    cluster.wait_status("the first worker is in", SOON, joined).await?;
    refused(&cluster, &code, "used").await
}

#[tokio::test]
async fn an_expired_code_lets_nobody_in() -> Result<()> {
    let cluster = cluster().start_coordinator().await?;
    let code = cluster.invite(&["--expires", "1s"]).await?;
    let made = Instant::now();
    wait_until("the code expires", SOON, async || Ok((made.elapsed() > Duration::from_secs(2)).then_some(()))).await?;
    refused(&cluster, &code, "expired").await
}

#[tokio::test]
async fn a_code_that_this_coordinator_did_not_make_lets_nobody_in() -> Result<()> {
    let cluster = cluster().start_coordinator().await?;
    let good: JoinCode = cluster.invite(&[]).await?.parse()?;
    let forged = JoinCode { token: InviteToken([7; 16]), ..good };
    refused(&cluster, &forged.to_string(), "did not make").await
}

#[tokio::test]
async fn a_code_of_another_coordinator_does_not_reach_this_one() -> Result<()> {
    let (here, there) = (cluster().start_coordinator().await?, cluster().start_coordinator().await?);
    let mut code: JoinCode = here.invite(&[]).await?.parse()?;
    let other: JoinCode = there.invite(&[]).await?.parse()?;
    // Another coordinator's key at this one's address: an impostor is detected.
    code.coordinator.id = other.coordinator.id;
    ensure!(code.coordinator.id != PeerId([0; 32]), "a coordinator has a key");
    refused(&here, &code.to_string(), "").await
}

#[tokio::test]
async fn a_text_that_is_no_code_is_refused_as_such() -> Result<()> {
    let cluster = cluster().start_coordinator().await?;
    let code = cluster.invite(&[]).await?;
    refused(&cluster, "open-sesame", "join code").await?;
    refused(&cluster, &code[..code.len() - 4], "join code").await
}

/// A new worker with this code ends with a message that contains the word, and no machine was added.
async fn refused(cluster: &Cluster, code: &str, word: &str) -> Result<()> {
    let before = members(&cluster.status().await?);
    let data = tempfile::tempdir_in(cluster.scratch())?;
    let folder = data.path().as_os_str();
    let worker =
        run_gogrid(&Host::Local, ["worker".as_ref(), "--data".as_ref(), folder, "--join".as_ref(), code.as_ref()]);
    let refusal = worker.await?.refusal()?;
    ensure!(refusal.contains(word), "the message does not say {word:?}: {refusal}");
    ensure!(!refusal.trim().is_empty(), "the worker says why");
    let after = members(&cluster.status().await?);
    ensure!(before == after, "{after} members instead of {before}");
    Ok(())
}

fn members(status: &Value) -> usize {
    status["workers"].as_array().map_or(0, Vec::len)
}
