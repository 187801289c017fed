//! One sequence, with everything that is needed to continue it on any pipeline. Only the coordinator samples.

use crate::{
    chat::ReasoningLimit,
    constraint::{Constraint, ConstraintProblem, ConstraintState, NextTokens, Start, compile, follow},
    generate::{Completion, Event, FinishReason, GenerateError, GenerateRequest, TokenEvent},
    metrics::Metrics,
    model::Model,
    pipeline::{Pipeline, Retention, SessionReply},
    places::TokenCounter,
    prefix_cache::{CacheScope, Lookup},
    route::{PipelineSelector, Reservation},
};
use gogrid_model::{
    Candidates, Detokenizer, SampleError, Sampled, Sampler, SamplingError, Scanned, StopScanner, TokenSet,
};
use gogrid_wire::{SessionId, control::SessionError, stage::Want};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, mpsc::error::SendTimeoutError},
    time::Instant,
};

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
    /// Who may go on from its tokens, and from whose it may go on.
    scope: CacheScope,
    /// Tokens of its prompt that were not computed, as its stages had them.
    cached: usize,
    /// Events that the client has not taken yet: of the last token, and the end.
    unread: VecDeque<Event>,
    /// Whether the end is among them, or was taken.
    is_complete: bool,
}

/// A sequence's constraint.
struct Constrained {
    constraint: Arc<Constraint>,
    /// Gone where it failed.
    state: Option<Box<ConstraintState>>,
    /// Tokens of the sequence, prompt and answer, that it has taken in.
    seen: usize,
    /// What may follow these.
    next: Option<NextTokens>,
    /// The same as it travels; empty where any token may come.
    bytes: Vec<u8>,
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
        let state = compile(&self.model, constraint, self.ignore_eos).await?;
        if constraint.start == Start::AtOnce {
            // The text is what the tokens say, also where it begins with a space.
            self.detokenizer = self.model.text.detokenizer(true);
        }
        let (constraint, state) = (Arc::clone(constraint), Some(Box::new(state)));
        self.constrained = Some(Constrained { constraint, state, seen: self.prompt, next: None, bytes: Vec::new() });
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
                let allowed = self.constrained.as_ref().map_or(&[][..], |constrained| constrained.bytes.as_slice());
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
        if constrained.next.is_none() || constrained.seen < self.tokens.len() {
            let chosen = self.tokens[constrained.seen..].to_vec();
            let refused = |problem| Outcome::Refused(constrained.constraint.error(problem).into());
            let failed = || refused(ConstraintProblem::Invalid { message: "it failed before".into() });
            let state = constrained.state.take().ok_or_else(failed)?;
            let (state, next) = follow(state, chosen).await.map_err(refused)?;
            constrained.bytes = if let NextTokens::Among(set) = &next { set.to_bytes() } else { Vec::new() };
            (constrained.state, constrained.next, constrained.seen) = (Some(state), Some(next), self.tokens.len());
        }
        if constrained.next == Some(NextTokens::Complete) {
            let text = self.held_back();
            self.finish(FinishReason::Stop, text);
        }
        Ok(())
    }

    /// The tokens that may come next; `None` allows all.
    fn allowed(&self) -> Option<&Arc<TokenSet>> {
        match self.constrained.as_ref()?.next.as_ref()? {
            NextTokens::Among(set) => Some(set),
            NextTokens::Any | NextTokens::Complete => None,
        }
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

    /// The text that was held back, at an end that no stop string makes.
    fn held_back(&mut self) -> String {
        let last = self.stops.push(&self.detokenizer.finish());
        if last.stopped { last.emit } else { last.emit + &self.stops.finish() }
    }

    /// Appends the next token, and the events that follow from it.
    fn accept(&mut self, sampled: Sampled) {
        self.served.add(1);
        self.count_token();
        self.sampler.accept(sampled.token);
        self.tokens.push(sampled.token);
        if let Some(reasoning) = &mut self.reasoning {
            reasoning.accept(&self.model.text.token_bytes(sampled.token));
        }
        if self.model.text.is_eos(sampled.token) && !self.ignore_eos {
            let mut text = self.stops.push(&self.detokenizer.finish()).emit;
            text.push_str(&self.stops.finish());
            return self.finish(FinishReason::Stop, text);
        }
        let scanned = self.scan(sampled.token);
        let event = TokenEvent { text: scanned.emit, token: sampled.token, logprob: sampled.logprob, top: sampled.top };
        self.unread.push_back(Event::Token(event));
        if scanned.stopped {
            self.finish(FinishReason::Stop, String::new());
        } else if self.tokens.len() >= self.end {
            let text = self.held_back();
            self.finish(FinishReason::Length, text);
        }
    }

    /// The text that becomes certain with a token.
    fn scan(&mut self, token: u32) -> Scanned {
        if self.model.text.special_text(token).is_none() {
            return self.stops.push(&self.detokenizer.push(token));
        }
        // A mark of the format stands between two texts: neither a character nor a stop string goes over it.
        let mut scanned = self.stops.push(&self.detokenizer.finish());
        if !scanned.stopped {
            scanned.emit.push_str(&self.stops.finish());
        }
        scanned
    }

    fn count_token(&mut self) {
        let now = Instant::now();
        let after = now.saturating_duration_since(std::mem::replace(&mut self.last_token, now));
        match self.emitted() {
            0 => self.metrics.first_token(after),
            _ => self.metrics.next_token(after),
        }
    }

    fn finish(&mut self, reason: FinishReason, text: String) {
        let stop = self.stops.found().map(str::to_owned);
        let (prompt_tokens, completion_tokens) = (self.prompt, self.emitted());
        let done = Completion { reason, text, stop, prompt_tokens, completion_tokens, cached_tokens: self.cached };
        self.unread.push_back(Event::Done(done));
        self.is_complete = true;
    }

    /// Hands the client what it has not taken yet; `Some` if the sequence does not go on here. Not cancel-safe.
    async fn deliver(&mut self, events: &mpsc::Sender<Event>, within: Duration) -> Option<Outcome> {
        while let Some(event) = self.unread.pop_front() {
            match events.send_timeout(event, within).await {
                Ok(()) => {}
                Err(SendTimeoutError::Closed(_)) => return Some(Outcome::Gone),
                Err(SendTimeoutError::Timeout(event)) => {
                    self.unread.push_front(event);
                    return Some(Outcome::Unread);
                }
            }
        }
        self.is_complete.then_some(Outcome::Finished)
    }

    /// Waits until the client has taken everything; `Some` if the sequence is over with it. Not cancel-safe.
    pub(crate) async fn wait_until_read(&mut self, events: &mpsc::Sender<Event>) -> Option<Outcome> {
        while let Some(event) = self.unread.pop_front() {
            if events.send(event).await.is_err() {
                return Some(Outcome::Gone);
            }
        }
        self.is_complete.then_some(Outcome::Finished)
    }
}
