//! What the API asks of the router, and what it gets back. Knows neither OpenAI's JSON nor links.

mod not_ready;

pub use not_ready::NotReady;

use crate::chat::{ReasoningBudget, ToolFormat};
use crate::constraint::{Constraint, ConstraintError};
use futures::future::BoxFuture;
use gogrid_link::counted_address;
use gogrid_model::{SamplingError, SamplingParams, TextModel};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// What serves requests: the router, and a fake in the API's tests.
pub trait GenerationService: Send + Sync + 'static {
    /// The models that clients may ask for, ready or not.
    fn models(&self) -> Vec<ModelCard>;

    /// The tokenizer and chat template of a model, and its context.
    ///
    /// # Errors
    /// [`GenerateError::UnknownModel`], or [`GenerateError::NotReady`] while the text model is not loaded.
    fn text(&self, model: &str) -> Result<ModelText, GenerateError>;

    /// Checks one sequence and admits or queues it. Dropping the receiver cancels the work on every stage.
    ///
    /// # Errors
    /// What is wrong with the request, or [`GenerateError::QueueFull`], before anything is computed. A later failure
    /// arrives as [`Event::Failed`].
    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<mpsc::Receiver<Event>, GenerateError>>;
}

/// What turns requests to a model into tokens.
#[derive(Debug, Clone)]
pub struct ModelText {
    /// Tokenizer and chat template.
    pub text: Arc<TextModel>,
    /// The longest sequence, prompt and answer together, in tokens.
    pub context_length: usize,
    /// How it calls tools, where its operator has said so.
    pub tools: Option<ToolFormat>,
}

/// A model as clients see it.
#[derive(Debug, Clone)]
pub struct ModelCard {
    /// The name that requests use.
    pub name: String,
    /// When it was added, in seconds since the Unix epoch.
    pub created: u64,
    /// The longest sequence, prompt and answer together, in tokens.
    pub context_length: usize,
    /// Whether a pipeline takes sessions now.
    pub ready: bool,
}

/// One sequence to generate.
#[derive(Debug, Clone)]
pub struct GenerateRequest {
    /// The model's name.
    pub model: String,
    /// The prompt's token ids.
    pub prompt: Vec<u32>,
    /// Whether the answer goes on from the middle of a text, so that a space at its start is kept.
    pub continues: bool,
    /// How the next token is chosen.
    pub sampling: SamplingParams,
    /// The most tokens to emit; `None` goes on to the end of the context.
    pub max_tokens: Option<usize>,
    /// Strings that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Alternatives to report with each token's log-probability.
    pub top_logprobs: usize,
    /// Goes on past the end-of-sequence token (benchmarks use it).
    pub ignore_eos: bool,
    /// What the answer's text must be.
    pub constraint: Option<Arc<Constraint>>,
    /// How long the model may think.
    pub reasoning: Option<ReasoningBudget>,
    /// Who asks.
    pub requester: Requester,
    /// Sets the requester's requests apart: only those with the same salt begin with one another's tokens.
    pub cache_salt: Option<Arc<str>>,
}

/// Who asks, as far as places are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// Whose share it is.
    pub owner: Owner,
    /// How large the share is beside others', 1 at least.
    pub weight: u32,
}

/// Those who share the places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Everybody on the coordinator's own machine.
    Local,
    /// An address without a key.
    Address(IpAddr),
    /// A key, by its prefix.
    Key(Arc<str>),
}

impl Requester {
    /// One on the coordinator's own machine, without a key.
    pub fn local() -> Self {
        Self { owner: Owner::Local, weight: 1 }
    }

    /// One at an address, without a key.
    pub fn address(address: IpAddr) -> Self {
        Self { owner: counted_address(address).map_or(Owner::Local, Owner::Address), weight: 1 }
    }
}

/// What a generation emits, in order: any number of tokens, then `Done` or `Failed`.
#[derive(Debug, Clone)]
pub enum Event {
    /// One more token.
    Token(TokenEvent),
    /// The answer is complete.
    Done(Completion),
    /// The answer cannot go on.
    Failed(GenerateError),
}

