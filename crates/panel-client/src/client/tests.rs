use super::*;
use gogrid_panel_api::{RequestError, SOCKET};
use tempfile::TempDir;
use tokio::{net::UnixListener, task::JoinHandle};

/// A worker that answers its one client's requests with these, one each, and ends.
fn worker(responses: Vec<Response>) -> (TempDir, JoinHandle<Vec<Request>>) {
    let data = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(data.path().join(SOCKET)).unwrap();
    let task = tokio::spawn(async move {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut requests = Vec::new();
        for response in responses {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            requests.push(Request::from_line(line.trim_end().as_bytes()).unwrap());
            let mut answer = serde_json::to_vec(&response).unwrap();
            answer.push(b'\n');
            stream.write_all(&answer).await.unwrap();
        }
        requests
    });
    (data, task)
}

#[tokio::test]
async fn orders_are_done_or_refused_in_the_workers_words() {
    let refused = RequestError::new(Some("cpu"), "cpu = 150 is out of range: 1 to 100 %");
    let (data, task) = worker(vec![Response::Done, Response::Refused(refused)]);
    let mut client = WorkerClient::connect(data.path()).await.unwrap();
    let set = Request::Set { changes: vec![("cpu".into(), "150".into())] };
    client.order(&Request::Resume).await.unwrap();
    let error = client.order(&set).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "cpu = 150 is out of range: 1 to 100 %");
    assert_eq!(task.await.unwrap(), [Request::Resume, set]);
}

#[tokio::test]
async fn a_worker_that_ends_is_said_to_have_ended() {
    let (data, task) = worker(vec![]);
    let mut client = WorkerClient::connect(data.path()).await.unwrap();
    task.await.unwrap();
    let error = client.status().await.unwrap_err();
    assert!(error.to_string().contains("ended the connection"), "{error:#}");
}

#[tokio::test]
async fn where_no_worker_runs_there_is_none() {
    let data = tempfile::tempdir().unwrap();
    assert!(WorkerClient::find(data.path()).await.unwrap().is_none());
    // What a worker leaves that was killed.
    drop(std::os::unix::net::UnixListener::bind(data.path().join(SOCKET)).unwrap());
    assert!(WorkerClient::find(data.path()).await.unwrap().is_none());
    let error = WorkerClient::connect(data.path()).await.unwrap_err();
    assert!(error.to_string().starts_with("no worker is running in "), "{error:#}");
}
