//! What a worker gives up, as its state and the kernel say. `crates/probe/tests/sandbox.rs` tries what is left.

use anyhow::{Context, Result};
use gogrid_testkit::{Resident, cluster};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// A field of `/proc/PID/status`.
fn kernel_says(pid: u32, field: &str) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("the field is there")?;
    Ok(line.trim_start_matches(':').trim().to_owned())
}

fn lever<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    let levers = status["levers"].as_array()?;
    Some(&levers.iter().find(|lever| lever["name"] == name)?["result"])
}

#[tokio::test]
async fn a_worker_keeps_to_its_own_files_and_starts_nothing_and_says_so() -> Result<()> {
    let worker = Resident::start(&json!({})).await?;
    let status = worker.status().await?;
    let (files, programs) = (lever(&status, "Landlock"), lever(&status, "seccomp"));
    let (files, programs) = files.zip(programs).with_context(|| format!("both are told: {status:#}"))?;
    // Each worker tries both when it starts: that its user's home cannot be listed, and that it cannot start itself.
    if Path::new("/sys/kernel/security/lsm").exists() {
        let modules = fs::read_to_string("/sys/kernel/security/lsm")?;
        assert_eq!(files["Ok"].is_string(), modules.contains("landlock"), "{files}");
    }
    assert_eq!(programs["Ok"], "no program can be started", "{programs}");
    let pid = worker.pid().context("it runs")?;
    assert_eq!((kernel_says(pid, "NoNewPrivs")?, kernel_says(pid, "Seccomp")?), ("1".into(), "2".into()));
    // What it shows of the machine is there all the same.
    let diagnosis = worker.get(&json!({ "request": "diagnose" })).await?;
    for signal in ["memory", "power"] {
        let signals = diagnosis["signals"].as_array().context("signals")?;
        let found = signals.iter().find(|found| found["signal"] == signal).context(signal)?;
        assert!(found["source"].is_string(), "{found}");
    }
    let programs = worker.get(&json!({ "request": "programs" })).await?;
    assert!(programs.as_array().is_some_and(|names| !names.is_empty()), "other programs are named: {programs}");
    Ok(())
}

#[tokio::test]
async fn a_worker_whose_user_keeps_his_rights_warns_of_it() -> Result<()> {
    let worker = Resident::start_with("GOGRID_NO_SANDBOX", "1", &json!({})).await?;
    let status = worker.status().await?;
    let said = lever(&status, "sandbox").and_then(|result| result["Err"].as_str());
    assert!(said.is_some_and(|why| why.starts_with("turned off")), "{status:#}");
    let pid = worker.pid().context("it runs")?;
    assert_eq!((lever(&status, "Landlock"), kernel_says(pid, "Seccomp")?), (None, "0".into()));
    Ok(())
}

/// Limits in a file of the user's choice are still kept.
#[tokio::test]
async fn limits_elsewhere_can_be_changed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("limits.toml");
    fs::write(&file, "cpu = 40\n")?;
    let cluster = cluster().worker_args(&["--limits", file.to_str().context("a path")?]).start().await?;
    cluster.worker_gogrid(0, &["limits", "set", "cpu=50"]).await?.success()?;
    let kept = fs::read_to_string(&file)?;
    assert!(kept.contains("cpu = \"50%\"") || kept.contains("cpu = 50"), "{kept}");
    Ok(())
}