/// One emitted token.
#[derive(Debug, Clone)]
pub struct TokenEvent {
    /// The text that became certain with this token: empty while a character or a possible stop string is incomplete. A
    /// special token has no text of its own; what was held back before it comes with it.
    pub text: String,
    /// The token's id.
    pub token: u32,
    /// The model's natural log-probability of it, before temperature and penalties.
    pub logprob: f32,
    /// The most likely tokens with their log-probabilities, most likely first.
    pub top: Vec<(u32, f32)>,
}

/// How an answer ended.
#[derive(Debug, Clone)]
pub struct Completion {
    /// Why it ended.
    pub reason: FinishReason,
    /// Text that was held back until the end.
    pub text: String,
    /// The stop string that ended it.
    pub stop: Option<String>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens emitted, the end-of-sequence token included.
    pub completion_tokens: usize,
    /// Tokens of the prompt that were not computed, as the stages had them from an earlier request.
    pub cached_tokens: usize,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The end-of-sequence token or a stop string.
    Stop,
    /// `max_tokens` or the context's end.
    Length,
}

/// Why a generation was refused or broke off.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GenerateError {
    /// No model of that name.
    #[error("the model '{model}' does not exist")]
    UnknownModel {
        /// The name asked for.
        model: String,
    },
    /// The model is known, but not all of its layers are on a machine.
    #[error("the model '{model}' is not ready: {reason}")]
    NotReady {
        /// The model's name.
        model: String,
        /// What it waits for.
        reason: NotReady,
    },
    /// Prompt (and answer) do not fit the context.
    #[error("this model's maximum context length is {context} tokens, but the prompt has {prompt} tokens")]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// The model's context, in tokens.
        context: usize,
    },
    /// `max_tokens` reaches past the context.
    #[error(
        "this model's maximum context length is {context} tokens, but the prompt has {prompt} tokens and max_tokens asks for {max_tokens} more"
    )]
    AnswerTooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens asked for.
        max_tokens: usize,
        /// The model's context, in tokens.
        context: usize,
    },
    /// The prompt has no token.
    #[error("the prompt is empty: at least one token is needed")]
    EmptyPrompt,
    /// A token id of the prompt is not in the vocabulary.
    #[error("prompt token {token} is outside the vocabulary of {vocabulary} tokens")]
    TokenOutOfRange {
        /// The offending id.
        token: u32,
        /// The vocabulary's size.
        vocabulary: usize,
    },
    /// A sampling parameter is out of its range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The constraint cannot be used.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// The programs on the machines that serve the model are too old to constrain answers.
    #[error("the machines that serve the model '{model}' now have programs that cannot constrain answers")]
    CannotConstrain {
        /// The model's name.
        model: String,
    },
    /// The lent machines' KV memory can never hold this sequence.
    #[error("the sequence needs KV memory for {needed} tokens, but the machines that serve the model lend {available}")]
    TooLarge {
        /// Tokens that the sequence may reach.
        needed: usize,
        /// Tokens that the pipeline can hold at all.
        available: usize,
    },
    /// The queue is full.
    #[error("the queue is full: {waiting} requests are waiting; try again in {} s", retry_after.as_secs())]
    QueueFull {
        /// Requests in the queue.
        waiting: usize,
        /// When a place may be free.
        retry_after: Duration,
    },
    /// Machines left, and no others could take over in time.
    #[error(
        "the machines that served this answer left, and no others could take over in time ({delivered} tokens were delivered)"
    )]
    PipelineLost {
        /// Tokens delivered before.
        delivered: usize,
    },
    /// A stage refused or failed this session.
    #[error("a stage failed this request: {message}")]
    Stage {
        /// What the stage said.
        message: String,
    },
    /// The last stage's candidates cannot be used.
    #[error("the last stage sent unusable candidates: {message}")]
    BadCandidates {
        /// What is wrong with them.
        message: String,
    },
    /// The coordinator is shutting down.
    #[error("the coordinator is shutting down")]
    ShuttingDown,
}
