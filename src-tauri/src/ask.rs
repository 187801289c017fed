//! Asks the grid for the page: the request runs here, because the page may reach nothing outside. It goes to the API's
//! address that the coordinator told the worker, with the donor's key once the grid has asked for one ([`Access`]).
//!
//! One question at a time; the next one, *Stop* and a closed window end it, and the grid stops computing. A chat, an
//! answer and its time are bounded.

use crate::{
    app_state::AppStateStore,
    secrets::{GridKey, GridKeys},
};
use gogrid_api_client::{ApiClient, ApiClientError, Message, ModelInfo, Question};
use gogrid_panel_api::{
    AnswerEnd, AppState, ChatMessage, ChatRole, GridKey as KeyInUse, GridModel, GridModels, GridQuestion, RequestError,
};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{task::AbortHandle, time::timeout};

/// The longest chat, in bytes: far beyond the context of the models that office machines run.
const MAX_CHAT: usize = 1 << 20;
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// The longest time of an answer, with its wait in the grid's queue.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);

const ASKS_FOR_KEY: &str = "This grid asks for a key. Its operator has yours.";
const WRONG_KEY: &str = "The grid does not take this key. Its operator has yours.";
/// The field of a refusal for which the donor's key is the remedy.
const KEY: &str = "key";

/// The question under way.
#[derive(Debug, Default)]
pub(crate) struct Questions(Mutex<Option<AbortHandle>>);

impl Questions {
    /// Asks, and hands each piece of the answer to `piece` until that fails. Ends the question before.
    ///
    /// # Errors
    /// In words for the donor.
    pub(crate) async fn ask(
        &self,
        app_state: &AppStateStore,
        keys: &Arc<GridKeys>,
        question: GridQuestion,
        piece: impl FnMut(&str) -> io::Result<()> + Send + 'static,
    ) -> Result<AnswerEnd, RequestError> {
        check(&question)?;
        let access = Access::new(app_state, keys)?;
        let asked = tokio::spawn(answer(access, question, piece));
        self.replace(Some(asked.abort_handle()));
        match asked.await {
            Ok(answered) => answered.map(|()| AnswerEnd::Whole),
            Err(ended) if ended.is_cancelled() => Ok(AnswerEnd::Stopped),
            Err(error) => Err(refused(format!("GoGrid failed: {error}"))),
        }
    }

    /// Ends the question under way.
    pub(crate) fn stop(&self) {
        self.replace(None);
    }

    fn replace(&self, next: Option<AbortHandle>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let Some(before) = before {
            before.abort();
        }
    }
}

/// The grid's models.
///
/// # Errors
/// In words for the donor. The field is `key` if the grid asks for one.
pub(crate) async fn models(app_state: &AppStateStore, keys: &Arc<GridKeys>) -> Result<GridModels, RequestError> {
    let mut access = Access::new(app_state, keys)?;
    loop {
        match access.client()?.models().await {
            Ok(models) => return Ok(access.listed(models)),
            Err(error) => access.after(&error).await?,
        }
    }
}

/// The grid's models, asked with a key that the donor typed. If the grid takes it, it is kept.
///
/// # Errors
/// As [`models`].
pub(crate) async fn use_key(
    app_state: &AppStateStore,
    keys: &Arc<GridKeys>,
    typed: &str,
) -> Result<GridModels, RequestError> {
    let mut access = Access::new(app_state, keys)?;
    let Some(key) = GridKey::typed(typed) else {
        return Err(RequestError::new(Some(KEY), "A key has letters, digits and signs, and no spaces."));
    };
    access.key = Some(key.clone());
    match access.client()?.models().await {
        Ok(models) => {
            keys.keep(&access.coordinator, key).await;
            Ok(access.listed(models))
        }
        Err(error) => Err(access.refused(&error)),
    }
}

/// Forgets the key for the grid.
///
/// # Errors
/// When the key store does not let it go.
pub(crate) async fn forget_key(app_state: &AppStateStore, keys: &Arc<GridKeys>) -> Result<(), RequestError> {
    let coordinator = Access::new(app_state, keys)?.coordinator;
    keys.forget(&coordinator).await.map_err(|error| RequestError::new(None, error.to_string()))
}

