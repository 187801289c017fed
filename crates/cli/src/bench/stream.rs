//! A streamed completion over the API, timed from outside.

use super::local::Timing;
use anyhow::{Context, Result, bail, ensure};
use gogrid_api_client::SseDecoder;
use serde_json::{Value, json};
use std::time::Instant;

/// A salt that no request had before, so that all of the prompt is computed.
pub(in crate::bench) fn fresh_salt() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Continues a prompt of token ids greedily by this many tokens, past any end of sequence. All of the prompt is computed.
pub(super) async fn time(url: &str, model: &str, prompt: &[u32], tokens: usize) -> Result<Timing> {
    Ok(time_behind(url, model, prompt, tokens, &fresh_salt()).await?.0)
}

/// As [`time`], but behind what the workers have of earlier prompts with the same salt; tells also how many tokens of the
/// prompt that were.
pub(super) async fn time_behind(
    url: &str,
    model: &str,
    prompt: &[u32],
    tokens: usize,
    salt: &str,
) -> Result<(Timing, u64)> {
    let body = json!({
        "model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": true,
        "stream": true, "stream_options": { "include_usage": true }, "cache_salt": salt,
    });
    let client = reqwest::Client::builder().no_proxy().build()?;
    let start = Instant::now();
    let mut response = client.post(format!("{url}/v1/completions")).json(&body).send().await?;
    let status = response.status();
    if !status.is_success() {
        bail!("{status}: {}", response.text().await?);
    }
    let (mut decoder, mut first, mut last, mut usage) = (SseDecoder::default(), None, None, Value::Null);
    while let Some(bytes) = response.chunk().await? {
        for event in decoder.push(&bytes)? {
            if event == "[DONE]" {
                ensure!(usage["completion_tokens"] == tokens, "{tokens} tokens were asked for, not {usage}");
                let (first, last): (Instant, Instant) = first.zip(last).context("no token came")?;
                let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().context("no cached tokens")?;
                return Ok((Timing { first: first - start, rest: last - first, tokens }, cached));
            }
            let mut event: Value = serde_json::from_str(&event)?;
            ensure!(event.get("error").is_none(), "the answer broke off: {event}");
            if event["choices"][0].is_object() {
                first.get_or_insert_with(Instant::now);
            }
            if !event["choices"][0]["finish_reason"].is_null() {
                last = Some(Instant::now());
            }
            if event["usage"].is_object() {
                usage = event["usage"].take();
            }
        }
    }
    bail!("the stream ended early")
}

/// The arrival times of a greedy continuation's tokens. Runs `act` once `at` tokens have arrived, and returns its
/// result too.
pub(super) async fn arrivals<T>(
    url: &str,
    model: &str,
    prompt: &[u32],
    tokens: usize,
    (at, act): (usize, impl AsyncFnOnce() -> Result<T>),
) -> Result<(Vec<Instant>, T)> {
    // Without alternatives to choose from, every token is an event, whether it has text or not.
    let body = json!({
        "model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": true, "stream": true,
        "logprobs": 0, "cache_salt": fresh_salt(),
    });
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut response = client.post(format!("{url}/v1/completions")).json(&body).send().await?.error_for_status()?;
    let (mut decoder, mut arrivals, mut act, mut result) = (SseDecoder::default(), Vec::new(), Some(act), None);
    while let Some(bytes) = response.chunk().await? {
        for event in decoder.push(&bytes)? {
            if event == "[DONE]" {
                return Ok((arrivals, result.context("the answer was over before")?));
            }
            let event: Value = serde_json::from_str(&event)?;
            ensure!(event.get("error").is_none(), "the answer broke off: {event}");
            arrivals.push(Instant::now());
            if arrivals.len() >= at
                && let Some(act) = act.take()
            {
                result = Some(act().await?);
            }
        }
    }
    bail!("the stream ended early")
}
