//! Clients that go away.

use super::{
    app, chat_body,
    fake::{Fake, Script},
    post_request,
};
use axum::http::StatusCode;
use futures::StreamExt;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn dropping_a_streams_body_cancels_every_choice() {
    let fake = Fake::new([Script::Hang("Tokyo"), Script::Hang("Kyoto")]);
    let request = post_request(PATH, chat_body(&json!({"stream": true, "n": 2})).to_string());
    let response = app(&fake).oneshot(request).await.expect("routers do not fail");
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.is_some());
    assert!(fake.none_cancelled());
    drop(body);
    fake.cancelled(2).await;
}

/// A real server, because it is the one that has to see the connection close.
async fn connect(fake: &Arc<Fake>, body: &Value) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, app(fake)).into_future());
    let mut client = TcpStream::connect(address).await.expect("a connection");
    let body = body.to_string();
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ");
    client.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await.expect("written");
    client
}

#[tokio::test]
async fn closing_the_connection_cancels_a_stream() {
    let fake = Fake::new([Script::Hang("Tokyo")]);
    let mut client = connect(&fake, &chat_body(&json!({"stream": true}))).await;
    let mut some = [0; 512];
    assert!(client.read(&mut some).await.expect("the first chunks") > 0);
    assert!(fake.none_cancelled());
    drop(client);
    fake.cancelled(1).await;
}

#[tokio::test]
async fn closing_the_connection_cancels_a_whole_answer() {
    let fake = Fake::new([Script::Hang("Tokyo"), Script::Hang("Kyoto")]);
    let client = connect(&fake, &chat_body(&json!({"n": 2}))).await;
    while fake.seen().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(fake.none_cancelled());
    drop(client);
    fake.cancelled(2).await;
}
