//! The unmodified `openai` package from PyPI works against this API.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{SOON, ask, cluster, long_story};
use serde_json::Value;
use std::{
    ffi::OsString,
    path::Path,
    process::{Command, Output},
};

#[tokio::test]
async fn the_python_client_works_unchanged() -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let cluster = cluster().workers(2).start().await?;
    run(python, cluster.url(), "everything").await
}

#[tokio::test]
async fn the_python_client_knows_a_full_queue() -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let starting = cluster().workers(2).setting("max_sessions = 1").setting("queue_capacity = 1");
    let mut cluster = starting.start().await?;
    let running = cluster.api().stream(long_story(900)).await?;
    let api = cluster.api();
    let waiting = tokio::spawn(async move { api.chat(ask("What is GoGrid?")).await });
    let full = |status: &Value| (status["sessions"] == 1 && status["queue"]["waiting"] == 1).then_some(());
    cluster.wait_status("one request runs and one waits", SOON, full).await?;
    run(python, cluster.url(), "rate_limit").await?;
    drop(running);
    waiting.await??;
    Ok(())
}

/// The interpreter that has the client; without it these tests say that they were skipped.
fn python() -> Option<OsString> {
    let python = std::env::var_os("GOGRID_TEST_PYTHON");
    if python.is_none() {
        println!("skipped: GOGRID_TEST_PYTHON is not set; `cargo xtask test` makes the interpreter and sets it");
    }
    python
}

async fn run(python: OsString, url: &str, part: &str) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/openai_client.py");
    let mut command = Command::new(&python);
    command.arg(script).args([url, part]).env("PYTHONDONTWRITEBYTECODE", "1");
    let output: Output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .with_context(|| format!("GOGRID_TEST_PYTHON names {}, which cannot be started", python.to_string_lossy()))?;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    ensure!(output.status.success(), "{complained}");
    Ok(())
}
