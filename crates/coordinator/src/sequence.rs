//! One sequence, with everything that is needed to continue it on any pipeline. Only the coordinator samples.

mod constrained;
mod output;

use self::constrained::Constrained;
use crate::{
    chat::ReasoningLimit,
    constraint::{Constraint, Start},
    generate::{Event, FinishReason, GenerateError, GenerateRequest},
    metrics::Metrics,
    model::Model,
    pipeline::{Pipeline, Retention, SessionReply},
    places::TokenCounter,
    prefix_cache::{CacheScope, Lookup},
    route::{PipelineSelector, Reservation},
};
use gogrid_model::{Candidates, Detokenizer, SampleError, Sampled, Sampler, SamplingError, StopScanner, TokenSet};
use gogrid_wire::{SessionId, control::SessionError, stage::Want};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// The most time for one step, a long prompt on slow machines included; then the pipeline is given up.
const STEP_WITHIN: Duration = Duration::from_secs(600);
/// Timers that make up [`STEP_WITHIN`]. Nobody can answer a coordinator that stands still (a sleeping machine): that
/// costs at most one of them.
const STEP_TIMERS: u32 = 10;

/// How a run over one pipeline ended.
pub(crate) enum Outcome {
    /// The answer is complete, and its client has all of it.
    Finished,
    /// The client is gone.
    Gone,
    /// The pipeline is lost; the sequence can go on over another.
    Lost,
    /// A machine of the pipeline leaves, and another pipeline can take over.
    Moved,
    /// The request cannot go on anywhere.
    Refused(GenerateError),
    /// A machine could not compute the session, or sent a wrong answer; another one might not.
    Failed(GenerateError),
    /// A machine has no memory for the session; the sequence can go on later.
    OutOfMemory,
    /// A stage no longer has what it should reuse; the sequence can start from nothing, at once.
    NotRetained,
    /// The client does not read. The sequence can go on when it does; until then others need its places.
    Unread,
}

/// Waits until a session must give up what it sent or is about to send. Cancel-safe.
async fn interruption(pipeline: &Pipeline, selector: &PipelineSelector) -> Outcome {
    tokio::select! {
        biased;
        () = pipeline.lost.cancelled() => Outcome::Lost,
        // Sampling depends only on the position in the sequence, so the token comes out the same elsewhere.
        () = selector.must_move_now(pipeline) => Outcome::Moved,
        () = step_timeout() => {
            let message = format!("no answer within {} s", STEP_WITHIN.as_secs());
            Outcome::Failed(GenerateError::Stage { message })
        }
    }
}

async fn step_timeout() {
    for _ in 0..STEP_TIMERS {
        tokio::time::sleep(STEP_WITHIN / STEP_TIMERS).await;
    }
}

/// A sequence's state.
pub(crate) struct Sequence {
    model: Arc<Model>,
    /// Prompt, then emitted tokens.
    tokens: Vec<u32>,
    prompt: usize,
    /// The length at which it ends, in tokens.
    end: usize,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stops: StopScanner,
    /// Bounds what the model thinks.
    reasoning: Option<ReasoningLimit>,
    top_logprobs: usize,
    ignore_eos: bool,
    constrained: Option<Constrained>,
    /// Counts its tokens for the fair sharing of places.
    served: TokenCounter,
    metrics: Metrics,
    /// When the request came, and then when its last token was chosen.
    last_token: Instant,
    /// Its last session, which stages may retain.
    session: Option<SessionId>,
    /// Whose cached answers it may reuse, and who may reuse it.
    scope: CacheScope,
    /// Tokens of its prompt that were not computed, as its stages had them.
    cached: usize,
    /// Events that the client has not taken yet: of the last token, and the end.
    unread: VecDeque<Event>,
    /// Whether the end is among them, or was taken.
    is_complete: bool,
}

