use super::*;
use gogrid_panel_api::{MAX_REQUEST, PauseRequest, RequestError, SOCKET};
use listener::MAX_PATH;
use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    task::JoinHandle,
    time::timeout,
};

/// Longer than any answer takes, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct FakeApi {
    status: Arc<Mutex<Status>>,
    changes: watch::Sender<u64>,
    orders: Arc<Mutex<Vec<Request>>>,
}

impl Handler for FakeApi {
    fn status(&self) -> Status {
        self.status.lock().unwrap().clone()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn handle(&self, request: Request) -> Response {
        assert_ne!(request, Request::Preset { name: "panic".into() }, "a handler that panics");
        self.orders.lock().unwrap().push(request);
        Response::Done
    }
}

impl FakeApi {
    fn new() -> Self {
        let status = serde_json::from_str(include_str!("../../../panel-api/tests/status.json")).unwrap();
        Self { status: Arc::new(Mutex::new(status)), changes: watch::Sender::new(0), orders: Arc::default() }
    }

    fn change(&self, reason: &str) {
        self.status.lock().unwrap().reason = reason.into();
        self.changes.send_modify(|count| *count += 1);
    }
}

/// A worker that has nothing but its socket.
struct Served {
    data: TempDir,
    api: FakeApi,
    task: JoinHandle<()>,
}

impl Served {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let api = FakeApi::new();
        let task = tokio::spawn(Local::bind(data.path()).unwrap().serve(api.clone()));
        Self { data, api, task }
    }

    async fn client(&self) -> Client {
        Client { stream: BufReader::new(UnixStream::connect(self.data.path().join(SOCKET)).await.unwrap()) }
    }
}

struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// The next response; `None` when the worker has ended the connection.
    async fn next(&mut self) -> Option<Response> {
        let mut line = String::new();
        let read = timeout(SOON, self.stream.read_line(&mut line)).await.expect("an answer comes");
        (read.ok()? > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    async fn ask(&mut self, line: &str) -> Response {
        self.send(format!("{line}\n")).await;
        self.next().await.expect("an answer")
    }

    async fn next_status(&mut self) -> Status {
        match self.next().await {
            Some(Response::Status(status)) => *status,
            other => panic!("{other:?}"),
        }
    }
}

fn refused(response: Response) -> RequestError {
    match response {
        Response::Refused(refused) => refused,
        other => panic!("{other:?}"),
    }
}

const STATUS: &str = r#"{"request":"status"}"#;
const FOLLOW: &str = "{\"request\":\"follow\",\"every_ms\":60000}\n";

#[tokio::test]
async fn it_tells_the_state_and_passes_orders_on() {
    let served = Served::start();
    let mut client = served.client().await;
    assert_eq!(client.ask(STATUS).await, Response::Status(Box::new(served.api.status())));
    assert_eq!(client.ask(r#"{"request":"pause","seconds":900}"#).await, Response::Done);
    assert_eq!(client.ask(r#"{"request":"set","changes":[["cpu","25"]]}"#).await, Response::Done);
    let orders = [
        Request::Pause(PauseRequest { seconds: Some(900), after_answers: false }),
        Request::Set { changes: vec![("cpu".into(), "25".into())] },
    ];
    assert_eq!(*served.api.orders.lock().unwrap(), orders);
}

#[tokio::test]
async fn who_follows_hears_at_once_and_after_every_change() {
    let served = Served::start();
    let mut client = served.client().await;
    client.send(FOLLOW).await;
    assert_eq!(client.next_status().await.reason, "You are using the computer");
    for reason in ["On battery, 62 % left", "Nothing holds GoGrid back"] {
        served.api.change(reason);
        assert_eq!(client.next_status().await.reason, reason);
    }
}

#[tokio::test]
async fn who_follows_hears_again_after_the_interval_and_can_ask_something_else() {
    let served = Served::start();
    let mut client = served.client().await;
    client.send("{\"request\":\"follow\",\"every_ms\":100}\n").await;
    for _ in 0..3 {
        client.next_status().await;
    }
    client.send("{\"request\":\"resume\"}\n").await;
    loop {
        match client.next().await {
            Some(Response::Status(_)) => {}
            other => break assert_eq!(other, Some(Response::Done)),
        }
    }
    // It no longer follows: the next answer is to the next request.
    assert_eq!(refused(client.ask(r#"{"request":"fly"}"#).await).field.as_deref(), Some("request"));
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_the_connection_goes_on() {
    let served = Served::start();
    let mut client = served.client().await;
    for (line, says) in [
        ("hello", "not JSON"),
        ("\u{0}\u{1}", "not JSON"),
        ("", "not JSON"),
        (r#"{"request":"fly"}"#, "`fly`"),
        (r#"{"request":"status","colour":"red"}"#, "`colour`"),
        (r#"{"request":"pause","minutes":5}"#, "`minutes`"),
        (r#"{"request":"follow","every_ms":1}"#, "100 to 60000 ms"),
    ] {
        let refused = refused(client.ask(line).await);
        assert!(refused.message.contains(says), "{line}: {refused:?}");
    }
    client.send(b"\xff\xfe\n").await;
    assert!(refused(client.next().await.unwrap()).message.contains("not JSON"));
    assert_eq!(client.ask(r#"{"request":"resume"}"#).await, Response::Done);
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_and_the_connection_goes_on() {
    let served = Served::start();
    let mut client = served.client().await;
    let long = format!(r#"{{"request":"preset","name":"{}"}}"#, "x".repeat(MAX_REQUEST));
    let refused = refused(client.ask(&long).await);
    assert!(refused.message.contains("at most 65536 bytes"), "{refused:?}");
    assert_eq!(client.ask(r#"{"request":"resume"}"#).await, Response::Done);
}

#[tokio::test]
async fn half_a_line_is_no_request_and_who_is_gone_leaves_the_others_alone() {
    let served = Served::start();
    let (mut gone, mut stays) = (served.client().await, served.client().await);
    gone.send(r#"{"request":"resume"}"#).await;
    drop(gone);
    let mut follower = served.client().await;
    follower.send(FOLLOW).await;
    follower.next_status().await;
    drop(follower);
    served.api.change("changed");
    assert_eq!(stays.ask(r#"{"request":"limits"}"#).await, Response::Done);
    assert_eq!(*served.api.orders.lock().unwrap(), [Request::Limits]);
}

#[tokio::test]
async fn a_desk_that_fails_takes_one_connection_with_it() {
    let served = Served::start();
    let (mut one, mut other) = (served.client().await, served.client().await);
    one.send("{\"request\":\"preset\",\"name\":\"panic\"}\n").await;
    assert_eq!(one.next().await, None);
    assert_eq!(other.ask(r#"{"request":"resume"}"#).await, Response::Done);
}

#[tokio::test]
async fn there_is_room_for_so_many_clients_and_again_when_one_goes() {
    let served = Served::start();
    let mut clients = Vec::new();
    for _ in 0..MAX_CLIENTS {
        let mut client = served.client().await;
        assert_eq!(client.ask(r#"{"request":"resume"}"#).await, Response::Done);
        clients.push(client);
    }
    let mut late = served.client().await;
    assert!(refused(late.next().await.unwrap()).message.contains("32 clients"));
    assert_eq!(late.next().await, None);

    drop(clients.pop());
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let mut client = served.client().await;
        // Too late by a moment: the client that was turned away may be gone before it has said anything.
        drop(client.stream.write_all(b"{\"request\":\"resume\"}\n").await);
        match client.next().await {
            Some(Response::Done) => break,
            _ => assert!(tokio::time::Instant::now() < deadline, "no room although a client went"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_does_not_read_is_dropped() {
    let (mut client, worker) = tokio::io::duplex(64);
    let timeouts = Timeouts { answer: Duration::from_millis(50), ..TIMEOUTS };
    let task = tokio::spawn(connection::serve(worker, FakeApi::new(), timeouts));
    client.write_all(FOLLOW.as_bytes()).await.unwrap();
    let error = timeout(SOON, task).await.expect("it ends").unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_refused_and_the_connection_ends() {
    let (client, worker) = tokio::io::duplex(1024);
    let timeouts = Timeouts { line: Duration::ZERO, ..TIMEOUTS };
    let task = tokio::spawn(connection::serve(worker, FakeApi::new(), timeouts));
    let mut client = BufReader::new(client);
    client.write_all(b"{\"request\":").await.unwrap();
    let mut answer = String::new();
    timeout(SOON, client.read_line(&mut answer)).await.expect("an answer comes").unwrap();
    assert!(answer.contains("did not end within 0 s"), "{answer}");
    timeout(SOON, task).await.expect("it ends").unwrap().unwrap();
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_goes_with_the_worker() {
    let served = Served::start();
    let path = served.data.path().join(SOCKET);
    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(served.data.path()).unwrap().count(), 1, "nothing but the socket");

    let mut client = served.client().await;
    assert_eq!(client.ask(r#"{"request":"resume"}"#).await, Response::Done);
    served.task.abort();
    assert!(served.task.await.unwrap_err().is_cancelled());
    assert!(!path.exists());
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn what_a_dead_worker_left_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join(SOCKET);
    // A socket that nobody listens at, and the folder of a worker that died before it listened.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    fs::create_dir(data.path().join("ctl.new")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(data.path().join("ctl.new/s")).unwrap());
    assert_eq!(UnixStream::connect(&path).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);

    let api = FakeApi::new();
    let task = tokio::spawn(Local::bind(data.path()).unwrap().serve(api.clone()));
    let served = Served { data, api, task };
    assert_eq!(served.client().await.ask(r#"{"request":"resume"}"#).await, Response::Done);
}

#[tokio::test]
async fn a_folder_whose_name_is_too_long_is_refused_with_its_length() {
    let data = tempfile::tempdir().unwrap();
    let room = MAX_PATH - data.path().as_os_str().len() - "//control.sock".len();
    let fits = data.path().join("x".repeat(room));
    fs::create_dir(&fits).unwrap();
    assert!(Local::bind(&fits).is_ok());

    let over = data.path().join("x".repeat(room + 1));
    fs::create_dir(&over).unwrap();
    let error = Local::bind(&over).err().expect("one byte too many");
    let says = format!("is {} bytes long, and the path of a socket has at most {}", MAX_PATH + 1, MAX_PATH);
    assert!(error.to_string().contains(&says) && error.to_string().contains("choose a shorter data folder"), "{error}");
}
