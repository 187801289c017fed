//! A service that plays scripts.

use crate::generate::{
    Completion, Event, FinishReason, GenerateError, GenerateRequest, GenerationService, ModelCard, ModelText, NotReady,
    TokenEvent,
};
use futures::{FutureExt, future::BoxFuture};
use gogrid_model::TextModel;
use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};

/// Where the tokenizer and the chat template of the tests come from.
const DEMO_MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/assets/demo-model");

static TEXT: LazyLock<Arc<TextModel>> =
    LazyLock::new(|| Arc::new(TextModel::from_hf_folder(Path::new(DEMO_MODEL)).expect("the demo model loads")));

/// What happens to one generation.
#[derive(Debug, Clone)]
pub(super) enum Script {
    /// The text's tokens one by one, then the end.
    Say(&'static str, FinishReason),
    /// These events, then the channel closes.
    Play(Vec<Event>),
    /// The text's tokens one by one, then nothing until the client gives up.
    Hang(&'static str),
    /// An error before anything is computed.
    Refuse(GenerateError),
}

/// A service with a model `demo`, another that is not ready, and one with a slash in its name.
#[derive(Debug)]
pub(super) struct Fake {
    scripts: Mutex<VecDeque<Script>>,
    seen: Mutex<Vec<GenerateRequest>>,
    /// One permit for each generation whose receiver was dropped before its end.
    cancelled: Arc<Semaphore>,
}

impl Fake {
    /// A service that plays these scripts in turn, and then says "Tokyo." for ever.
    pub(super) fn new(scripts: impl IntoIterator<Item = Script>) -> Arc<Self> {
        let scripts = Mutex::new(scripts.into_iter().collect());
        Arc::new(Self { scripts, seen: Mutex::default(), cancelled: Arc::new(Semaphore::new(0)) })
    }

    /// The requests so far.
    pub(super) fn seen(&self) -> Vec<GenerateRequest> {
        self.seen.lock().expect("no test panicked").clone()
    }

    /// Waits until this many generations were cancelled.
    pub(super) async fn cancelled(&self, generations: u32) {
        let all = tokio::time::timeout(Duration::from_secs(20), self.cancelled.acquire_many(generations)).await;
        all.expect("cancelled in time").expect("never closed").forget();
    }

    /// Whether no generation was cancelled but those that were waited for.
    pub(super) fn none_cancelled(&self) -> bool {
        self.cancelled.available_permits() == 0
    }

    fn start(&self, request: &GenerateRequest) -> Result<mpsc::Receiver<Event>, GenerateError> {
        let script = self.scripts.lock().expect("no test panicked").pop_front();
        let (mut events, hangs) = match script.unwrap_or(Script::Say("Tokyo.", FinishReason::Stop)) {
            Script::Refuse(error) => return Err(error),
            Script::Play(events) => (events, false),
            Script::Hang(said) => (tokens(said, request.top_logprobs), true),
            Script::Say(said, reason) => {
                let mut events = tokens(said, request.top_logprobs);
                events.push(done(reason, "", request.prompt.len(), events.len()));
                (events, false)
            }
        };
        let (sender, receiver) = mpsc::channel(1);
        let cancelled = Arc::clone(&self.cancelled);
        tokio::spawn(async move {
            for event in events.drain(..) {
                if sender.send(event).await.is_err() {
                    return cancelled.add_permits(1);
                }
            }
            if hangs {
                sender.closed().await;
                cancelled.add_permits(1);
            }
        });
        Ok(receiver)
    }
}

impl GenerationService for Fake {
    fn models(&self) -> Vec<ModelCard> {
        let card = |name: &str, ready| ModelCard { name: name.to_owned(), created: 7, context_length: 1024, ready };
        vec![card("demo", true), card("sleepy", false), card("org/demo", true)]
    }

    fn text(&self, model: &str) -> Result<ModelText, GenerateError> {
        let model = model.to_owned();
        match model.as_str() {
            "demo" | "org/demo" => Ok(ModelText { text: text(), context_length: 1024 }),
            "sleepy" => Err(GenerateError::NotReady { model, reason: NotReady::Planning }),
            _ => Err(GenerateError::UnknownModel { model }),
        }
    }

    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<mpsc::Receiver<Event>, GenerateError>> {
        async move {
            let receiver = self.start(&request);
            self.seen.lock().expect("no test panicked").push(request);
            receiver
        }
        .boxed()
    }
}

/// The demo model's tokenizer and template.
pub(super) fn text() -> Arc<TextModel> {
    Arc::clone(&TEXT)
}

/// A text's token ids.
pub(super) fn encode(said: &str) -> Vec<u32> {
    TEXT.encode(said, false).expect("the tokenizer knows it")
}

/// A text as token events; each token has log-probability -0.5, and the alternatives -1, -2 and so on.
pub(super) fn tokens(said: &str, top_logprobs: usize) -> Vec<Event> {
    let mut detokenizer = TEXT.detokenizer(true);
    let event = |token| token_event(token, detokenizer.push(token), top_logprobs);
    encode(said).into_iter().map(event).collect()
}

/// One token.
pub(super) fn token_event(token: u32, text: String, top_logprobs: usize) -> Event {
    let top = (0..top_logprobs as u16).map(|rank| (100 + u32::from(rank), -1.0 - f32::from(rank)));
    Event::Token(TokenEvent { text, token, logprob: -0.5, top: top.collect() })
}

/// The end of an answer.
pub(super) fn done(reason: FinishReason, text: &str, prompt_tokens: usize, completion_tokens: usize) -> Event {
    Event::Done(Completion { reason, text: text.to_owned(), prompt_tokens, completion_tokens, cached_tokens: 0 })
}