impl Sequence {
    /// Checks a request against its model.
    pub(crate) fn new(request: &GenerateRequest, model: &Arc<Model>, metrics: Metrics) -> Result<Self, GenerateError> {
        let (prompt, config) = (request.prompt.len(), &model.manifest.config);
        let (context, vocabulary) = (config.context_length, config.vocab_size);
        if prompt == 0 {
            return Err(GenerateError::EmptyPrompt);
        }
        if prompt >= context {
            return Err(GenerateError::PromptTooLong { prompt, context });
        }
        if let Some(token) = request.prompt.iter().find(|token| **token as usize >= vocabulary) {
            return Err(GenerateError::TokenOutOfRange { token: *token, vocabulary });
        }
        let end = match request.max_tokens {
            Some(max_tokens) if max_tokens > context - prompt => {
                return Err(GenerateError::AnswerTooLong { prompt, max_tokens, context });
            }
            Some(max_tokens) => prompt + max_tokens,
            None => context,
        };
        Ok(Self {
            model: model.clone(),
            tokens: request.prompt.clone(),
            prompt,
            end,
            sampler: Sampler::new(request.sampling.clone(), vocabulary, &request.prompt)?,
            detokenizer: model.text.detokenizer(request.continues),
            stops: StopScanner::new(&request.stop)?,
            reasoning: request.reasoning.clone().map(ReasoningLimit::new),
            top_logprobs: request.top_logprobs,
            ignore_eos: request.ignore_eos,
            constrained: None,
            served: TokenCounter::default(),
            metrics,
            last_token: Instant::now(),
            session: None,
            scope: CacheScope { owner: request.requester.owner.clone(), salt: request.cache_salt.clone() },
            cached: 0,
            unread: VecDeque::new(),
            is_complete: false,
        })
    }

    /// Compiles the answer's constraint.
    pub(crate) async fn constrain(&mut self, constraint: &Arc<Constraint>) -> Result<(), GenerateError> {
        let constrained = Constrained::compile(&self.model, constraint, self.prompt, self.ignore_eos).await?;
        if constraint.start == Start::AtOnce {
            // A constrained answer is exactly its tokens, a space at its start included.
            self.detokenizer = self.model.text.detokenizer(true);
        }
        self.constrained = Some(constrained);
        Ok(())
    }

    /// Whether its answer is constrained.
    pub(crate) fn is_constrained(&self) -> bool {
        self.constrained.is_some()
    }

    /// The model's name.
    pub(crate) fn model(&self) -> &str {
        &self.model.name
    }

    /// Tokens of the prompt.
    pub(crate) fn prompt(&self) -> usize {
        self.prompt
    }

    /// Tokens emitted so far.
    pub(crate) fn emitted(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// The greatest length that it may reach, prompt and answer together, in tokens.
    pub(crate) fn max_length(&self) -> usize {
        self.end
    }

    /// Counts its tokens there from now on.
    pub(crate) fn count_in(&mut self, served: &TokenCounter) {
        self.served = served.clone();
    }

    /// What it looks for among complete answers, before it has a session.
    pub(crate) fn lookup(&self) -> Option<Lookup<'_>> {
        self.session.is_none().then_some(Lookup { scope: &self.scope, tokens: &self.tokens })
    }

    /// Starts from nothing in the next pipeline, without what stages may retain.
    pub(crate) fn forget_retained(&mut self) {
        self.session = None;
    }

