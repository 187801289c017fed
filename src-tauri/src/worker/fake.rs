//! A control socket that answers as a worker does, for tests.

use crate::testing;
use gogrid_panel_api::{Request, Response, SOCKET, State};
use std::path::Path;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::JoinSet,
};

/// Requests that a test has not received yet.
const UNSEEN: usize = 64;

/// The socket. Dropping it is like killing the worker.
pub(crate) struct FakeWorker {
    _connections: JoinSet<()>,
    pub(crate) requests: mpsc::Receiver<Request>,
}

impl FakeWorker {
    /// Listens in this folder, and answers with what `answers` returns; silent for `None`.
    pub(crate) fn listen(data: &Path, answers: impl Fn(&Request) -> Option<Response> + Clone + Send + 'static) -> Self {
        let socket = data.join(SOCKET);
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(socket).unwrap();
        let (sender, requests) = mpsc::channel(UNSEEN);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, answers.clone(), sender.clone()));
            }
        });
        Self { _connections: tasks, requests }
    }

    /// An idle worker that accepts every request.
    pub(crate) fn willing(data: &Path) -> Self {
        Self::listen(data, |request| {
            Some(match request {
                Request::Follow { .. } => Response::Status(Box::new(testing::status(State::Idle, "Nothing to do"))),
                _ => Response::Done,
            })
        })
    }

    /// The next request other than `Follow`.
    pub(crate) async fn next_command(&mut self) -> Request {
        loop {
            match self.requests.recv().await.unwrap() {
                Request::Follow { .. } => {}
                request => return request,
            }
        }
    }
}

async fn serve(stream: UnixStream, answers: impl Fn(&Request) -> Option<Response>, sender: mpsc::Sender<Request>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let request = Request::from_line(line.trim_end().as_bytes()).unwrap();
        let answer = answers(&request);
        let _ = sender.try_send(request);
        if let Some(answer) = answer {
            let mut line = serde_json::to_vec(&answer).unwrap();
            line.push(b'\n');
            if stream.write_all(&line).await.is_err() {
                return;
            }
        }
    }
}
