use super::{
    super::{commands::Orders, fake::FakeWorker},
    *,
};
use gogrid_panel_api::PauseRequest;
use std::time::Instant;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

/// No test waits longer for what should come at once.
const SOON: Duration = Duration::from_secs(10);

struct Story {
    data: TempDir,
    up: watch::Sender<bool>,
    brake: Brake,
    _lane: JoinHandle<()>,
}

impl Story {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let up = watch::Sender::new(false);
        let (brake, lane) = Brake::new(data.path().to_owned(), up.subscribe());
        Self { data, up, brake, _lane: tokio::spawn(lane) }
    }
}

const fn pause() -> Request {
    Request::Pause(PauseRequest { seconds: None, after_answers: false })
}

#[tokio::test]
async fn a_pause_passes_an_order_that_takes_its_time() {
    let story = Story::start();
    let slow = |request: &Request| (!matches!(request, Request::Join { .. })).then_some(Response::Done);
    let mut worker = FakeWorker::listen(story.data.path(), slow);
    story.up.send_replace(true);
    let orders = Orders::new(story.data.path().to_owned(), story.brake.clone());
    let join = tokio::spawn({
        let orders = orders.clone();
        async move { orders.ask(Request::Join { code: "gogrid1-abc".into() }).await }
    });
    assert!(matches!(worker.next_order().await, Request::Join { .. }));
    let click = Instant::now();
    assert_eq!(timeout(SOON, orders.ask(pause())).await.unwrap(), Ok(Response::Done));
    assert!(click.elapsed() < Duration::from_millis(100), "{:?}", click.elapsed());
    assert_eq!(worker.next_order().await, pause());
    assert!(!join.is_finished());
    join.abort();
}

#[tokio::test]
async fn a_worker_that_was_restarted_is_found_again() {
    let story = Story::start();
    let first = FakeWorker::willing(story.data.path());
    assert_eq!(story.brake.press(pause()).await, Ok(Response::Done));
    drop(first);
    let refused = story.brake.press(pause()).await.unwrap_err();
    assert_eq!(refused.message, "the engine is not running");
    let mut second = FakeWorker::willing(story.data.path());
    assert_eq!(story.brake.press(Request::Resume).await, Ok(Response::Done));
    assert_eq!(second.next_order().await, Request::Resume);
}

#[tokio::test]
async fn a_refusal_is_an_error_in_the_workers_words() {
    let story = Story::start();
    let refusal = RequestError::new(Some("seconds"), "too long");
    let answer = Response::Refused(refusal.clone());
    let _worker = FakeWorker::listen(story.data.path(), move |_| Some(answer.clone()));
    let orders = Orders::new(story.data.path().to_owned(), story.brake.clone());
    assert_eq!(orders.ask(pause()).await, Err(refusal.clone()));
    assert_eq!(orders.ask(Request::Limits).await, Err(refusal));
}

#[tokio::test]
async fn what_the_app_does_itself_is_refused() {
    let story = Story::start();
    let orders = Orders::new(story.data.path().to_owned(), story.brake.clone());
    for request in [Request::Status, Request::Follow { every_ms: 1000 }] {
        assert_eq!(orders.ask(request).await.unwrap_err().field.as_deref(), Some("request"));
    }
}