    /// Generates over one pipeline until the end, or until the sequence should go on over another one.
    pub(crate) async fn run(
        &mut self,
        Reservation { pipeline, kv, prefix }: Reservation,
        selector: &PipelineSelector,
        events: &mpsc::Sender<Event>,
    ) -> Outcome {
        if self.tokens.len() >= self.end {
            self.finish(FinishReason::Length, String::new());
            return self.deliver(events, selector.unread_within()).await.unwrap_or(Outcome::Finished);
        }
        if let Err(outcome) = self.follow_constraint().await {
            return outcome;
        }
        if self.is_complete {
            return self.deliver(events, selector.unread_within()).await.unwrap_or(Outcome::Finished);
        }
        let length = self.tokens.len();
        let reuse = match (&prefix, self.session) {
            (Some(prefix), _) => pipeline.reuse_prefix(prefix),
            (None, Some(session)) => pipeline.plan_reuse(session, length),
            (None, None) => Vec::new(),
        };
        let mut position = reuse.first().map_or(0, |first| first.keep as usize);
        // The first position that some stage computes.
        let mut computed_from = reuse.iter().map(|stage| stage.keep as usize).min().unwrap_or(0);
        if !reuse.is_empty() {
            let kept: Vec<u32> = reuse.iter().map(|stage| stage.keep).collect();
            tracing::info!(epoch = %pipeline.epoch, length, ?kept, "a session reuses KV caches of its stages");
        }
        let mut session = tokio::select! {
            biased;
            session = pipeline.open(self.end as u32, reuse) => session,
            outcome = interruption(&pipeline, selector) => return outcome,
        };
        self.session = Some(session.id());
        let prefix = prefix.map(|prefix| (prefix.session(), prefix.tokens()));
        if self.emitted() == 0 {
            self.cached = prefix.map_or(0, |(_, tokens)| tokens);
            self.metrics.cached_tokens(self.cached);
        }
        loop {
            if let Some(token) = self.reasoning.as_mut().and_then(ReasoningLimit::forced) {
                self.sampler.force(token);
            }
            let sent = Instant::now();
            let step = async {
                let rows = self.tokens.len() - computed_from;
                let allowed = self.constrained.as_ref().map_or(&[][..], Constrained::bytes);
                session.step(position as u32, &self.tokens[position..], rows, self.want(), allowed).await;
                session.reply().await
            };
            let reply = tokio::select! {
                biased;
                reply = step => reply,
                outcome = interruption(&pipeline, selector) => return outcome,
            };
            let is_prefill = self.tokens.len() - computed_from > 1;
            position = self.tokens.len();
            computed_from = position;
            let sampled = match self.candidates(reply, position).and_then(|candidates| self.sample(&candidates)) {
                Ok(sampled) => sampled,
                Err(outcome) => {
                    if let (Outcome::NotRetained, Some((from, _))) = (&outcome, prefix) {
                        pipeline.forget_prefix(from);
                    }
                    return outcome;
                }
            };
            if !is_prefill {
                pipeline.record_token_time(sent.elapsed());
            }
            self.accept(sampled);
            let mut over = self.deliver(events, selector.unread_within()).await;
            if over.is_none() {
                if let Err(outcome) = self.follow_constraint().await {
                    return outcome;
                }
                over = self.deliver(events, selector.unread_within()).await;
            }
            if let Some(outcome) = over {
                if matches!(outcome, Outcome::Finished) {
                    let tokens = self.tokens[..position].to_vec();
                    session.retain(Retention { scope: self.scope.clone(), tokens, kv });
                }
                return outcome;
            }
            if selector.should_move(&pipeline) {
                return Outcome::Moved;
            }
        }
    }

    /// Works out what may come next. Completes the answer if nothing may.
    async fn follow_constraint(&mut self) -> Result<(), Outcome> {
        let Some(constrained) = &mut self.constrained else { return Ok(()) };
        constrained.follow(&self.tokens).await.map_err(Outcome::Refused)?;
        if constrained.is_complete() {
            let text = self.held_back();
            self.finish(FinishReason::Stop, text);
        }
        Ok(())
    }

    /// The tokens that may come next; `None` allows all.
    fn allowed(&self) -> Option<&Arc<TokenSet>> {
        self.constrained.as_ref()?.allowed()
    }

    fn want(&self) -> Want {
        let request = self.sampler.request(self.top_logprobs, self.allowed());
        Want { top: request.top as u32, also: request.also }
    }

    fn candidates(&self, reply: Option<SessionReply>, expected: usize) -> Result<Candidates, Outcome> {
        Err(match reply {
            Some(SessionReply::Candidates { position, candidates }) if position as usize == expected => {
                return Ok(candidates);
            }
            Some(SessionReply::Candidates { position, .. }) => Outcome::Failed(GenerateError::BadCandidates {
                message: format!("they are for position {position}, not {expected}"),
            }),
            // The machine's owner lends less memory now, or other sessions came first.
            Some(SessionReply::Failed(SessionError::OutOfMemory { .. })) => Outcome::OutOfMemory,
            Some(SessionReply::Failed(SessionError::NotRetained)) => Outcome::NotRetained,
            Some(SessionReply::Failed(error)) => Outcome::Failed(GenerateError::Stage { message: error.to_string() }),
            None => Outcome::Lost,
        })
    }

    fn sample(&self, candidates: &Candidates) -> Result<Sampled, Outcome> {
        self.sampler.sample(candidates, self.top_logprobs, self.allowed()).map_err(|error| match error {
            SampleError::AllBanned => {
                let (value, range) = ("a ban of every token that may come next".into(), "none of all of them".into());
                Outcome::Refused(SamplingError { field: "logit_bias", value, range }.into())
            }
            error => Outcome::Failed(GenerateError::BadCandidates { message: error.to_string() }),
        })
    }
}
