//! `gogrid bench` measures and gives its verdicts. The figures themselves are in docs/PERFORMANCE.md.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{Host, run_gogrid};
use std::path::{Path, PathBuf};

#[tokio::test]
async fn parity_passes_within_the_bound_and_fails_over_it() -> Result<()> {
    let (model, other) = (reference("qwen3-qk-norm"), reference("qwen2-bias").join("reference.safetensors"));
    let (model, other) = (model.to_str().context("UTF-8")?, other.to_str().context("UTF-8")?);

    let report = run_gogrid(&Host::Local, ["bench", "parity", model]).await?.success()?;
    for cut in ["0..4 ", "0..2 | 2..4", "0..1 | 1..2 | 2..3 | 3..4"] {
        ensure!(report.contains(cut), "{cut} is not in: {report}");
    }
    ensure!(report.contains("within the bound"), "{report}");

    let tight = run_gogrid(&Host::Local, ["bench", "parity", model, "--bound", "1e-9"]).await?;
    ensure!(tight.code == Some(1) && tight.stdout.contains("OVER the bound"), "{tight:?}");
    let foreign = run_gogrid(&Host::Local, ["bench", "parity", model, "--reference", other]).await?;
    ensure!(foreign.code == Some(1) && foreign.stdout.contains("OVER the bound"), "{foreign:?}");
    let missing = run_gogrid(&Host::Local, ["bench", "parity", model, "--reference", "nowhere"]).await?.refusal()?;
    ensure!(missing.contains("nowhere"), "{missing}");
    Ok(())
}

#[tokio::test]
async fn quality_asks_the_held_out_questions() -> Result<()> {
    let args = ["bench", "quality", "--questions", "32", "--quant", "none", "--quant", "q8_0"];
    let table = run_gogrid(&Host::Local, args).await?.success()?;
    for weights in ["none", "q8_0"] {
        let row = table.lines().find(|line| line.starts_with(weights)).with_context(|| table.clone())?;
        ensure!(row.contains("100.0 %"), "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn pipelines_are_timed_beside_a_process_without_links() -> Result<()> {
    let args =
        ["--model", "demo", "--workers", "1", "--workers", "2", "--tokens", "8", "--prompt", "16", "--rounds", "1"];
    let table = run_gogrid(&Host::Local, ["bench", "pipeline"].iter().chain(&args)).await?.success()?;
    for setup in ["one process, no links", "1 worker ", "2 workers"] {
        let row = table.lines().find(|line| line.starts_with(setup)).with_context(|| table.clone())?;
        ensure!(row.contains("MiB"), "the peak memory is shown: {table}");
    }
    Ok(())
}

#[tokio::test]
async fn limits_that_change_are_judged_by_the_answers() -> Result<()> {
    let args = ["bench", "neighbour", "--rows", "changes", "--windows", "3", "--json", "--check"];
    let report = run_gogrid(&Host::Local, args).await?.success()?;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    ensure!(report["rows"][0]["verdict"] == "ok", "{report:#}");
    Ok(())
}

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(name)
}
