use super::*;
use gogrid_panel_api::{RequestError, SOCKET};
use tempfile::TempDir;
use tokio::{net::UnixListener, task::JoinHandle};

/// A deadline for what comes at once.
const SOON: Duration = Duration::from_secs(10);

/// A worker that answers its one client with these bytes, a part a request, and closes the connection.
fn worker(answers: Vec<Vec<u8>>) -> (TempDir, JoinHandle<Vec<Request>>) {
    let data = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(data.path().join(SOCKET)).unwrap();
    let task = tokio::spawn(async move {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut requests = Vec::new();
        for answer in answers {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            requests.push(Request::from_line(line.trim_end().as_bytes()).unwrap());
            // A client that has had enough closes its end.
            let _ = stream.write_all(&answer).await;
        }
        requests
    });
    (data, task)
}

fn line(response: &Response) -> Vec<u8> {
    let mut line = serde_json::to_vec(response).unwrap();
    line.push(b'\n');
    line
}

#[tokio::test]
async fn commands_are_done_or_refused_in_the_workers_words() {
    let refusal = RequestError::new(Some("cpu"), "cpu = 150 is out of range: 1 to 100 %");
    let (data, task) = worker(vec![line(&Response::Done), line(&Response::Refused(refusal.clone()))]);
    let mut client = WorkerClient::connect(data.path()).await.unwrap();
    let set = Request::Set { changes: vec![("cpu".into(), "150".into())] };
    client.command(&Request::Resume).await.unwrap();
    let error = client.command(&set).await.unwrap_err();
    assert_eq!(error.to_string(), "cpu = 150 is out of range: 1 to 100 %");
    assert!(matches!(error, ClientError::Refused(inner) if inner == refusal));
    assert_eq!(task.await.unwrap(), [Request::Resume, set]);
}

#[tokio::test]
async fn a_worker_that_ends_is_said_to_have_ended() {
    let (data, task) = worker(vec![]);
    let mut client = WorkerClient::connect(data.path()).await.unwrap();
    task.await.unwrap();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Closed), "{error:?}");
}

#[tokio::test]
async fn where_no_worker_runs_there_is_none() {
    let data = tempfile::tempdir().unwrap();
    assert!(WorkerClient::find(data.path()).await.unwrap().is_none());
    // What a killed worker leaves behind.
    drop(std::os::unix::net::UnixListener::bind(data.path().join(SOCKET)).unwrap());
    assert!(WorkerClient::find(data.path()).await.unwrap().is_none());
    let error = WorkerClient::connect(data.path()).await.unwrap_err();
    assert!(error.to_string().starts_with("no worker is running in "), "{error:#}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_until_the_deadline() {
    let data = tempfile::tempdir().unwrap();
    let _silent = UnixListener::bind(data.path().join(SOCKET)).unwrap();
    let mut client = WorkerClient::connect(data.path()).await.unwrap();
    let deadline = Duration::from_millis(20);
    let error = client.ask(&Request::Status, deadline).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout(within) if within == deadline), "{error:?}");
}

#[tokio::test]
async fn a_line_has_a_longest_length() {
    let longest = usize::try_from(MAX_RESPONSE).unwrap();
    let mut fits = line(&Response::Done);
    fits.splice(0..0, vec![b' '; longest + 1 - fits.len()]);
    let (data, _task) = worker(vec![fits, vec![b' '; longest + 1]]);
    let mut client = WorkerClient::connect(data.path()).await.unwrap();
    assert_eq!(client.ask(&Request::Resume, SOON).await.unwrap(), Response::Done);
    let error = client.ask(&Request::Resume, SOON).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLong(_)), "{error:?}");
}

#[tokio::test]
async fn a_response_of_another_version_is_not_understood() {
    let (data, _task) = worker(vec![b"{\"response\":\"sung\"}\n".to_vec(), line(&Response::Done)]);
    let mut client = WorkerClient::connect(data.path()).await.unwrap();
    let error = client.ask(&Request::Resume, SOON).await.unwrap_err();
    assert!(matches!(error, ClientError::NotUnderstood), "{error:?}");
    // And one that does not belong to the request.
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotUnderstood), "{error:?}");
}

#[tokio::test]
async fn a_wait_that_is_cancelled_loses_no_part_of_the_line() {
    let data = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(data.path().join(SOCKET)).unwrap();
    let mut client = WorkerClient::connect(data.path()).await.unwrap();
    let (mut worker, _) = listener.accept().await.unwrap();
    let line = line(&Response::Done);
    let (first, rest) = line.split_at(4);
    worker.write_all(first).await.unwrap();
    assert!(client.next_within(Duration::from_millis(20)).await.is_err());
    worker.write_all(rest).await.unwrap();
    assert_eq!(client.next_within(SOON).await.unwrap(), Response::Done);
}
