//! A request's generations, one per choice: started together, read together, dropped together.

use super::{error::ApiError, options::ValidOptions};
use crate::{
    chat::{Answer, AnswerSpec, Finish, Part, PreparedChat, Reader, ReasoningBudget},
    constraint::Constraint,
    generate::{Event, GenerateRequest, GenerationService, Requester, TokenEvent},
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
pub(in crate::api) struct ChoiceRequests {
    /// The model's name.
    pub(in crate::api) model: String,
    /// The field that holds the prompts: `messages` or `prompt`.
    pub(in crate::api) input: &'static str,
    /// Token ids, one sequence per prompt.
    pub(in crate::api) prompts: Vec<Vec<u32>>,
    /// Whether the answers go on from the middle of a text.
    pub(in crate::api) continues: bool,
    /// Alternatives to report for each token.
    pub(in crate::api) top_logprobs: usize,
    pub(in crate::api) options: ValidOptions,
    /// What every answer's text must be.
    pub(in crate::api) constraint: Option<Arc<Constraint>>,
    /// How the answers are read; `None` if they are all content.
    pub(in crate::api) answers: Option<AnswerSpec>,
    /// How long the model may think.
    pub(in crate::api) reasoning: Option<ReasoningBudget>,
}

/// The generations under way. Dropping it cancels those that are not done.
///
/// Each generation's channel is bounded by the router, and nothing is read ahead of the client: a client that does not
/// read stops the generations.
pub(in crate::api) struct Choices {
    /// Events with the index of their choice; `None` says that the choice's channel closed.
    events: SelectAll<BoxStream<'static, (usize, Option<Event>)>>,
    input: &'static str,
    caller: Caller,
    _streams: Option<Streams>,
    /// By choice: tokens that were counted for the caller.
    counted: Vec<usize>,
    /// By choice: whether its end has not come yet.
    open: Vec<bool>,
    /// By choice: what reads it.
    readers: Vec<Reader>,
    /// Whether the model's reasoning is told from its content.
    reads_reasoning: bool,
    /// Tokens of all prompts.
    prompt_tokens: usize,
    /// Tokens of the choices that are done.
    completion_tokens: usize,
    /// Tokens of the prompts that were not computed, by the first choice of each.
    cached_tokens: usize,
    /// Choices of each prompt.
    choices: usize,
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::api) struct Counts {
    /// Of the prompts, each counted once however many choices were asked for.
    pub(in crate::api) prompt_tokens: usize,
    /// Of the choices that are done.
    pub(in crate::api) completion_tokens: usize,
    /// Of the prompts that were not computed, as they were in memory from an earlier request.
    pub(in crate::api) cached_tokens: usize,
    /// Of reasoning, where it is told from the content.
    pub(in crate::api) reasoning_tokens: Option<usize>,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) struct Ending {
    pub(in crate::api) finish: Finish,
    /// The stop string that ended it.
    pub(in crate::api) stop: Option<String>,
}

/// What happened next in one choice.
#[derive(Debug)]
pub(in crate::api) enum ChoiceEvent {
    /// One more token, and what is certain with it.
    Token(TokenEvent, Vec<Part>),
    /// The choice is complete: what is certain with its end, and why it ended.
    Done(Vec<Part>, Ending),
}

/// One complete choice.
#[derive(Debug, Default)]
pub(in crate::api) struct FinishedChoice {
    pub(in crate::api) answer: Answer,
    /// The tokens with their log-probabilities, if asked for.
    pub(in crate::api) tokens: Vec<TokenEvent>,
    /// Why it ended.
    pub(in crate::api) ending: Option<Ending>,
}

impl ChoiceRequests {
    /// Those of a chat.
    pub(in crate::api) fn of_chat(
        model: String,
        input: &'static str,
        chat: PreparedChat,
        top_logprobs: usize,
        options: ValidOptions,
    ) -> Self {
        Self {
            model,
            input,
            prompts: vec![chat.prompt],
            continues: chat.continues,
            top_logprobs,
            options,
            constraint: chat.constraint,
            answers: chat.answers,
            reasoning: chat.reasoning,
        }
    }

    /// Starts every choice: those of the first prompt, then those of the second, and so on.
    ///
    /// The router checks each sequence before it queues it. The longest prompt goes first, so that a prompt that is too
    /// long is refused before anything is queued. If the queue refuses one choice, dropping the others cancels them.
    ///
    /// # Errors
    /// The first refusal.
    pub(in crate::api) async fn start(
        self,
        service: &dyn GenerationService,
        caller: &Caller,
    ) -> Result<Choices, ApiError> {
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
        let readers = (0..self.prompts.len() * choices).map(|_| Reader::new(self.answers.as_ref())).collect();
        Ok(Choices {
            events,
            input: self.input,
            caller: caller.clone(),
            _streams: streams,
            counted: vec![0; self.prompts.len() * choices],
            open: vec![true; self.prompts.len() * choices],
            readers,
            reads_reasoning: self.answers.is_some(),
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
            reasoning: self.reasoning.clone(),
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
    pub(in crate::api) async fn next(&mut self) -> Option<Result<(usize, ChoiceEvent), ApiError>> {
        while self.open.contains(&true) {
            let (index, event) = self.events.next().await?;
            match event {
                Some(Event::Token(token)) => {
                    self.caller.used(0, 1);
                    self.counted[index] += 1;
                    let parts = self.readers[index].token(&token);
                    return Some(Ok((index, ChoiceEvent::Token(token, parts))));
                }
                Some(Event::Done(completion)) => {
                    self.open[index] = false;
                    // The end-of-sequence token comes with the end.
                    self.caller.used(0, completion.completion_tokens.saturating_sub(self.counted[index]));
                    self.completion_tokens += completion.completion_tokens;
                    if index % self.choices == 0 {
                        self.cached_tokens += completion.cached_tokens;
                    }
                    let (parts, finish) = self.readers[index].end(&completion);
                    let ending = Ending { finish, stop: completion.stop };
                    return Some(Ok((index, ChoiceEvent::Done(parts, ending))));
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
    pub(in crate::api) fn counts(&self) -> Counts {
        let reasoning = || self.readers.iter().map(Reader::reasoning_tokens).sum();
        Counts {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            cached_tokens: self.cached_tokens,
            reasoning_tokens: self.reads_reasoning.then(reasoning),
        }
    }

    /// How many choices there are.
    pub(in crate::api) fn len(&self) -> usize {
        self.open.len()
    }

    /// All choices, complete; with their tokens if `keep_tokens`.
    ///
    /// # Errors
    /// One of the generations failed.
    pub(in crate::api) async fn collect(
        mut self,
        keep_tokens: bool,
    ) -> Result<(Vec<FinishedChoice>, Counts), ApiError> {
        let mut finished: Vec<FinishedChoice> = (0..self.len()).map(|_| FinishedChoice::default()).collect();
        while let Some(event) = self.next().await {
            let (index, event) = event?;
            let choice = &mut finished[index];
            let parts = match event {
                ChoiceEvent::Token(token, parts) => {
                    if keep_tokens {
                        choice.tokens.push(token);
                    }
                    parts
                }
                ChoiceEvent::Done(parts, ending) => {
                    choice.ending = Some(ending);
                    parts
                }
            };
            parts.iter().for_each(|part| choice.answer.add(part));
        }
        Ok((finished, self.counts()))
    }
}