async fn answer(
    mut access: Access,
    question: GridQuestion,
    mut piece: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), RequestError> {
    let messages: Vec<Message> = question.messages.into_iter().map(message).collect();
    let asked = Question { model: &question.model, messages: &messages, temperature: None };
    let mut length = 0;
    let mut on_text = |text: &str| {
        length += text.len();
        if length > MAX_ANSWER {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        piece(text)
    };
    let answered = async {
        loop {
            match access.client()?.stream_chat(asked, &mut on_text).await {
                Ok(_) => return Ok(()),
                Err(error) => access.after(&error).await?,
            }
        }
    };
    timeout(ANSWER_WITHIN, answered).await.unwrap_or_else(|_| {
        let minutes = ANSWER_WITHIN.as_secs() / 60;
        Err(refused(format!("The answer took longer than {minutes} minutes, so it was stopped.")))
    })
}

/// The way to the grid's API: first without a key, and with the kept one once the grid has asked for it. The key store is
/// not bothered for a grid that lets everybody in.
struct Access {
    url: String,
    coordinator: String,
    keys: Arc<GridKeys>,
    key: Option<GridKey>,
}

impl Access {
    fn new(app_state: &AppStateStore, keys: &Arc<GridKeys>) -> Result<Self, RequestError> {
        let told = app_state.read(address);
        let (url, coordinator) = told.ok_or_else(|| refused("This computer knows no address of the grid.".into()))?;
        let key = keys.known(&coordinator).map(|(key, _)| key);
        Ok(Self { url, coordinator, keys: keys.clone(), key })
    }

    fn client(&self) -> Result<ApiClient, RequestError> {
        let unusable = |error| refused(format!("The grid's address cannot be used: {error}."));
        let client = ApiClient::new(&self.url).map_err(unusable)?;
        match &self.key {
            Some(key) => client.with_key(key.secret()).map_err(unusable),
            None => Ok(client),
        }
    }

    fn listed(&self, models: Vec<ModelInfo>) -> GridModels {
        let key = match self.keys.known(&self.coordinator) {
            None => KeyInUse::None,
            Some((_, true)) => KeyInUse::Kept,
            Some((_, false)) => KeyInUse::UntilEnd,
        };
        GridModels {
            models: models.into_iter().map(|model| GridModel { name: model.id, ready: model.ready }).collect(),
            key,
        }
    }

    /// Whether another try may help after this error: with the key that the key store has.
    async fn after(&mut self, error: &ApiClientError) -> Result<(), RequestError> {
        if self.key.is_some() || !error.asks_for_key() {
            return Err(self.refused(error));
        }
        match self.keys.find(&self.coordinator).await {
            Ok(Some(key)) => {
                self.key = Some(key);
                Ok(())
            }
            Ok(None) => Err(self.refused(error)),
            Err(why) => {
                tracing::warn!("no key for the grid from the key store: {why}");
                let locked = if why.is_lock() { format!(" {why}.") } else { String::new() };
                Err(RequestError::new(Some(KEY), format!("{ASKS_FOR_KEY}{locked}")))
            }
        }
    }

    fn refused(&self, error: &ApiClientError) -> RequestError {
        match (error.asks_for_key(), &self.key) {
            (true, None) => RequestError::new(Some(KEY), ASKS_FOR_KEY),
            (true, Some(_)) => RequestError::new(Some(KEY), WRONG_KEY),
            (false, _) => in_words(&self.url, error),
        }
    }
}

/// The API's address, and the coordinator that told it.
fn address(state: &AppState) -> Option<(String, String)> {
    let status = state.status.as_ref()?;
    Some((status.about.as_ref()?.api.as_ref()?.url.clone()?, status.connection.as_ref()?.coordinator.clone()))
}

fn message(ChatMessage { role, text }: ChatMessage) -> Message {
    let role = match role {
        ChatRole::User => "user",
        ChatRole::Assistant => "assistant",
    };
    Message { role, content: text }
}

fn check(question: &GridQuestion) -> Result<(), RequestError> {
    let bytes: usize = question.messages.iter().map(|message| message.text.len()).sum();
    if bytes > MAX_CHAT {
        let message = format!("This chat has {bytes} bytes, and at most {MAX_CHAT} are sent: begin a new one.");
        return Err(RequestError::new(Some("messages"), message));
    }
    Ok(())
}

fn in_words(url: &str, error: &ApiClientError) -> RequestError {
    tracing::warn!(url, error = chain(error), "the grid did not answer a question");
    refused(match error {
        ApiClientError::Refused(refusal) => format!("The grid says: {}.", refusal.message.trim_end_matches('.')),
        ApiClientError::Unreachable { .. } => format!("The grid does not answer at {url}."),
        ApiClientError::TooSlow { .. } => format!("The grid at {url} takes too long."),
        ApiClientError::Silent { .. } => "The grid has been silent for a minute.".into(),
        ApiClientError::Broken { .. } | ApiClientError::Cut { .. } => {
            "The connection to the grid broke in the middle of the answer.".into()
        }
        ApiClientError::Write(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            "The answer is longer than this page holds, so it was stopped.".into()
        }
        _ => format!("What answers at {url} is no grid."),
    })
}

fn refused(message: String) -> RequestError {
    RequestError::new(None, message)
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        secrets::FakeGridVault,
        testing::{app, running, status},
    };
    use gogrid_panel_api::{GridAbout, GridApi, State};
    use std::sync::Mutex as StdMutex;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::mpsc,
    };

    /// The state of an app that knows this address of the API.
    fn knows(url: Option<String>) -> AppStateStore {
        let mut status = status(State::Idle, "");
        let api = Some(GridApi { url, local: false });
        let text = String::new;
        let (owner, contact, purpose) = (text(), text(), text());
        status.about = Some(GridAbout { owner, contact, purpose, models: Vec::new(), answers_today: 0, api });
        let store = AppStateStore::new("1".into(), Default::default());
        store.update(|state| *state = app(running(), Some(status)));
        store
    }

    /// A server that answers one request with this, and then waits until the client has closed; that is told.
    async fn server(answer: String) -> (AppStateStore, mpsc::Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (closed, told) = mpsc::channel(1);
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.expect("a client");
            let mut request = vec![0; 64 << 10];
            assert!(client.read(&mut request).await.expect("a request") > 0);
            client.write_all(answer.as_bytes()).await.expect("sent");
            while client.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {}
            closed.send(()).await.expect("waited for");
        });
        (knows(Some(url)), told)
    }

    fn stream(events: &[&str]) -> String {
        let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{events}")
    }

    const PIECE: &str = r#"{"choices":[{"delta":{"content":"To"}}]}"#;

    fn keys() -> Arc<GridKeys> {
        Arc::new(GridKeys::new(FakeGridVault::empty()))
    }

    /// A grid that lets in who has this key, and streams [`PIECE`] to a question.
    async fn grid_with_key(key: &'static str) -> AppStateStore {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.expect("a client");
                let mut request = vec![0; 64 << 10];
                let bytes = client.read(&mut request).await.expect("a request");
                let request = String::from_utf8_lossy(&request[..bytes]).into_owned();
                let whole = |status: &str, body: &str| {
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                };
                let answer = match request.contains(&format!("authorization: Bearer {key}\r\n")) {
                    false => whole("401 Unauthorized", r#"{"error":{"message":"a key","code":"invalid_api_key"}}"#),
                    true if request.starts_with("GET") => whole("200 OK", r#"{"data":[{"id":"demo"}]}"#),
                    true => stream(&[PIECE, "[DONE]"]),
                };
                client.write_all(answer.as_bytes()).await.expect("sent");
            }
        });
        knows(Some(url))
    }

    #[tokio::test]
    async fn a_grid_that_asks_for_a_key_gets_the_one_that_is_kept() {
        let grid = grid_with_key("gg-1").await;
        let vault = FakeGridVault::empty();
        let keys = Arc::new(GridKeys::new(vault.clone()));
        let asked = models(&grid, &keys).await.expect_err("no key yet");
        assert_eq!((asked.field.as_deref(), asked.message.as_str()), (Some(KEY), ASKS_FOR_KEY));
        let wrong = use_key(&grid, &keys, "gg-2").await.expect_err("another's key");
        assert_eq!((wrong.field.as_deref(), wrong.message.as_str()), (Some(KEY), WRONG_KEY));
        assert_eq!(models(&grid, &keys).await.expect_err("a wrong key is not kept").message, ASKS_FOR_KEY);
        let none = use_key(&grid, &keys, "two words").await.expect_err("no key");
        assert_eq!(none.field.as_deref(), Some(KEY));
        assert_eq!(use_key(&grid, &keys, " gg-1\n").await.expect("let in").key, KeyInUse::Kept);

        // After a restart: also for a question that comes before the list of models.
        let restarted = Arc::new(GridKeys::new(vault));
        let answered = Questions::default().ask(&grid, &restarted, question(), |_| Ok(())).await;
        assert_eq!(answered, Ok(AnswerEnd::Whole));
        assert_eq!(models(&grid, &restarted).await.expect("let in").key, KeyInUse::Kept);
        forget_key(&grid, &restarted).await.expect("forgotten");
        assert_eq!(models(&grid, &restarted).await.expect_err("forgotten").message, ASKS_FOR_KEY);
    }

    #[tokio::test]
    async fn without_a_key_store_a_key_is_good_until_the_end() {
        let grid = grid_with_key("gg-1").await;
        let keys = Arc::new(GridKeys::new(Arc::new(FakeGridVault(None))));
        assert_eq!(models(&grid, &keys).await.expect_err("no key yet").message, ASKS_FOR_KEY);
        assert_eq!(use_key(&grid, &keys, "gg-1").await.expect("let in").key, KeyInUse::UntilEnd);
        assert_eq!(models(&grid, &keys).await.expect("let in").key, KeyInUse::UntilEnd);
    }

    fn question() -> GridQuestion {
        let messages = vec![ChatMessage { role: ChatRole::User, text: "Japan?".into() }];
        GridQuestion { model: "demo".into(), messages }
    }

    #[tokio::test]
    async fn an_answer_comes_in_pieces() {
        let (app_state, _) = server(stream(&[PIECE, PIECE, "[DONE]"])).await;
        let pieces = Arc::new(StdMutex::new(Vec::new()));
        let heard = pieces.clone();
        let piece = move |text: &str| {
            heard.lock().unwrap().push(text.to_owned());
            Ok(())
        };
        assert_eq!(Questions::default().ask(&app_state, &keys(), question(), piece).await, Ok(AnswerEnd::Whole));
        assert_eq!(*pieces.lock().unwrap(), ["To", "To"]);
    }

    #[tokio::test]
    async fn a_stopped_answer_closes_its_connection() {
        let (app_state, mut closed) = server(stream(&[PIECE])).await;
        let (said, mut hears) = mpsc::channel(1);
        let questions = Arc::new(Questions::default());
        let asking = questions.clone();
        let piece = move |_: &str| said.try_send(()).map_err(io::Error::other);
        let asked = tokio::spawn(async move { asking.ask(&app_state, &keys(), question(), piece).await });
        hears.recv().await.expect("the answer has begun");
        questions.stop();
        assert_eq!(asked.await.expect("no panic"), Ok(AnswerEnd::Stopped));
        closed.recv().await.expect("the grid can stop computing");
    }

    #[tokio::test]
    async fn failures_are_told_in_words() {
        let ask = async |app_state: &AppStateStore, question| {
            let refused = Questions::default().ask(app_state, &keys(), question, |_| Ok(())).await;
            refused.expect_err("no answer").message
        };
        assert_eq!(ask(&knows(None), question()).await, "This computer knows no address of the grid.");
        let body = r#"{"error":{"message":"the model 'demo' is not ready","code":"model_not_ready"}}"#;
        let length = body.len();
        let (app_state, _) = server(format!("HTTP/1.1 503 Busy\r\ncontent-length: {length}\r\n\r\n{body}")).await;
        assert_eq!(ask(&app_state, question()).await, "The grid says: the model 'demo' is not ready.");
        let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr().expect("an address");
        let told = ask(&knows(Some(format!("http://{nobody}"))), question()).await;
        assert_eq!(told, format!("The grid does not answer at http://{nobody}."));
        let long = ChatMessage { role: ChatRole::User, text: "x".repeat(MAX_CHAT + 1) };
        let told = ask(&app_state, GridQuestion { messages: vec![long], ..question() }).await;
        assert!(told.contains("begin a new one"), "{told}");
    }
}
