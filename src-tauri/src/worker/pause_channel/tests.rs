use super::{
    super::{commands::WorkerCommands, fake::FakeWorker},
    *,
};
use gogrid_panel_api::PauseRequest;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

/// No test waits longer for what should come at once.
const SOON: Duration = Duration::from_secs(10);

struct Fixture {
    data: TempDir,
    worker_up: watch::Sender<bool>,
    pause_channel: PauseChannel,
    _task: JoinHandle<()>,
}

impl Fixture {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let worker_up = watch::Sender::new(false);
        let (pause_channel, pause_task) = PauseChannel::new(data.path().to_owned(), worker_up.subscribe());
        Self { data, worker_up, pause_channel, _task: tokio::spawn(pause_task) }
    }
}

const fn pause() -> Request {
    Request::Pause(PauseRequest { seconds: None, after_answers: false })
}

#[tokio::test]
async fn a_pause_passes_an_order_that_takes_its_time() {
    let fixture = Fixture::start();
    let slow = |request: &Request| (!matches!(request, Request::Join { .. })).then_some(Response::Done);
    let mut worker = FakeWorker::listen(fixture.data.path(), slow);
    fixture.worker_up.send_replace(true);
    let commands = WorkerCommands::new(fixture.data.path().to_owned(), fixture.pause_channel.clone());
    let join = tokio::spawn({
        let commands = commands.clone();
        async move { commands.ask(Request::Join { code: "gogrid1-abc".into() }).await }
    });
    assert!(matches!(worker.next_command().await, Request::Join { .. }));
    let click = Instant::now();
    assert_eq!(timeout(SOON, commands.ask(pause())).await.unwrap(), Ok(Response::Done));
    assert!(click.elapsed() < Duration::from_millis(100), "{:?}", click.elapsed());
    assert_eq!(worker.next_command().await, pause());
    assert!(!join.is_finished());
    join.abort();
}

#[tokio::test]
async fn a_worker_that_was_restarted_is_found_again() {
    let fixture = Fixture::start();
    let first = FakeWorker::willing(fixture.data.path());
    assert_eq!(fixture.pause_channel.send(pause()).await, Ok(Response::Done));
    drop(first);
    let refused = fixture.pause_channel.send(pause()).await.unwrap_err();
    assert_eq!(refused.message, "the engine is not running");
    let mut second = FakeWorker::willing(fixture.data.path());
    assert_eq!(fixture.pause_channel.send(Request::Resume).await, Ok(Response::Done));
    assert_eq!(second.next_command().await, Request::Resume);
}

#[tokio::test]
async fn a_refusal_is_an_error_in_the_workers_words() {
    let fixture = Fixture::start();
    let refusal = RequestError::new(Some("seconds"), "too long");
    let answer = Response::Refused(refusal.clone());
    let _worker = FakeWorker::listen(fixture.data.path(), move |_| Some(answer.clone()));
    let commands = WorkerCommands::new(fixture.data.path().to_owned(), fixture.pause_channel.clone());
    assert_eq!(commands.ask(pause()).await, Err(refusal.clone()));
    assert_eq!(commands.ask(Request::Limits).await, Err(refusal));
}

#[tokio::test]
async fn what_the_app_does_itself_is_refused() {
    let fixture = Fixture::start();
    let commands = WorkerCommands::new(fixture.data.path().to_owned(), fixture.pause_channel.clone());
    for request in [Request::Status, Request::Follow { every_ms: 1000 }] {
        assert_eq!(commands.ask(request).await.unwrap_err().field.as_deref(), Some("request"));
    }
}
