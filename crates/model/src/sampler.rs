//! Chooses the next token from the candidates that the last stage sends.
//!
//! The order is vLLM's: logit bias, repetition penalty, frequency and presence penalty, temperature, min-p, top-k, top-p.
//! Min-p and top-p see the distribution as it is then, renormalized over what was kept. Reported log-probabilities are
//! the model's own, before all of that.
//!
//! **Greedy is exact**: [`Sampler::request`] asks for enough candidates that the adjusted maximum over the whole
//! vocabulary is among them. A token that nothing raises can only be beaten by the tokens that rank above it; of these
//! at most as many fall as penalties and bias push down, so one more than those is enough, and whatever is pushed up is
//! asked for by id. **Sampling** is over the [`SAMPLED_CANDIDATES`] most likely tokens after penalties and bias, exact
//! by the same argument, and so is top-k up to that number.
//!
//! **Constraints**: where only some tokens may come next, both hold for these: the last stage leaves out the others before
//! it ranks.
//!
//! **Replay**: a sampler's state is its parameters and the tokens that it has seen. The random number of a step is
//! drawn by the step's index from the seed, so that a clone, or a new sampler that accepted the same tokens, goes on
//! identically; sampling twice without [`Sampler::accept`] gives the same token.

use crate::candidates::rank;
use crate::sampling::BAN;
use crate::{CandidateRequest, Candidates, SamplingError, SamplingParams, TokenSet};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// How many tokens are sampled from at temperatures above 0. Of a trained model's distribution they hold all but a
/// vanishing tail (which top-p would cut anyway), and their 8 KiB are no more than an activation of the same step.
pub const SAMPLED_CANDIDATES: usize = 1024;

/// The most alternatives that may be reported beside a token: OpenAI's limit.
pub const MAX_TOP_LOGPROBS: usize = 20;

/// One session's sampler.
#[derive(Debug, Clone)]
pub struct Sampler {
    params: SamplingParams,
    vocabulary: usize,
    bias: BTreeMap<u32, f32>,
    /// How often each token occurs in the answer; tokens of the prompt alone are there with 0. Empty without penalties.
    seen: HashMap<u32, u32>,
    accepted: u64,
    /// The next token, whatever the candidates say.
    forced: Option<u32>,
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Its id.
    pub token: u32,
    /// The model's natural log-probability of it, before bias, penalties and temperature.
    pub logprob: f32,
    /// The most likely tokens with their log-probabilities, most likely first; as many as were asked for.
    pub top: Vec<(u32, f32)>,
}

/// Candidates that cannot be sampled from. They come from another machine, so nothing about them is taken for granted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// Not as many candidates as were asked for, or ids and logits of different number.
    #[error("{ids} candidate ids and {logits} logits came, {expected} were asked for")]
    Length {
        /// Ids that came.
        ids: usize,
        /// Logits that came.
        logits: usize,
        /// How many of each the request leads to.
        expected: usize,
    },
    /// An id is not in the vocabulary.
    #[error("candidate token {token} is outside the vocabulary of {vocabulary} tokens")]
    OutOfVocabulary {
        /// The id.
        token: u32,
        /// The vocabulary's size.
        vocabulary: usize,
    },
    /// A logit is NaN or infinite: the computation overflowed somewhere in the model.
    #[error("the logit of candidate token {token} is {logit}, not a finite number")]
    NotFinite {
        /// The id.
        token: u32,
        /// Its logit.
        logit: f32,
    },
    /// The log-sum-exp is NaN, infinite, or below the largest logit.
    #[error("the log-sum-exp is {log_sum_exp}, which cannot be with a largest logit of {largest}")]
    LogSumExp {
        /// What came.
        log_sum_exp: f32,
        /// The largest logit.
        largest: f32,
    },
    /// The candidates are not in the promised order, or not those that were asked for.
    #[error("candidate {index} (token {token}) is out of order, repeated, or was not asked for")]
    Order {
        /// Its place in the list.
        index: usize,
        /// Its id.
        token: u32,
    },
    /// Bias bans every token of the vocabulary, or every one that is allowed.
    #[error("logit_bias bans every token that may come next")]
    AllBanned,
}

