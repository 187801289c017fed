//! One sequence: everything that is needed to go on with it on any pipeline. The coordinator alone samples.

use crate::{
    fleet::Model,
    generate::{Completion, Event, FinishReason, GenerateError, GenerateRequest, TokenEvent},
    pipeline::Answer,
    route::{Place, Search},
};
use gogrid_model::{Candidates, Detokenizer, SampleError, Sampled, Sampler, StopScanner};
use gogrid_wire::{SessionId, control::SessionError, stage::Want};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// The most that one step may take, a long prompt on slow machines included; past this its pipeline is given up on.
const STEP_WITHIN: Duration = Duration::from_secs(600);
/// It is waited for in parts: for as long as the coordinator itself stood still, nobody could answer, and that counts for
/// one of them at most.
const PARTS: u32 = 10;

/// How a run over one pipeline ended.
pub(crate) enum Outcome {
    /// The answer is whole, or nobody wants it any more.
    Finished,
    /// The pipeline is lost; the sequence can go on over another.
    Lost,
    /// A machine of the pipeline is wanted back, and there is another pipeline to go on over.
    Moved,
    /// A machine could not compute the session, or answered wrongly; another might.
    Failed(GenerateError),
    /// A machine has no memory for the session (any more); the sequence can go on later.
    HandedBack,
    /// What it was to go on from is not there any more; it can begin anew, at once.
    NotRetained,
}

async fn too_long() {
    for _ in 0..PARTS {
        tokio::time::sleep(STEP_WITHIN / PARTS).await;
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
    top_logprobs: usize,
    ignore_eos: bool,
    /// Its last session, which stages may have kept.
    session: Option<SessionId>,
}

impl Sequence {
    /// Checks a request against its model.
    pub(crate) fn new(request: &GenerateRequest, model: &Arc<Model>) -> Result<Self, GenerateError> {
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
            detokenizer: model.text.detokenizer(false),
            stops: StopScanner::new(&request.stop)?,
            top_logprobs: request.top_logprobs,
            ignore_eos: request.ignore_eos,
            session: None,
        })
    }

    /// The model's name.
    pub(crate) fn model(&self) -> &str {
        &self.model.name
    }

    /// Tokens emitted so far.
    pub(crate) fn emitted(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// The most tokens, prompt and answer together, that it may reach.
    pub(crate) fn longest(&self) -> usize {
        self.end
    }

    /// Does without what stages may have kept of it.
    pub(crate) fn begin_anew(&mut self) {
        self.session = None;
    }

    /// Generates over one pipeline until the end, or until it should go on over another.
    pub(crate) async fn run(
        &mut self,
        Place { pipeline, room: _room }: Place,
        search: &Search,
        events: &mpsc::Sender<Event>,
    ) -> Outcome {
        if self.tokens.len() >= self.end {
            return self.finish(FinishReason::Length, String::new(), events).await;
        }
        let length = self.tokens.len();
        let resume = self.session.take().map_or_else(Vec::new, |session| pipeline.resume(session, length));
        let mut position = resume.first().map_or(0, |first| first.keep as usize);
        if !resume.is_empty() {
            let kept: Vec<u32> = resume.iter().map(|stage| stage.keep).collect();
            tracing::info!(epoch = %pipeline.epoch, length, ?kept, "a session goes on from what its stages kept");
        }
        let mut replayed = !resume.is_empty();
        let mut session = pipeline.open(self.end as u32, resume).await;
        self.session = Some(session.id());
        loop {
            let asked = Instant::now();
            session.step(position as u32, &self.tokens[position..], self.want()).await;
            let prefill = std::mem::take(&mut replayed) || self.tokens.len() - position > 1;
            position = self.tokens.len();
            let answer = tokio::select! {
                biased;
                answer = session.answer() => answer,
                () = pipeline.lost.cancelled() => return Outcome::Lost,
                // The sampler draws from the place in the sequence alone: the token comes out the same elsewhere.
                () = search.leaves_at_once(&pipeline) => return Outcome::Moved,
                () = too_long() => {
                    let message = format!("no answer within {} s", STEP_WITHIN.as_secs());
                    return Outcome::Failed(GenerateError::Stage { message });
                }
            };
            let sampled = match self.candidates(answer, position).and_then(|candidates| self.sample(&candidates)) {
                Ok(sampled) => sampled,
                Err(outcome) => return outcome,
            };
            if !prefill {
                pipeline.took(asked.elapsed());
            }
            if let Some(outcome) = self.take(sampled, events).await {
                return outcome;
            }
            if search.leaves(&pipeline) {
                return Outcome::Moved;
            }
        }
    }

    fn want(&self) -> Want {
        let request = self.sampler.request(self.top_logprobs);
        Want { top: request.top as u32, also: request.also }
    }

    fn candidates(&self, answer: Option<Answer>, expected: usize) -> Result<Candidates, Outcome> {
        Err(match answer {
            Some(Answer::Candidates { position, candidates }) if position as usize == expected => {
                return Ok(candidates);
            }
            Some(Answer::Candidates { position, .. }) => Outcome::Failed(GenerateError::BadCandidates {
                message: format!("they are for position {position}, not {expected}"),
            }),
            // Its owner lends that machine's memory no more, or others came first: again, when there is room.
            Some(Answer::Failed(SessionError::OutOfMemory { .. })) => Outcome::HandedBack,
            Some(Answer::Failed(SessionError::NotRetained)) => Outcome::NotRetained,
            Some(Answer::Failed(error)) => Outcome::Failed(GenerateError::Stage { message: error.to_string() }),
            None => Outcome::Lost,
        })
    }

    fn sample(&self, candidates: &Candidates) -> Result<Sampled, Outcome> {
        let bad = |error: SampleError| GenerateError::BadCandidates { message: error.to_string() };
        self.sampler.sample(candidates, self.top_logprobs).map_err(|error| Outcome::Failed(bad(error)))
    }

    /// Takes the next token and sends what it makes certain; `Some` when the sequence is over with it.
    async fn take(&mut self, sampled: Sampled, events: &mpsc::Sender<Event>) -> Option<Outcome> {
        self.sampler.accept(sampled.token);
        self.tokens.push(sampled.token);
        if self.model.text.is_eos(sampled.token) && !self.ignore_eos {
            let mut text = self.stops.push(&self.detokenizer.finish()).emit;
            text.push_str(&self.stops.finish());
            return Some(self.finish(FinishReason::Stop, text, events).await);
        }
        let scanned = self.stops.push(&self.detokenizer.push(sampled.token));
        let event = TokenEvent { text: scanned.emit, token: sampled.token, logprob: sampled.logprob, top: sampled.top };
        if events.send(Event::Token(event)).await.is_err() {
            return Some(Outcome::Finished);
        }
        if scanned.stopped {
            return Some(self.finish(FinishReason::Stop, String::new(), events).await);
        }
        if self.tokens.len() >= self.end {
            let last = self.stops.push(&self.detokenizer.finish());
            let text = if last.stopped { last.emit } else { last.emit + &self.stops.finish() };
            return Some(self.finish(FinishReason::Length, text, events).await);
        }
        None
    }

    async fn finish(&self, reason: FinishReason, text: String, events: &mpsc::Sender<Event>) -> Outcome {
        let done = Completion { reason, text, prompt_tokens: self.prompt, completion_tokens: self.emitted() };
        drop(events.send(Event::Done(done)).await);
        Outcome::Finished
    }
}
