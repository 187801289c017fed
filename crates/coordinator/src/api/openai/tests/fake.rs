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

/// The demo model with templates of other families: one that thinks between marks which are text, and one whose messages
/// have channels, with special tokens.
static THINKS: LazyLock<Arc<TextModel>> = LazyLock::new(|| with_template(include_str!("templates/thinks.jinja"), &[]));
static CHANNELS: LazyLock<Arc<TextModel>> = LazyLock::new(|| {
    let marks = ["<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>", "<|return|>"];
    with_template(include_str!("templates/channels.jinja"), &marks)
});

/// The demo model's tokenizer with another chat template, and with more special tokens.
fn with_template(template: &str, special: &[&str]) -> Arc<TextModel> {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["config.json", "generation_config.json", "tokenizer_config.json"] {
        std::fs::copy(Path::new(DEMO_MODEL).join(name), folder.path().join(name)).expect("copied");
    }
    let tokenizer = std::fs::read(Path::new(DEMO_MODEL).join("tokenizer.json")).expect("read");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&tokenizer).expect("JSON");
    let added = tokenizer["added_tokens"].as_array_mut().expect("a list");
    added.extend(special.iter().zip(2048..).map(|(mark, id)| {
        serde_json::json!({"id": id, "content": mark, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    }));
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).expect("written");
    std::fs::write(folder.path().join("chat_template.jinja"), template).expect("written");
    Arc::new(TextModel::from_hf_folder(folder.path()).expect("it loads"))
}

/// What happens to one generation.
#[derive(Debug, Clone)]
pub(in crate::api) enum Script {
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
pub(in crate::api) struct Fake {
    scripts: Mutex<VecDeque<Script>>,
    seen: Mutex<Vec<GenerateRequest>>,
    /// One permit for each generation whose receiver was dropped before its end.
    cancelled: Arc<Semaphore>,
}

impl Fake {
    /// A service that plays these scripts in turn, and then says "Tokyo." for ever.
    pub(in crate::api) fn new(scripts: impl IntoIterator<Item = Script>) -> Arc<Self> {
        let scripts = Mutex::new(scripts.into_iter().collect());
        Arc::new(Self { scripts, seen: Mutex::default(), cancelled: Arc::new(Semaphore::new(0)) })
    }

    /// The requests so far.
    pub(in crate::api) fn seen(&self) -> Vec<GenerateRequest> {
        self.seen.lock().expect("no test panicked").clone()
    }

    /// Waits until this many generations were cancelled.
    pub(in crate::api) async fn cancelled(&self, generations: u32) {
        let all = tokio::time::timeout(Duration::from_secs(20), self.cancelled.acquire_many(generations)).await;
        all.expect("cancelled in time").expect("never closed").forget();
    }

    /// Whether no generation was cancelled but those that were waited for.
    pub(in crate::api) fn none_cancelled(&self) -> bool {
        self.cancelled.available_permits() == 0
    }

    fn start(&self, request: &GenerateRequest) -> Result<mpsc::Receiver<Event>, GenerateError> {
        let script = self.scripts.lock().expect("no test panicked").pop_front();
        let text = text_of(&request.model);
        let tokens = |said: &str, top| tokens_of(&text, said, top);
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
        let (thinks, channels) = (card("thinks", true), card("channels", true));
        vec![card("demo", true), card("sleepy", false), card("org/demo", true), thinks, channels]
    }

    fn text(&self, model: &str) -> Result<ModelText, GenerateError> {
        let model = model.to_owned();
        match model.as_str() {
            "demo" | "org/demo" | "thinks" | "channels" => {
                Ok(ModelText { text: text_of(&model), context_length: 1024, tools: None })
            }
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
pub(in crate::api) fn text() -> Arc<TextModel> {
    Arc::clone(&TEXT)
}

/// The tokenizer and template of a model.
pub(crate) fn text_of(model: &str) -> Arc<TextModel> {
    match model {
        "thinks" => Arc::clone(&THINKS),
        "channels" => Arc::clone(&CHANNELS),
        _ => text(),
    }
}

/// A text's token ids.
pub(in crate::api) fn encode(said: &str) -> Vec<u32> {
    TEXT.encode(said, false).expect("the tokenizer knows it")
}

/// A text as token events; each token has log-probability -0.5, and the alternatives -1, -2 and so on.
pub(in crate::api) fn tokens(said: &str, top_logprobs: usize) -> Vec<Event> {
    tokens_of(&TEXT, said, top_logprobs)
}

/// The same of another model. Texts of special tokens are those tokens.
fn tokens_of(text: &TextModel, said: &str, top_logprobs: usize) -> Vec<Event> {
    let mut detokenizer = text.detokenizer(true);
    let tokens = text.encode(said, false).expect("the tokenizer knows it");
    tokens.into_iter().map(|token| token_event(token, detokenizer.push(token), top_logprobs)).collect()
}

/// One token.
pub(in crate::api) fn token_event(token: u32, text: String, top_logprobs: usize) -> Event {
    let top = (0..top_logprobs as u16).map(|rank| (100 + u32::from(rank), -1.0 - f32::from(rank)));
    Event::Token(TokenEvent { text, token, logprob: -0.5, top: top.collect() })
}

/// The end of an answer.
pub(in crate::api) fn done(reason: FinishReason, text: &str, prompt_tokens: usize, completion_tokens: usize) -> Event {
    Event::Done(Completion {
        reason,
        text: text.to_owned(),
        stop: None,
        prompt_tokens,
        completion_tokens,
        cached_tokens: 0,
    })
}