impl Sampler {
    /// A sampler for one session over a vocabulary of that size; the prompt counts for the repetition penalty.
    ///
    /// # Errors
    /// The first parameter that is outside its range.
    pub fn new(params: SamplingParams, vocabulary: usize, prompt: &[u32]) -> Result<Self, SamplingError> {
        params.validate(vocabulary)?;
        let bias = params.logit_bias.iter().copied().filter(|&(_, bias)| bias != 0.0).collect();
        let counted = if params.repetition_penalty == 1.0 { &[] } else { prompt };
        let seen = counted.iter().map(|&token| (token, 0)).collect();
        Ok(Sampler { params, vocabulary, bias, seen, accepted: 0, forced: None })
    }

    /// Takes this token next, whatever is likely.
    pub fn force(&mut self, token: u32) {
        self.forced = Some(token);
    }

    /// What the last stage has to send for the next token, which is one of `allowed`.
    pub fn request(&self, top_logprobs: usize, allowed: Option<&Arc<TokenSet>>) -> CandidateRequest {
        let (mut down, mut also) = (0, Vec::new());
        for (&token, &bias) in &self.bias {
            if !self.seen.contains_key(&token) {
                down += usize::from(bias < 0.0);
                also.extend((bias > 0.0).then_some(token));
            }
        }
        let SamplingParams { repetition_penalty, presence_penalty, frequency_penalty, .. } = self.params;
        for (&token, &count) in &self.seen {
            let bias = self.bias.get(&token).copied().unwrap_or(0.0);
            let (presence, frequency) = if count > 0 { (presence_penalty, frequency_penalty) } else { (0.0, 0.0) };
            let falls = bias < 0.0 || repetition_penalty > 1.0 || presence > 0.0 || frequency > 0.0;
            let rises = bias > 0.0 || repetition_penalty < 1.0 || presence < 0.0 || frequency < 0.0;
            down += usize::from(falls);
            also.extend(rises.then_some(token));
        }
        also.extend(self.forced);
        also.retain(|&token| (token as usize) < self.vocabulary); // a prompt is not checked here
        also.retain(|&token| allowed.is_none_or(|allowed| allowed.contains(token)));
        also.sort_unstable();
        also.dedup();
        let top = (self.pool() + down).max(top_logprobs).min(self.vocabulary);
        CandidateRequest { top, also, allowed: allowed.cloned() }
    }

    /// How many of the most likely tokens, after penalties and bias, the choice is made from.
    fn pool(&self) -> usize {
        if self.params.is_greedy() { 1 } else { self.params.top_k.unwrap_or(usize::MAX).min(SAMPLED_CANDIDATES) }
    }

    /// Chooses the next token from the answer to [`Sampler::request`] with the same arguments.
    ///
    /// # Errors
    /// The candidates are not what was asked for, or hold numbers that no model means.
    pub fn sample(
        &self,
        candidates: &Candidates,
        top_logprobs: usize,
        allowed: Option<&Arc<TokenSet>>,
    ) -> Result<Sampled, SampleError> {
        let request = self.request(top_logprobs, allowed);
        check(candidates, &request, self.vocabulary)?;
        let raw = || candidates.ids.iter().copied().zip(candidates.logits.iter().copied());
        let mut pool: Vec<(u32, f32)> =
            raw().map(|(id, x)| (id, self.adjust(id, x))).filter(|&(_, x)| x > f32::NEG_INFINITY).collect();
        let token = if self.forced.is_some() {
            self.forced
        } else if self.params.is_greedy() {
            pool.iter().copied().min_by(|&a, &b| rank(a, b)).map(|(id, _)| id)
        } else {
            pool.sort_unstable_by(|&a, &b| rank(a, b));
            pool.truncate(self.pool());
            self.draw(&pool)
        };
        let token = token.ok_or(SampleError::AllBanned)?;
        let logprob = |x: f32| (x - candidates.log_sum_exp).min(0.0);
        let chosen = raw().find(|&(id, _)| id == token).map_or(f32::NEG_INFINITY, |(_, x)| logprob(x));
        let top = raw().take(top_logprobs.min(request.top)).map(|(id, x)| (id, logprob(x))).collect();
        Ok(Sampled { token, logprob: chosen, top })
    }

    /// Records a token of the answer: the one that was sampled, or one that was delivered before a replay.
    pub fn accept(&mut self, token: u32) {
        self.accepted += 1;
        self.forced = None;
        let SamplingParams { repetition_penalty, presence_penalty, frequency_penalty, .. } = self.params;
        if repetition_penalty != 1.0 || presence_penalty != 0.0 || frequency_penalty != 0.0 {
            *self.seen.entry(token).or_insert(0) += 1;
        }
    }

