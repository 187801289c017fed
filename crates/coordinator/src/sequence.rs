//! One sequence: everything that is needed to go on with it on any pipeline. The coordinator alone samples.

use crate::{
    fleet::Model,
    generate::{Completion, Event, FinishReason, GenerateError, GenerateRequest, TokenEvent},
    pipeline::{Answer, Pipeline},
};
use gogrid_model::{Candidates, Detokenizer, Sampler, StopScanner};
use gogrid_wire::{control::SessionError, stage::Want};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// The most that one step may take, a long prompt on slow machines included; past this its pipeline is given up on.
const STEP_WITHIN: Duration = Duration::from_secs(600);

/// How a run over one pipeline ended.
pub(crate) enum Outcome {
    /// The answer is whole, or nobody wants it any more.
    Finished,
    /// The pipeline is lost; the sequence can go on over another.
    Lost,
    /// A machine has no memory for the session (any more); the sequence can go on later.
    HandedBack,
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

    /// Whether the pipeline could ever hold the sequence.
    pub(crate) fn check_room(&self, pipeline: &Pipeline) -> Result<(), GenerateError> {
        if self.end <= pipeline.capacity {
            Ok(())
        } else {
            Err(GenerateError::TooLarge { needed: self.end, available: pipeline.capacity })
        }
    }

    /// Generates over one pipeline until the end, or until the pipeline is lost.
    pub(crate) async fn run(
        &mut self,
        pipeline: &Arc<Pipeline>,
        events: &mpsc::Sender<Event>,
    ) -> Result<Outcome, GenerateError> {
        if self.tokens.len() >= self.end {
            return Ok(self.finish(FinishReason::Length, String::new(), events).await);
        }
        let room = pipeline.room.clone().acquire_many_owned(self.end as u32);
        let _room = tokio::select! {
            room = room => room.map_err(|_| GenerateError::ShuttingDown)?,
            () = pipeline.lost.cancelled() => return Ok(Outcome::Lost),
        };
        let mut session = pipeline.open(self.end as u32).await;
        let mut position = 0;
        loop {
            session.step(position as u32, &self.tokens[position..], self.want()).await;
            position = self.tokens.len();
            let candidates = tokio::select! {
                answer = session.answer() => match answer {
                    // Its owner lends that machine's memory no more, or others came first: again, when there is room.
                    Some(Answer::Failed(SessionError::OutOfMemory { .. })) => return Ok(Outcome::HandedBack),
                    answer => self.candidates(answer, position)?,
                },
                () = pipeline.lost.cancelled() => return Ok(Outcome::Lost),
                () = tokio::time::sleep(STEP_WITHIN) => {
                    let message = format!("no answer within {} s", STEP_WITHIN.as_secs());
                    return Err(GenerateError::Stage { message });
                }
            };
            if let Some(outcome) = self.take(&candidates, events).await? {
                return Ok(outcome);
            }
        }
    }

    fn want(&self) -> Want {
        let request = self.sampler.request(self.top_logprobs);
        Want { top: request.top as u32, also: request.also }
    }

    fn candidates(&self, answer: Option<Answer>, expected: usize) -> Result<Candidates, GenerateError> {
        match answer {
            Some(Answer::Candidates { position, candidates }) if position as usize == expected => Ok(candidates),
            Some(Answer::Candidates { position, .. }) => Err(GenerateError::BadCandidates {
                message: format!("they are for position {position}, not {expected}"),
            }),
            Some(Answer::Failed(error)) => Err(GenerateError::Stage { message: error.to_string() }),
            None => Err(GenerateError::ShuttingDown),
        }
    }

    /// Chooses the next token and sends what it makes certain; `Some` when the sequence is over with it.
    async fn take(
        &mut self,
        candidates: &Candidates,
        events: &mpsc::Sender<Event>,
    ) -> Result<Option<Outcome>, GenerateError> {
        let sampled = self
            .sampler
            .sample(candidates, self.top_logprobs)
            .map_err(|error| GenerateError::BadCandidates { message: error.to_string() })?;
        self.sampler.accept(sampled.token);
        self.tokens.push(sampled.token);
        if self.model.text.is_eos(sampled.token) && !self.ignore_eos {
            let mut text = self.stops.push(&self.detokenizer.finish()).emit;
            text.push_str(&self.stops.finish());
            return Ok(Some(self.finish(FinishReason::Stop, text, events).await));
        }
        let scanned = self.stops.push(&self.detokenizer.push(sampled.token));
        let event = TokenEvent { text: scanned.emit, token: sampled.token, logprob: sampled.logprob, top: sampled.top };
        if events.send(Event::Token(event)).await.is_err() {
            return Ok(Some(Outcome::Finished));
        }
        if scanned.stopped {
            return Ok(Some(self.finish(FinishReason::Stop, String::new(), events).await));
        }
        if self.tokens.len() >= self.end {
            let last = self.stops.push(&self.detokenizer.finish());
            let text = if last.stopped { last.emit } else { last.emit + &self.stops.finish() };
            return Ok(Some(self.finish(FinishReason::Length, text, events).await));
        }
        Ok(None)
    }

    async fn finish(&self, reason: FinishReason, text: String, events: &mpsc::Sender<Event>) -> Outcome {
        let done = Completion { reason, text, prompt_tokens: self.prompt, completion_tokens: self.emitted() };
        drop(events.send(Event::Done(done)).await);
        Outcome::Finished
    }
}
