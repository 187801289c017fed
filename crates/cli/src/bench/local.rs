//! A whole model in this process, without links or HTTP, to compare pipelines with.

use anyhow::{Context, Result};
use gogrid_compute::{Stage, StageOptions};
use gogrid_model::{
    DeviceKind, DeviceSpec, FloatType, Input, Layers, Output, Quant, Sampler, SamplingParams, SessionKey, Source, Span,
    TextModel,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Prompt tokens per step, as in the coordinator.
const PREFILL_CHUNK_CPU: usize = 64;
const PREFILL_CHUNK_GPU: usize = 512;

/// A loaded model.
pub(super) struct Local {
    stage: Stage,
    text: TextModel,
    chunk: usize,
}

/// One prompt's continuation, timed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// From the start to the first token.
    pub(super) first: Duration,
    /// From the first token to the last.
    pub(super) rest: Duration,
    /// The number of tokens, with the first.
    pub(super) tokens: usize,
}

/// Sequences that were continued together.
pub(super) struct Batch {
    /// The new tokens of each, without the end-of-sequence token.
    pub(super) answers: Vec<Vec<u32>>,
    /// The mean negative log-probability of each one's tokens, with the end-of-sequence token, in nats.
    pub(super) surprise: Vec<f64>,
    /// The time of all decode steps.
    pub(super) decode: Duration,
    /// The tokens of those steps.
    pub(super) decoded: usize,
}

struct Sequence {
    session: SessionKey,
    /// The tokens of the next step, and the position of the first of them.
    next: Vec<u32>,
    position: usize,
    sampler: Sampler,
    /// The sum of the chosen tokens' log-probabilities, and their number.
    logprobs: f64,
    chosen: usize,
}

impl Local {
    /// Loads every layer; `None` is the device's default weight type.
    pub(super) fn load(path: &Path, quant: Option<Quant>, device: DeviceSpec) -> Result<Self> {
        let source = Source::open(path)?;
        let manifest = source.manifest()?;
        let quant = quant.unwrap_or_else(|| manifest.default_quant(device.kind()));
        let chunk = if device.kind() == DeviceKind::Cpu { PREFILL_CHUNK_CPU } else { PREFILL_CHUNK_GPU };
        let options = StageOptions { quant, device, kv_budget: u64::MAX, chunk, activations: FloatType::F32 };
        let stage = Stage::load(&manifest, Layers::all(manifest.config.layers.len()), &source, &options)?;
        Ok(Self { stage, text: source.text()?, chunk })
    }

    pub(super) fn text(&self) -> &TextModel {
        &self.text
    }

    /// Bytes of the weights in memory.
    pub(super) fn weight_bytes(&self) -> u64 {
        self.stage.weight_bytes()
    }

    /// Continues one prompt greedily by this many tokens, past any end of sequence.
    pub(super) fn time(&mut self, prompt: &[u32], tokens: usize) -> Result<Timing> {
        let start = Instant::now();
        let mut sequences = [self.open(0, prompt, prompt.len() + tokens)?];
        self.prefill(&mut sequences)?;
        let first = start.elapsed();
        for _ in 1..tokens {
            self.step(&mut sequences.each_mut())?;
        }
        self.stage.close_all();
        Ok(Timing { first, rest: start.elapsed() - first, tokens })
    }

    /// Continues several prompts greedily and together, each until its end of sequence or `most` tokens.
    pub(super) fn answer(&mut self, prompts: &[Vec<u32>], most: usize) -> Result<Batch> {
        let mut sequences = Vec::new();
        for (number, prompt) in prompts.iter().enumerate() {
            sequences.push(self.open(number as u64, prompt, prompt.len() + most)?);
        }
        self.prefill(&mut sequences)?;
        let mut answers = vec![Vec::new(); prompts.len()];
        let (mut decode, mut decoded) = (Duration::ZERO, 0);
        let mut live: Vec<&mut Sequence> = sequences.iter_mut().collect();
        loop {
            live.retain(|sequence| {
                let answer: &mut Vec<u32> = &mut answers[sequence.session.0 as usize];
                let over = self.text.is_eos(sequence.next[0]) || answer.len() == most;
                if !over {
                    answer.extend(&sequence.next);
                }
                !over && answer.len() < most
            });
            if live.is_empty() {
                break;
            }
            let start = Instant::now();
            self.step(&mut live)?;
            decode += start.elapsed();
            decoded += live.len();
        }
        self.stage.close_all();
        let surprise = sequences.iter().map(|sequence| -sequence.logprobs / sequence.chosen as f64).collect();
        Ok(Batch { answers, surprise, decode, decoded })
    }

    fn open(&mut self, number: u64, prompt: &[u32], capacity: usize) -> Result<Sequence> {
        let session = SessionKey(number);
        self.stage.open(session, capacity)?;
        let greedy = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        let sampler = Sampler::new(greedy, self.stage.config().vocab_size, prompt)?;
        Ok(Sequence { session, next: prompt.to_vec(), position: 0, sampler, logprobs: 0.0, chosen: 0 })
    }

    /// Prefills every prompt in chunks, and samples its first token.
    fn prefill(&mut self, sequences: &mut [Sequence]) -> Result<()> {
        for sequence in sequences {
            while sequence.next.len() > self.chunk {
                let rest = sequence.next.split_off(self.chunk);
                let span = Span { tokens: self.chunk, ..sequence.span(false) };
                self.stage.forward(&[span], Input::Tokens(&sequence.next))?;
                sequence.position += self.chunk;
                sequence.next = rest;
            }
            self.step(&mut [sequence])?;
        }
        Ok(())
    }

    /// One decode step of several sequences, each of which holds its next token afterwards.
    fn step(&mut self, sequences: &mut [&mut Sequence]) -> Result<()> {
        let spans: Vec<Span> = sequences.iter().map(|sequence| sequence.span(true)).collect();
        let tokens: Vec<u32> = sequences.iter().flat_map(|sequence| &sequence.next).copied().collect();
        let Output::Candidates(rows) = self.stage.forward(&spans, Input::Tokens(&tokens))? else {
            anyhow::bail!("a whole model puts out candidates");
        };
        for (sequence, found) in sequences.iter_mut().zip(&rows) {
            let sampled = sequence.sampler.sample(found, 0, None).context("sampling")?;
            sequence.sampler.accept(sampled.token);
            sequence.position += sequence.next.len();
            sequence.next = vec![sampled.token];
            sequence.logprobs += f64::from(sampled.logprob);
            sequence.chosen += 1;
        }
        Ok(())
    }
}

impl Sequence {
    fn span(&self, last: bool) -> Span {
        let want = last.then(|| self.sampler.request(0, None));
        Span { session: self.session, position: self.position, tokens: self.next.len(), want }
    }
}