    /// A token's logit after bias and penalties; finite, or −∞ for a banned one.
    fn adjust(&self, token: u32, mut logit: f32) -> f32 {
        if let Some(&bias) = self.bias.get(&token) {
            if bias <= BAN {
                return f32::NEG_INFINITY;
            }
            logit += bias;
        }
        if let Some(&count) = self.seen.get(&token) {
            let penalty = self.params.repetition_penalty;
            logit = if logit > 0.0 { logit / penalty } else { logit * penalty };
            if count > 0 {
                logit -= self.params.frequency_penalty * count as f32 + self.params.presence_penalty;
            }
        }
        logit.clamp(f32::MIN, f32::MAX)
    }

    /// Draws from tokens in the order of their adjusted logits.
    fn draw(&self, pool: &[(u32, f32)]) -> Option<u32> {
        let &(_, largest) = pool.first()?;
        let temperature = f64::from(self.params.temperature);
        let weight = |&(_, x): &(u32, f32)| ((f64::from(x) - f64::from(largest)) / temperature).exp();
        let mut weights: Vec<f64> = pool.iter().map(weight).collect(); // relative to the largest, which has 1
        let likely = weights.partition_point(|&w| w >= f64::from(self.params.min_p));
        weights.truncate(likely.max(1));
        weights.truncate(nucleus(&weights, f64::from(self.params.top_p)));
        let mut left = uniform(self.params.seed, self.accepted) * weights.iter().sum::<f64>();
        let fallen = weights.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        pool.get(fallen.unwrap_or(weights.len() - 1)).map(|&(id, _)| id)
    }
}

/// The fewest leading weights that hold at least this part of their sum; at least one.
fn nucleus(weights: &[f64], top_p: f64) -> usize {
    if top_p >= 1.0 {
        return weights.len();
    }
    let mut missing = top_p * weights.iter().sum::<f64>();
    let enough = weights.iter().position(|w| {
        missing -= w;
        missing <= 0.0
    });
    enough.map_or(weights.len(), |last| last + 1)
}

/// The `index`-th number of a seed's sequence, in [0, 1). ChaCha's output is the same on every machine.
fn uniform(seed: u64, index: u64) -> f64 {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut stream = ChaCha8Rng::from_seed(key);
    stream.set_word_pos(u128::from(index) * 2);
    (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Whether the candidates are an answer to the request that [`crate::candidates()`] could have given.
fn check(candidates: &Candidates, request: &CandidateRequest, vocabulary: usize) -> Result<(), SampleError> {
    let Candidates { ids, logits, log_sum_exp } = candidates;
    let possible = request.allowed.as_ref().map_or(vocabulary, |allowed| allowed.count());
    let ranked = request.top.min(possible).min(ids.len());
    let mut known = ids[..ranked].to_vec();
    known.sort_unstable();
    let also: Vec<u32> = request.also.iter().copied().filter(|id| known.binary_search(id).is_err()).collect();
    let expected = request.top.min(possible) + also.len();
    if ids.len() != expected || logits.len() != expected {
        return Err(SampleError::Length { ids: ids.len(), logits: logits.len(), expected });
    }
    let pairs = || ids.iter().copied().zip(logits.iter().copied());
    if let Some((token, _)) = pairs().find(|&(token, _)| token as usize >= vocabulary) {
        return Err(SampleError::OutOfVocabulary { token, vocabulary });
    }
    if let Some((token, logit)) = pairs().find(|(_, logit)| !logit.is_finite()) {
        return Err(SampleError::NotFinite { token, logit });
    }
    if let Some(twice) = known.windows(2).find(|pair| pair[0] == pair[1]) {
        let index = ids.iter().rposition(|&id| id == twice[0]).unwrap_or(0);
        return Err(SampleError::Order { index, token: twice[0] });
    }
    let is_allowed = |token: u32| request.allowed.as_ref().is_none_or(|allowed| allowed.contains(token));
    for (index, pair) in pairs().enumerate() {
        let before = index.min(ranked).checked_sub(1);
        let in_order = before.is_none_or(|i| rank((ids[i], logits[i]), pair).is_lt());
        if !in_order || !is_allowed(pair.0) || (index >= ranked && pair.0 != also[index - ranked]) {
            return Err(SampleError::Order { index, token: pair.0 });
        }
    }
    let largest = logits.first().copied().unwrap_or(f32::NEG_INFINITY);
    if !log_sum_exp.is_finite() || *log_sum_exp < largest {
        return Err(SampleError::LogSumExp { log_sum_exp: *log_sum_exp, largest });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
