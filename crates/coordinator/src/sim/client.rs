//! A simulated client: a request, and the tokens that must come back.

use super::{checks::Log, model};
use crate::{
    generate::{Event, GenerateError, GenerateRequest, GenerationService, Requester},
    router::Router,
};
use gogrid_model::SamplingParams;
use std::{ops::ControlFlow, time::Duration};
use tokio::sync::mpsc;

/// What a client says after an answer, three times.
const TURN: u32 = 150;
/// A client that is told to come again does so after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) number: usize,
    pub(super) model: usize,
    pub(super) at: Duration,
    pub(super) prompt: Vec<u32>,
    pub(super) tokens: usize,
    pub(super) sampling: SamplingParams,
    pub(super) manner: Manner,
    /// Further requests, each of which begins with the prompt and the answer before.
    pub(super) turns: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    Reads,
    /// Reads a token, and waits.
    ReadsSlowly(Duration),
    /// Disconnects after this number of tokens.
    Leaves(usize),
}

impl Manner {
    /// How long after an error the client may read of it: tokens lie before it in the queue.
    pub(super) fn behind(self) -> Duration {
        /// Events that the router buffers for a slow client, and some in transit.
        const EVENTS: u32 = 70;
        if let Self::ReadsSlowly(pause) = self { pause * EVENTS } else { Duration::ZERO }
    }
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client got every token that it waited for.
    Whole,
    Failed(GenerateError),
}

/// The name of a model by its number.
pub(super) fn name(model: usize) -> String {
    format!("model-{model}")
}

impl Ask {
    /// Sends the request until there is an answer, or an error after which clients do not retry.
    pub(super) async fn run(mut self, layers: u32, router: Router, log: Log, ends: mpsc::Sender<(Self, End)>) {
        tokio::time::sleep(self.at).await;
        loop {
            let (end, answer) = self.turn(layers, &router, &log).await;
            if self.turns == 0 || !matches!((&end, self.manner), (End::Whole, Manner::Reads)) {
                log.note(format_args!("request {} ({:?}) has ended: {end:?}", self.number, self.manner));
                return drop(ends.send((self, end)).await);
            }
            self.turns -= 1;
            self.prompt.extend(answer);
            self.prompt.extend([TURN; 3]);
        }
    }

    /// One request, until there is an answer, and the tokens of that.
    async fn turn(&self, layers: u32, router: &Router, log: &Log) -> (End, Vec<u32>) {
        let expected = model::expected(layers, &self.prompt, &self.sampling, self.tokens);
        let end = loop {
            let request = GenerateRequest {
                model: name(self.model),
                prompt: self.prompt.clone(),
                sampling: self.sampling.clone(),
                continues: false,
                max_tokens: Some(self.tokens),
                stop: Vec::new(),
                top_logprobs: 0,
                ignore_eos: true,
                constraint: None,
                reasoning: None,
                requester: Requester::local(),
                cache_salt: None,
            };
            match self.attempt(request, router, &expected, log).await {
                ControlFlow::Break(end) => break end,
                ControlFlow::Continue(error) => {
                    log.note(format_args!("request {} comes again: {error}", self.number));
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        (end, expected)
    }

    async fn attempt(
        &self,
        request: GenerateRequest,
        router: &Router,
        expected: &[u32],
        log: &Log,
    ) -> ControlFlow<End, GenerateError> {
        use GenerateError::{NotReady, QueueFull, TooLarge};
        let mut events = match router.generate(request).await {
            Ok(events) => events,
            Err(error @ (NotReady { .. } | QueueFull { .. } | TooLarge { .. })) => {
                return ControlFlow::Continue(error);
            }
            Err(error) => return ControlFlow::Break(End::Failed(error)),
        };
        let mut count = 0;
        loop {
            if matches!(self.manner, Manner::Leaves(after) if after <= count) {
                return ControlFlow::Break(End::Whole);
            }
            match events.recv().await {
                Some(Event::Token(token)) => {
                    if expected.get(count) != Some(&token.token) {
                        let wanted = expected.get(count);
                        log.wrong(format_args!("request {}: token {count} is not {wanted:?}", self.number));
                    }
                    count += 1;
                    if let Manner::ReadsSlowly(pause) = self.manner {
                        tokio::time::sleep(pause).await;
                    }
                }
                Some(Event::Done(done)) => {
                    if count != expected.len() || done.completion_tokens != count {
                        log.wrong(format_args!("request {} is done after {count} tokens", self.number));
                    }
                    if done.cached_tokens > 0 {
                        let (number, prompt) = (self.number, self.prompt.len());
                        log.note(format_args!("request {number} had {} of {prompt} tokens cached", done.cached_tokens));
                    }
                    return ControlFlow::Break(End::Whole);
                }
                Some(Event::Failed(error @ NotReady { .. })) if count == 0 => return ControlFlow::Continue(error),
                Some(Event::Failed(error)) => {
                    if matches!(error, GenerateError::PipelineLost { delivered } if delivered != count) {
                        log.wrong(format_args!("request {}: {count} tokens, but {error}", self.number));
                    }
                    return ControlFlow::Break(End::Failed(error));
                }
                None => {
                    log.wrong(format_args!("request {} has no end", self.number));
                    return ControlFlow::Break(End::Whole);
                }
            }
        }
    }
}
