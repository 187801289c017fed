//! Chats against a server that plays scripts.

use super::Chat;
use crate::client::{ApiClientError, Message, Question, choose_model, connect};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};

/// A deadline for everything that a test waits for.
const DEADLINE: Duration = Duration::from_secs(20);

/// An answer. It is sent in pieces that cut characters and events.
const TOKYO: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
    : keep-alive\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Tōky\"}}],\"usage\":null}\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ō.\"}}],\"usage\":null}\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n\
    data: [DONE]\n\n";

/// What the server does with a chat request.
#[derive(Clone)]
enum Script {
    /// Sends these bytes, some at a time, as a stream.
    Stream(String),
    /// Sends the bytes, and then nothing until the client closes the connection.
    Hang(String),
    /// Refuses with this status and body.
    Refuse(u16, Value),
}

struct Server {
    url: String,
    /// The chat requests so far.
    seen: Arc<Mutex<Vec<Value>>>,
    /// One permit for each hanging answer that a client closed.
    closed: Arc<Semaphore>,
}

impl Server {
    /// A server of two models, `sleepy` (not ready) and `demo`, that answers all chats by one script.
    async fn start(script: Script) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (seen, closed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let server = Self { url, seen: Arc::clone(&seen), closed: Arc::clone(&closed) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, script.clone(), Arc::clone(&seen), Arc::clone(&closed)));
            }
        });
        Ok(server)
    }

    fn seen(&self) -> Vec<Value> {
        self.seen.lock().expect("no test panicked").clone()
    }
}

async fn serve(client: TcpStream, script: Script, seen: Arc<Mutex<Vec<Value>>>, closed: Arc<Semaphore>) -> Result<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        client.read_line(&mut head).await?;
    }
    let length =
        head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body).await?;
    if head.starts_with("GET") {
        let models = json!({"data": [{"id": "sleepy", "ready": false}, {"id": "demo", "ready": true}]});
        return reply(&mut client, 200, &models).await;
    }
    seen.lock().expect("no test panicked").push(serde_json::from_slice(&body)?);
    match script {
        Script::Refuse(status, body) => reply(&mut client, status, &body).await,
        Script::Stream(text) => stream(&mut client, &text).await,
        Script::Hang(text) => {
            stream(&mut client, &text).await?;
            // the end, or a reset: gone either way
            let _gone = client.read(&mut [0; 1]).await;
            closed.add_permits(1);
            Ok(())
        }
    }
}

async fn reply(client: &mut BufReader<TcpStream>, status: u16, body: &Value) -> Result<()> {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    client.write_all((head + &body).as_bytes()).await?;
    Ok(())
}

