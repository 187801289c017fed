//! The unmodified `openai` package from PyPI works against this API.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{SOON, ask, cluster, long_story, wait_until};
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

#[tokio::test]
async fn the_python_client_works_over_tls_and_a_renewed_certificate_needs_no_restart() -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let files = tempfile::tempdir()?;
    certificate(files.path())?;
    let setting = |key: &str, file: &str| format!("{key} = {:?}", files.path().join(file));
    let starting = cluster().workers(1).setting(&setting("tls_cert", "cert.pem"));
    let cluster = starting.setting(&setting("tls_key", "key.pem")).start().await?;
    ensure!(cluster.url().starts_with("https://"), "{}", cluster.url());
    let trusted = files.path().join("trusted.pem");
    std::fs::copy(files.path().join("cert.pem"), &trusted)?;
    let ask = async || run_trusting(python.clone(), cluster.url(), "one_answer", Some(&trusted)).await;
    ask().await?;
    certificate(files.path())?;
    wait_until("the old certificate is out of use", SOON, async || Ok(ask().await.is_err().then_some(()))).await?;
    std::fs::copy(files.path().join("cert.pem"), &trusted)?;
    ask().await
}

/// Makes a certificate of its own for the loopback address in a folder.
fn certificate(folder: &Path) -> Result<()> {
    let args = "req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1";
    let mut openssl = Command::new("openssl");
    openssl.args(args.split(' ')).args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(folder);
    let output = openssl.output().context("openssl cannot be started")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
    run_trusting(python, url, part, None).await
}

/// The same with a certificate to trust.
async fn run_trusting(python: OsString, url: &str, part: &str, trusted: Option<&Path>) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/openai_client.py");
    let mut command = Command::new(&python);
    command.arg(script).args([url, part]).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(trusted) = trusted {
        command.env("SSL_CERT_FILE", trusted);
    }
    let output: Output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .with_context(|| format!("GOGRID_TEST_PYTHON names {}, which cannot be started", python.to_string_lossy()))?;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    ensure!(output.status.success(), "{complained}");
    Ok(())
}
