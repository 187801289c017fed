//! A steady load for a worker: endless answers, several at a time, or long prompts, which fill a GPU.

use crate::bench::stream::fresh_salt;
use anyhow::{Context, Result, bail};
use gogrid_api_client::SseDecoder;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Concurrent requests of a kind.
const STREAMS: usize = 4;
/// Long answers, so that prompts cost little, but far below the model's context, so that attention costs little.
const ANSWER: Request = Request { prompt: 4, tokens: 512 };
/// Long prompts alone, within the model's context.
const PROMPT: Request = Request { prompt: 1500, tokens: 1 };
/// Tokens of one step arrive within this time.
const TOGETHER: Duration = Duration::from_millis(8);
/// No step takes longer, under any limit.
const STEP_WITHIN: Duration = Duration::from_secs(60);
/// The delay after an answer that was refused or broke off.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The kind of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Answers,
    Prompts,
    /// Both at once.
    Both,
}

impl Asked {
    fn requests(self) -> &'static [Request] {
        match self {
            Self::Answers => &[ANSWER],
            Self::Prompts => &[PROMPT],
            Self::Both => &[ANSWER, PROMPT],
        }
    }
}

/// A request; its fields are in tokens.
#[derive(Debug, Clone, Copy)]
struct Request {
    prompt: u32,
    tokens: usize,
}

/// The load. Dropping it ends it.
pub(super) struct Load {
    counts: watch::Receiver<Counts>,
    _streams: JoinSet<()>,
}

/// What has arrived so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) tokens: u64,
    /// Answers that were refused or broke off.
    pub(super) broken: u64,
}

impl Load {
    /// Starts the load. Its answers end one after another, not all in the same step.
    pub(super) fn start(url: &str, model: &str, asked: Asked) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let (counted, counts) = watch::channel(Counts::default());
        let mut streams = JoinSet::new();
        let requests = asked.requests().iter().flat_map(|request| (1..=STREAMS).map(|number| (*request, number)));
        for (request, number) in requests {
            let (http, url, model) = (http.clone(), format!("{url}/v1/completions"), model.to_owned());
            let counted = counted.clone();
            let first = Request { tokens: (request.tokens * number).div_ceil(STREAMS), ..request };
            streams.spawn(async move { answers(&http, &url, &model, [first, request], &counted).await });
        }
        Ok(Self { counts, _streams: streams })
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits for a token.
    pub(super) async fn some(&mut self) -> Result<()> {
        self.counts.mark_unchanged();
        let before = self.counts().tokens;
        let tokens = self.counts.wait_for(|counts| counts.tokens > before);
        timeout(STEP_WITHIN, tokens).await.context("no token comes any more")??;
        Ok(())
    }

    /// Waits for the end of a step: a token and then a short silence. Returns the tokens so far.
    pub(super) async fn step(&mut self) -> Result<u64> {
        self.some().await?;
        while timeout(TOGETHER, self.counts.changed()).await.is_ok_and(|changed| changed.is_ok()) {}
        Ok(self.counts().tokens)
    }
}

/// One answer after another, for ever.
async fn answers(
    http: &reqwest::Client,
    url: &str,
    model: &str,
    [first, others]: [Request; 2],
    counted: &watch::Sender<Counts>,
) {
    let mut next = first;
    loop {
        if let Err(error) = answer(http, url, model, next, counted).await {
            tracing::warn!(error = format!("{error:#}"), "an answer broke off");
            counted.send_modify(|counts| counts.broken += 1);
            sleep(AGAIN_AFTER).await;
        }
        next = others;
    }
}

async fn answer(
    http: &reqwest::Client,
    url: &str,
    model: &str,
    request: Request,
    counted: &watch::Sender<Counts>,
) -> Result<()> {
    // Ids of words, no special tokens.
    let prompt: Vec<u32> = (0..request.prompt).map(|position| 100 + position).collect();
    let body = json!({
        "model": model, "prompt": prompt, "max_tokens": request.tokens, "temperature": 0, "ignore_eos": true, "stream": true,
        "cache_salt": fresh_salt(),
    });
    let mut response = http.post(url).json(&body).send().await?;
    let status = response.status();
    if !status.is_success() {
        bail!("{status}: {}", response.text().await?);
    }
    let mut decoder = SseDecoder::default();
    while let Some(bytes) = response.chunk().await? {
        for event in decoder.push(&bytes)? {
            if event == "[DONE]" {
                return Ok(());
            }
            let event: Value = serde_json::from_str(&event)?;
            if !event["error"].is_null() {
                bail!("{}", event["error"]["message"]);
            }
            let words = event["choices"][0]["text"].as_str().map_or(0, words);
            if words > 0 {
                counted.send_modify(|counts| counts.tokens += words);
            }
        }
    }
    bail!("the stream ended early")
}

/// The number of tokens in a text of the random model, whose tokens are a word and a space each.
fn words(text: &str) -> u64 {
    text.split_ascii_whitespace().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_may_hold_several_tokens() {
        assert_eq!(words("w7 "), 1);
        assert_eq!(words("w7 w299 "), 2);
        assert_eq!(words(""), 0);
    }
}
