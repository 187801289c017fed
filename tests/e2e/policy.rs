//! A machine's administrator bounds what is lent, and the donor may be stricter.

use anyhow::{Context, Result};
use gogrid_testkit::{Network, Resident};
use serde_json::{Value, json};

const POLICY: &str = "managed-by = \"Example GmbH\"\n[limits]\ncpu = { most = \"50%\" }\n";

#[tokio::test]
async fn a_policy_holds_is_told_and_cannot_be_exceeded() -> Result<()> {
    if let Some(reason) = Network::unavailable() {
        println!("skipped: {reason}");
        return Ok(());
    }
    let worker = Resident::start_under(POLICY, &json!({})).await?;
    let status = worker.status().await?;
    assert_eq!(status["managed_by"], "Example GmbH");
    assert_eq!(cpu(&status)?, (&json!("50%"), &json!("50%")));

    let refused = worker.ask(&json!({ "request": "set", "changes": [["cpu", "80"]] })).await?;
    assert_eq!(refused["body"]["field"], "cpu", "{refused}");
    worker.get(&json!({ "request": "set", "changes": [["cpu", "20"]] })).await?;
    let status = worker.status().await?;
    assert_eq!(cpu(&status)?, (&json!("20%"), &json!("50%")));
    assert!(status["allowance"]["cpu"].as_u64() <= Some(200), "{status:#}");
    Ok(())
}

#[tokio::test]
async fn a_policy_that_is_not_understood_lends_nothing() -> Result<()> {
    if let Some(reason) = Network::unavailable() {
        println!("skipped: {reason}");
        return Ok(());
    }
    let ended = Resident::start_under("[limits]\ncpu = { atmost = 50 }\n", &json!({})).await;
    let error = ended.err().context("it runs without knowing what it may lend")?;
    assert!(error.to_string().contains("ended"), "{error:#}");
    Ok(())
}

/// The CPU limit in effect, and its bound.
fn cpu(status: &Value) -> Result<(&Value, &Value)> {
    let settings = status["limits"].as_array().context("limits")?;
    let cpu = settings.iter().find(|setting| setting["key"] == "cpu").context("every key is listed")?;
    Ok((&cpu["value"], &cpu["managed"]["bound"]))
}
