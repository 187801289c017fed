//! The client against a small HTTP server.

use crate::{ApiClient, ApiClientError, Message, Question};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

const MODELS: &str = r#"{"data":[{"id":"demo"}]}"#;

/// With TLS among its features, the process needs cryptography first.
fn client(url: &str) -> ApiClient {
    #[cfg(feature = "tls")]
    let client = ApiClient::new(url);
    #[cfg(not(feature = "tls"))]
    let client = ApiClient::plain(url);
    client.expect("a URL")
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A server that answers each request with the next of these, and tells the requests. The last answer never ends.
async fn server(answers: Vec<String>) -> (ApiClient, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/v1/", listener.local_addr().expect("an address"));
    let (tell, told) = mpsc::channel(8);
    tokio::spawn(async move {
        let mut open = Vec::new();
        for answer in answers {
            let (mut client, _) = listener.accept().await.expect("a client");
            let mut request = vec![0; 64 << 10];
            let bytes = client.read(&mut request).await.expect("a request");
            tell.send(String::from_utf8_lossy(&request[..bytes]).into_owned()).await.expect("heard");
            client.write_all(answer.as_bytes()).await.expect("sent");
            open.push(client);
        }
        std::future::pending::<()>().await;
    });
    (client(&url), told)
}

#[test]
fn an_address_is_the_same_with_and_without_its_path() {
    for url in ["http://a:80", "a:80", "http://a:80/", "a:80/v1", "http://a:80/v1/", "http://a:80//"] {
        assert_eq!(client(url).url(), "http://a:80", "{url}");
    }
}

#[tokio::test]
async fn a_key_goes_along_and_is_shown_nowhere() {
    let (client, mut told) = server(vec![answer("200 OK", MODELS), answer("200 OK", MODELS)]).await;
    client.models().await.expect("models");
    assert!(!told.recv().await.expect("a request").to_lowercase().contains("authorization"));
    let keyed = client.with_key("gg-secret").expect("a key");
    assert!(!format!("{keyed:?}").contains("secret"), "{keyed:?}");
    keyed.models().await.expect("models");
    assert!(told.recv().await.expect("a request").contains("authorization: Bearer gg-secret"));
    for wrong in ["", "a b", "a\nb", "ä"] {
        let error = keyed.clone().with_key(wrong).expect_err("no key");
        assert!(matches!(error, ApiClientError::Key), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn a_missing_key_is_told_apart_from_other_refusals() {
    let body = r#"{"error":{"message":"this coordinator asks for a key","code":"invalid_api_key"}}"#;
    let busy = r#"{"error":{"message":"busy","code":"queue_full"}}"#;
    let answers =
        vec![answer("401 Unauthorized", body), answer("401 Unauthorized", "no"), answer("429 Too Many Requests", busy)];
    let (client, _told) = server(answers).await;
    assert!(client.models().await.expect_err("refused").asks_for_key());
    assert!(client.models().await.expect_err("refused").asks_for_key(), "whatever stands before the coordinator");
    assert!(!client.models().await.expect_err("refused").asks_for_key());
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let (elsewhere, mut told) = server(vec![answer("200 OK", MODELS)]).await;
    let moved = format!("HTTP/1.1 307 Moved\r\nlocation: {}/v1/models\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    let (client, _told) = server(vec![moved]).await;
    let error = client.models().await.expect_err("sent elsewhere");
    assert!(matches!(error, ApiClientError::Status { .. }), "{error}");
    assert!(told.try_recv().is_err(), "nobody asked there");
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: keep-alive\n\n";
    let (mut client, _told) = server(vec![begun.to_owned(), begun.to_owned()]).await;
    (client.short_within, client.stream_within) = (Duration::from_millis(20), Duration::from_millis(20));
    let error = client.models().await.expect_err("never whole");
    assert!(matches!(error, ApiClientError::TooSlow { .. }), "{error}");
    let messages = [Message { role: "user", content: "Japan?".into() }];
    let question = Question { model: "demo", messages: &messages, temperature: None };
    let error = client.stream_chat(question, |_| Ok(())).await.expect_err("never whole");
    assert!(matches!(error, ApiClientError::TooSlow { .. }), "{error}");
}
