//! A request's generations, one per choice: started together, read together, dropped together.

use super::{envelope::Usage, error::ApiError, options::ValidOptions};
use crate::{
    constraint::Constraint,
    generate::{Completion, Event, FinishReason, GenerateRequest, GenerationService, Requester, TokenEvent},
    keys::{Caller, Streams},
};
use futures::{
    StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use std::{cmp::Reverse, sync::Arc};
use tokio_stream::wrappers::ReceiverStream;

/// The generations that a request asks for.
#[derive(Debug)]
pub(super) struct ChoiceRequests {
    /// The model's name.
    pub(super) model: String,
    /// The field that holds the prompts: `messages` or `prompt`.
    pub(super) input: &'static str,
    /// Token ids, one sequence per prompt.
    pub(super) prompts: Vec<Vec<u32>>,
    /// Whether the answers go on from the middle of a text.
    pub(super) continues: bool,
    /// Alternatives to report for each token.
    pub(super) top_logprobs: usize,
    pub(super) options: ValidOptions,
    /// What every answer's text must be.
    pub(super) constraint: Option<Arc<Constraint>>,
}

/// The generations under way. Dropping it cancels those that are not done.
///
/// Each generation's channel is bounded by the router, and nothing is read ahead of the client: a client that does not
/// read stops the generations.
pub(super) struct Choices {
    /// Events with the index of their choice; `None` says that the choice's channel closed.
    events: SelectAll<BoxStream<'static, (usize, Option<Event>)>>,
    input: &'static str,
    caller: Caller,
    _streams: Option<Streams>,
    /// By choice: tokens that were counted for the caller.
    counted: Vec<usize>,
    /// By choice: whether its end has not come yet.
    open: Vec<bool>,
    /// Tokens of all prompts.
    prompt_tokens: usize,
    /// Tokens of the choices that are done.
    completion_tokens: usize,
    /// Tokens of the prompts that were not computed, by the first choice of each.
    cached_tokens: usize,
    /// Choices of each prompt.
    choices: usize,
}

/// What happened next in one choice.
#[derive(Debug)]
pub(super) enum ChoiceEvent {
    /// One more token.
    Token(TokenEvent),
    /// The choice is complete.
    Done(Completion),
}

/// One complete choice.
#[derive(Debug, Default)]
pub(super) struct FinishedChoice {
    pub(super) text: String,
    /// The tokens with their log-probabilities, if asked for.
    pub(super) tokens: Vec<TokenEvent>,
    /// Why it ended.
    pub(super) reason: Option<FinishReason>,
}

impl ChoiceRequests {
    /// Starts every choice: those of the first prompt, then those of the second, and so on.
    ///
    /// The router checks each sequence before it queues it. The longest prompt goes first, so that a prompt that is too
    /// long is refused before anything is queued. If the queue refuses one choice, dropping the others cancels them.
    ///
    /// # Errors
    /// The first refusal.
    pub(super) async fn start(self, service: &dyn GenerationService, caller: &Caller) -> Result<Choices, ApiError> {
        let choices = self.options.choices as usize;
        let streams = caller.streams(self.prompts.len() * choices).map_err(|error| ApiError::key(&error))?;
        let mut longest_first: Vec<usize> = (0..self.prompts.len()).collect();
        longest_first.sort_by_key(|&prompt| Reverse(self.prompts[prompt].len()));
        let mut events = SelectAll::new();
        for prompt in longest_first {
            for choice in 0..choices {
                let request = self.request(prompt, choice as u64, caller.requester());
                let receiver = service.generate(request).await;
                let receiver = receiver.map_err(|error| ApiError::generate(&error, self.input))?;
                let index = prompt * choices + choice;
                let closed = stream::once(async { None });
                let until_closed = ReceiverStream::new(receiver).map(Some).chain(closed);
                events.push(until_closed.map(move |event| (index, event)).boxed());
            }
        }
        let prompt_tokens: usize = self.prompts.iter().map(Vec::len).sum();
        // Each choice computes its prompt.
        caller.used(prompt_tokens * choices, 0);
        Ok(Choices {
            events,
            input: self.input,
            caller: caller.clone(),
            _streams: streams,
            counted: vec![0; self.prompts.len() * choices],
            open: vec![true; self.prompts.len() * choices],
            prompt_tokens,
            completion_tokens: 0,
            cached_tokens: 0,
            choices,
        })
    }

    fn request(&self, prompt: usize, choice: u64, requester: Requester) -> GenerateRequest {
        let options = &self.options;
        let mut sampling = options.sampling.clone();
        sampling.seed = options.seed.map_or_else(rand::random, |seed| seed.wrapping_add(choice));
        GenerateRequest {
            model: self.model.clone(),
            prompt: self.prompts[prompt].clone(),
            continues: self.continues,
            sampling,
            max_tokens: options.max_tokens,
            stop: options.stop.clone(),
            top_logprobs: self.top_logprobs,
            ignore_eos: options.ignore_eos,
            constraint: self.constraint.clone(),
            requester,
            cache_salt: options.cache_salt.clone(),
        }
    }
}

impl Choices {
    /// The next event of any choice, with the choice's index; `None` after the last one's end.
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    ///
    /// # Errors
    /// One of the generations failed, and with it the whole request.
    pub(super) async fn next(&mut self) -> Option<Result<(usize, ChoiceEvent), ApiError>> {
        while self.open.contains(&true) {
            let (index, event) = self.events.next().await?;
            match event {
                Some(Event::Token(token)) => {
                    self.caller.used(0, 1);
                    self.counted[index] += 1;
                    return Some(Ok((index, ChoiceEvent::Token(token))));
                }
                Some(Event::Done(completion)) => {
                    self.open[index] = false;
                    // The end-of-sequence token comes with the end.
                    self.caller.used(0, completion.completion_tokens.saturating_sub(self.counted[index]));
                    self.completion_tokens += completion.completion_tokens;
                    if index % self.choices == 0 {
                        self.cached_tokens += completion.cached_tokens;
                    }
                    return Some(Ok((index, ChoiceEvent::Done(completion))));
                }
                Some(Event::Failed(error)) => return Some(Err(ApiError::generate(&error, self.input))),
                None if self.open[index] => {
                    return Some(Err(ApiError::internal(&"a generation ended without a result")));
                }
                None => {}
            }
        }
        None
    }

    /// Tokens of the prompts, and of the choices that are done.
    pub(super) fn usage(&self) -> Usage {
        Usage::new(self.prompt_tokens, self.completion_tokens, self.cached_tokens)
    }

    /// How many choices there are.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// All choices, complete; with their tokens if `keep_tokens`.
    ///
    /// # Errors
    /// One of the generations failed.
    pub(super) async fn collect(mut self, keep_tokens: bool) -> Result<(Vec<FinishedChoice>, Usage), ApiError> {
        let mut finished: Vec<FinishedChoice> = (0..self.len()).map(|_| FinishedChoice::default()).collect();
        while let Some(event) = self.next().await {
            let (index, event) = event?;
            let choice = &mut finished[index];
            match event {
                ChoiceEvent::Token(token) => {
                    choice.text.push_str(&token.text);
                    if keep_tokens {
                        choice.tokens.push(token);
                    }
                }
                ChoiceEvent::Done(completion) => {
                    choice.text.push_str(&completion.text);
                    choice.reason = Some(completion.reason);
                }
            }
        }
        Ok((finished, self.usage()))
    }
}
