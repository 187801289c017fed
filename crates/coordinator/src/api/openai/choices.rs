//! One generation per choice: asked for together, read together, dropped together.

use super::{backend::Backend, envelope::Usage, error::ApiError, options::Checked};
use crate::generate::{Completion, Event, FinishReason, GenerateRequest, TokenEvent};
use futures::{
    StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use std::cmp::Reverse;
use tokio_stream::wrappers::ReceiverStream;

/// What to ask of the router.
#[derive(Debug)]
pub(super) struct Questions {
    /// The model's name.
    pub(super) model: String,
    /// The field that holds the prompts: `messages` or `prompt`.
    pub(super) input: &'static str,
    /// Token ids, one sequence per prompt.
    pub(super) prompts: Vec<Vec<u32>>,
    /// Alternatives to report for each token.
    pub(super) top_logprobs: usize,
    /// The rest.
    pub(super) options: Checked,
}

/// The generations of a request. Dropping it cancels those that are not done.
pub(super) struct Answers {
    /// `None` says that a generation's channel closed.
    events: SelectAll<BoxStream<'static, (usize, Option<Event>)>>,
    input: &'static str,
    /// By choice: whether its end has not come yet.
    open: Vec<bool>,
    /// Tokens of all prompts.
    prompt_tokens: usize,
    /// Tokens of the choices that are done.
    completion_tokens: usize,
}

/// What happened next in one choice.
#[derive(Debug)]
pub(super) enum Step {
    /// One more token.
    Token(TokenEvent),
    /// The choice is whole.
    Done(Completion),
}

/// One choice, whole.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The text.
    pub(super) text: String,
    /// The tokens with their log-probabilities, if they were to be kept.
    pub(super) tokens: Vec<TokenEvent>,
    /// Why it ended.
    pub(super) reason: Option<FinishReason>,
}

impl Questions {
    /// Asks for every choice: those of the first prompt, then those of the second, and so on.
    ///
    /// The router checks each sequence before it queues it. The longest prompt goes first, so that whatever is too long
    /// is refused before anything is queued; when the queue refuses one, dropping the others cancels them.
    ///
    /// # Errors
    /// The first refusal.
    pub(super) async fn ask(self, backend: &dyn Backend) -> Result<Answers, ApiError> {
        let choices = self.options.choices as usize;
        let mut order: Vec<usize> = (0..self.prompts.len()).collect();
        order.sort_by_key(|&prompt| Reverse(self.prompts[prompt].len()));
        let mut events = SelectAll::new();
        for prompt in order {
            for choice in 0..choices {
                let request = self.request(prompt, choice as u64);
                let receiver =
                    backend.generate(request).await.map_err(|error| ApiError::generate(&error, self.input))?;
                let index = prompt * choices + choice;
                let closed = stream::once(async { None });
                let both = ReceiverStream::new(receiver).map(Some).chain(closed);
                events.push(both.map(move |event| (index, event)).boxed());
            }
        }
        Ok(Answers {
            events,
            input: self.input,
            open: vec![true; self.prompts.len() * choices],
            prompt_tokens: self.prompts.iter().map(Vec::len).sum(),
            completion_tokens: 0,
        })
    }

    fn request(&self, prompt: usize, choice: u64) -> GenerateRequest {
        let options = &self.options;
        let mut sampling = options.sampling.clone();
        sampling.seed = options.seed.map_or_else(rand::random, |seed| seed.wrapping_add(choice));
        GenerateRequest {
            model: self.model.clone(),
            prompt: self.prompts[prompt].clone(),
            sampling,
            max_tokens: options.max_tokens,
            stop: options.stop.clone(),
            top_logprobs: self.top_logprobs,
            ignore_eos: options.ignore_eos,
        }
    }
}

impl Answers {
    /// The next step of any choice, with the choice's index; `None` after the last one's end.
    ///
    /// Cancel-safe: no step is lost when the future is dropped.
    ///
    /// # Errors
    /// One of the generations failed; the request as a whole has then failed.
    pub(super) async fn next(&mut self) -> Option<Result<(usize, Step), ApiError>> {
        while self.open.contains(&true) {
            let (index, event) = self.events.next().await?;
            match event {
                Some(Event::Token(token)) => return Some(Ok((index, Step::Token(token)))),
                Some(Event::Done(completion)) => {
                    self.open[index] = false;
                    self.completion_tokens += completion.completion_tokens;
                    return Some(Ok((index, Step::Done(completion))));
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

    /// Tokens so far of the choices that are done, and of the prompts.
    pub(super) fn usage(&self) -> Usage {
        Usage::new(self.prompt_tokens, self.completion_tokens)
    }

    /// How many choices there are.
    pub(super) fn choices(&self) -> usize {
        self.open.len()
    }

    /// All choices, whole; their tokens are kept if `keep_tokens`.
    ///
    /// # Errors
    /// One of the generations failed.
    pub(super) async fn collect(mut self, keep_tokens: bool) -> Result<(Vec<Answer>, Usage), ApiError> {
        let mut answers: Vec<Answer> = (0..self.choices()).map(|_| Answer::default()).collect();
        while let Some(step) = self.next().await {
            let (index, step) = step?;
            let answer = &mut answers[index];
            match step {
                Step::Token(token) => {
                    answer.text.push_str(&token.text);
                    if keep_tokens {
                        answer.tokens.push(token);
                    }
                }
                Step::Done(completion) => {
                    answer.text.push_str(&completion.text);
                    answer.reason = Some(completion.reason);
                }
            }
        }
        Ok((answers, self.usage()))
    }
}
