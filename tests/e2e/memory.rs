//! A worker's memory is that of its layers and sessions, and little more.

use anyhow::{Context, Result};
use gogrid_testkit::{cluster, long_story};
use serde_json::Value;

/// Bytes that a worker may use besides weights and KV: the program, its links, buffers.
const PROGRAM: u64 = 60 << 20;

/// Tokens of the one session of this test, prompt and answer.
const TOKENS: u64 = 600;

/// KV memory of one token in one layer of the demo model: keys and values of 4 heads of 32 numbers in f32.
const KV_BYTES_PER_TOKEN_AND_LAYER: u64 = 2 * 4 * 32 * 4;

/// KV memory comes in blocks, of at most this many tokens.
const KV_BLOCK_TOKENS: u64 = 256;

#[tokio::test]
async fn peak_memory_is_weights_and_sessions_and_sixty_megabytes() -> Result<()> {
    for quant in ["none", "q8_0"] {
        peak_memory(quant).await.with_context(|| format!("with --quant {quant}"))?;
    }
    Ok(())
}

async fn peak_memory(quant: &str) -> Result<()> {
    let mut cluster = cluster().workers(2).quant(quant).start().await?;
    let answer = cluster.api().stream(long_story(500)).await?.answer().await?;
    assert_eq!(answer.finish_reason.as_deref(), Some("length"));

    let status = cluster.status().await?;
    let machines = status["workers"].as_array().context("there are workers")?;
    let mut allowed = machines.iter().map(allowed_bytes).collect::<Option<Vec<u64>>>().context("each has a stage")?;
    let mut peaks = cluster.workers().iter().map(gogrid_testkit::Program::peak_memory).collect::<Result<Vec<u64>>>()?;
    // The status does not say which process a worker is: in order of size, each must fit.
    allowed.sort_unstable();
    peaks.sort_unstable();
    for (peak, allowed) in peaks.iter().zip(&allowed) {
        assert!(peak <= allowed, "peak memory {peaks:?} bytes, allowed {allowed:?}");
    }
    Ok(())
}

fn allowed_bytes(machine: &Value) -> Option<u64> {
    let stage = &machine["stages"][0];
    let layers = stage["layers"][1].as_u64()? - stage["layers"][0].as_u64()?;
    let kv = layers * (TOKENS + KV_BLOCK_TOKENS) * KV_BYTES_PER_TOKEN_AND_LAYER;
    Some(stage["weights_bytes"].as_u64()? + kv + PROGRAM)
}
