//! Asks the grid for the page: the request runs here, because the page may reach nothing outside. It goes to the API's
//! address that the coordinator told the worker.
//!
//! One question at a time; the next one, *Stop* and a closed window end it, and the grid stops computing. A chat, an
//! answer and its time are bounded.

use crate::app_state::AppStateStore;
use gogrid_api_client::{ApiClient, ApiClientError, Message, Question};
use gogrid_panel_api::{AnswerEnd, AppState, ChatMessage, ChatRole, GridModel, GridQuestion, RequestError};
use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{task::AbortHandle, time::timeout};

/// The longest chat, in bytes: far beyond the context of the models that office machines run.
const MAX_CHAT: usize = 1 << 20;
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// The longest time of an answer, with its wait in the grid's queue.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);
/// The longest time for the list of models.
const MODELS_WITHIN: Duration = Duration::from_secs(15);

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
        question: GridQuestion,
        piece: impl FnMut(&str) -> io::Result<()> + Send + 'static,
    ) -> Result<AnswerEnd, RequestError> {
        check(&question)?;
        let client = client(app_state)?;
        let asked = tokio::spawn(async move { answer(&client, question, piece).await });
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
/// In words for the donor.
pub(crate) async fn models(app_state: &AppStateStore) -> Result<Vec<GridModel>, RequestError> {
    let client = client(app_state)?;
    let listed = timeout(MODELS_WITHIN, client.models()).await;
    let listed = listed.map_err(|_| refused(format!("The grid does not answer at {}.", client.url())))?;
    let models = listed.map_err(|error| in_words(&client, &error))?;
    Ok(models.into_iter().map(|model| GridModel { name: model.id, ready: model.ready }).collect())
}

async fn answer(
    client: &ApiClient,
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
    match timeout(ANSWER_WITHIN, client.stream_chat(asked, &mut on_text)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(in_words(client, &error)),
        Err(_) => {
            let minutes = ANSWER_WITHIN.as_secs() / 60;
            Err(refused(format!("The answer took longer than {minutes} minutes, so it was stopped.")))
        }
    }
}

/// The client of the API whose address the coordinator told. A key for it would come in here.
fn client(app_state: &AppStateStore) -> Result<ApiClient, RequestError> {
    let url = app_state.read(address).ok_or_else(|| refused("This computer knows no address of the grid.".into()))?;
    ApiClient::new(&url).map_err(|error| refused(format!("The grid's address cannot be used: {error}.")))
}

fn address(state: &AppState) -> Option<String> {
    state.status.as_ref()?.about.as_ref()?.api.as_ref()?.url.clone()
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

fn in_words(client: &ApiClient, error: &ApiClientError) -> RequestError {
    tracing::warn!(url = client.url(), error = chain(error), "the grid did not answer a question");
    let url = client.url();
    refused(match error {
        ApiClientError::Refused(refusal) => format!("The grid says: {}.", refusal.message.trim_end_matches('.')),
        ApiClientError::Unreachable { .. } => format!("The grid does not answer at {url}."),
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
    use crate::testing::{app, running, status};
    use gogrid_panel_api::{GridAbout, GridApi, State};
    use std::sync::{Arc, Mutex as StdMutex};
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
        assert_eq!(Questions::default().ask(&app_state, question(), piece).await, Ok(AnswerEnd::Whole));
        assert_eq!(*pieces.lock().unwrap(), ["To", "To"]);
    }

    #[tokio::test]
    async fn a_stopped_answer_closes_its_connection() {
        let (app_state, mut closed) = server(stream(&[PIECE])).await;
        let (said, mut hears) = mpsc::channel(1);
        let questions = Arc::new(Questions::default());
        let asking = questions.clone();
        let piece = move |_: &str| said.try_send(()).map_err(io::Error::other);
        let asked = tokio::spawn(async move { asking.ask(&app_state, question(), piece).await });
        hears.recv().await.expect("the answer has begun");
        questions.stop();
        assert_eq!(asked.await.expect("no panic"), Ok(AnswerEnd::Stopped));
        closed.recv().await.expect("the grid can stop computing");
    }

    #[tokio::test]
    async fn failures_are_told_in_words() {
        let ask = async |app_state: &AppStateStore, question| {
            let refused = Questions::default().ask(app_state, question, |_| Ok(())).await;
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