async fn stream(client: &mut BufReader<TcpStream>, text: &str) -> Result<()> {
    client.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n").await?;
    for piece in text.as_bytes().chunks(7) {
        client.write_all(piece).await?;
        client.flush().await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Output that a test can read while the chat goes on.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no test panicked")).into_owned()
    }

    async fn wait_for(&self, text: &str) -> Result<()> {
        let there = async {
            while !self.text().contains(text) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, there).await.with_context(|| format!("no '{text}' in {}", self.text()))
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A chat and the means to play its user.
struct Stage {
    chat: Chat<Output>,
    out: Output,
    type_line: mpsc::Sender<io::Result<String>>,
    lines: mpsc::Receiver<io::Result<String>>,
    interrupt: mpsc::Sender<()>,
    interrupts: mpsc::Receiver<()>,
}

fn stage(server: &Server, terminal: bool) -> Result<Stage> {
    let (type_line, lines) = mpsc::channel(16);
    let (interrupt, interrupts) = mpsc::channel(1);
    let out = Output::default();
    let client = connect(&server.url)?;
    let (model, history) = ("demo".to_owned(), Vec::new());
    let chat = Chat { client, model, temperature: None, history, terminal, out: out.clone() };
    Ok(Stage { chat, out, type_line, lines, interrupt, interrupts })
}

/// Chats with these lines, and gives the output.
async fn script_chat(server: &Server, terminal: bool, lines: &[&str]) -> Result<String> {
    let Stage { mut chat, out, type_line, lines: receiver, interrupt, interrupts } = stage(server, terminal)?;
    for &line in lines {
        type_line.send(Ok(line.to_owned())).await?;
    }
    drop(type_line);
    let ended = tokio::time::timeout(DEADLINE, chat.run(receiver, interrupts)).await?;
    drop(interrupt);
    ended.map(|()| out.text())
}

#[tokio::test]
async fn a_script_gets_the_answers_alone() -> Result<()> {
    let server = Server::start(Script::Stream(TOKYO.to_owned())).await?;
    let output = script_chat(&server, false, &["What is the capital of Japan?", "", "  Sure? "]).await?;
    assert_eq!(output, "Tōkyō.\nTōkyō.\n");
    let messages = json!([
        {"role": "user", "content": "What is the capital of Japan?"},
        {"role": "assistant", "content": "Tōkyō."},
        {"role": "user", "content": "Sure?"},
    ]);
    assert_eq!(server.seen()[1]["messages"], messages);
    assert_eq!(server.seen()[1]["stream"], true);
    assert_eq!(server.seen()[1].get("temperature"), None);
    Ok(())
}

#[tokio::test]
async fn a_person_sees_figures_and_can_change_things() -> Result<()> {
    let server = Server::start(Script::Stream(TOKYO.to_owned())).await?;
    let lines =
        ["Japan?", "/reset", "Italy?", "/model", "/model nobody", "/model sleepy", "/what", "Again?", "/quit", "x"];
    let output = script_chat(&server, true, &lines).await?;
    assert!(output.contains("(3 tokens"), "{output}");
    assert!(output.contains("sleepy (not ready), demo; this chat is with demo"), "{output}");
    assert!(output.contains("does not know the model 'nobody'"), "{output}");
    assert!(output.contains("there is no command /what"), "{output}");
    let seen = server.seen();
    assert_eq!(seen.len(), 3, "nothing is read after /quit");
    assert_eq!(seen[1]["messages"], json!([{"role": "user", "content": "Italy?"}]));
    assert_eq!(seen[2]["model"], "sleepy");
    Ok(())
}

#[tokio::test]
async fn an_interrupt_stops_the_answer_and_a_second_one_ends() -> Result<()> {
    let half = TOKYO.split_inclusive("\n\n").take(3).collect();
    let server = Server::start(Script::Hang(half)).await?;
    let Stage { mut chat, out, type_line, lines, interrupt, interrupts } = stage(&server, true)?;
    let user = async {
        type_line.send(Ok("Japan?".to_owned())).await?;
        out.wait_for("Tōky").await?;
        interrupt.send(()).await?;
        out.wait_for("(stopped)").await?;
        tokio::time::timeout(DEADLINE, server.closed.acquire()).await??.forget();
        interrupt.send(()).await?;
        anyhow::Ok(())
    };
    let (ended, played) = tokio::join!(tokio::time::timeout(DEADLINE, chat.run(lines, interrupts)), user);
    played?;
    ended??;
    let so_far = Message { role: "assistant", content: "Tōky".to_owned() };
    assert_eq!(chat.history.last(), Some(&so_far));
    drop(type_line);
    Ok(())
}

#[tokio::test]
async fn an_interrupt_ends_a_script() -> Result<()> {
    let server = Server::start(Script::Hang(String::new())).await?;
    let Stage { mut chat, type_line, lines, interrupt, interrupts, .. } = stage(&server, false)?;
    type_line.send(Ok("Japan?".to_owned())).await?;
    let user = async {
        while server.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        interrupt.send(()).await
    };
    let (ended, played) = tokio::join!(tokio::time::timeout(DEADLINE, chat.run(lines, interrupts)), user);
    played?;
    assert!(ended?.is_err());
    Ok(())
}

#[tokio::test]
async fn refusals_end_a_script_but_not_a_person() -> Result<()> {
    let body = json!({"error": {"message": "too long: 2000 of 1024 tokens", "type": "invalid_request_error",
        "param": "messages", "code": "context_length_exceeded"}});
    let server = Server::start(Script::Refuse(400, body)).await?;
    let error = script_chat(&server, false, &["Japan?", "Italy?"]).await.expect_err("the server refuses");
    assert_eq!(error.to_string(), "too long: 2000 of 1024 tokens");
    assert_eq!(server.seen().len(), 1);
    let output = script_chat(&server, true, &["Japan?", "Italy?"]).await?;
    assert!(output.contains("/reset"), "{output}");
    assert_eq!(server.seen()[2]["messages"].as_array().map(Vec::len), Some(1), "the refused question is forgotten");
    Ok(())
}

#[tokio::test]
async fn streams_that_break_off_are_errors() -> Result<()> {
    let question = [Message { role: "user", content: "Japan?".to_owned() }];
    let ask = Question { model: "demo", messages: &question, temperature: Some(0.0) };
    let refused = "data: {\"error\":{\"message\":\"the machines left\",\"code\":\"pipeline_lost\"}}\n\n";
    let server = Server::start(Script::Stream(refused.to_owned())).await?;
    let error = connect(&server.url)?.stream_chat(ask, |_| Ok(())).await.expect_err("it failed");
    let ApiClientError::Refused(refusal) = error else { panic!("{error}") };
    assert_eq!(refusal.code.as_deref(), Some("pipeline_lost"));
    assert_eq!(server.seen()[0]["temperature"], 0.0);

    let half: String = TOKYO.split_inclusive("\n\n").take(3).collect();
    let server = Server::start(Script::Stream(half)).await?;
    let error = connect(&server.url)?.stream_chat(ask, |_| Ok(())).await.expect_err("it broke off");
    assert!(error.to_string().contains("broke off"), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_summary_counts() -> Result<()> {
    let server = Server::start(Script::Stream(TOKYO.to_owned())).await?;
    let question = [Message { role: "user", content: "Japan?".to_owned() }];
    let ask = Question { model: "demo", messages: &question, temperature: None };
    let mut text = String::new();
    let client = connect(&format!("{}/v1/", server.url))?;
    let summary = client
        .stream_chat(ask, |piece| {
            text.push_str(piece);
            Ok(())
        })
        .await?;
    assert_eq!(text, "Tōkyō.");
    assert_eq!((summary.prompt_tokens, summary.completion_tokens), (9, 3));
    assert!(summary.first_text <= summary.total);
    Ok(())
}

#[tokio::test]
async fn models_are_chosen_or_named_in_the_error() -> Result<()> {
    let server = Server::start(Script::Stream(String::new())).await?;
    let client = connect(&server.url)?;
    assert_eq!(choose_model(&client, None).await?, "demo", "the first that is ready");
    assert_eq!(choose_model(&client, Some("sleepy")).await?, "sleepy");
    let error = choose_model(&client, Some("gpt-4o")).await.expect_err("unknown");
    assert!(error.to_string().contains("gpt-4o") && error.to_string().contains("sleepy (not ready), demo"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_so() -> Result<()> {
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let error = connect(&format!("127.0.0.1:{port}"))?.models().await.expect_err("nobody listens");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(connect("https://example.org").is_err());
    assert!(connect("http://").is_err());
    Ok(())
}
