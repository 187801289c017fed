//! Clients that reconnect for the rest of their stream.

use super::{
    Reply, chat_body,
    fake::{Fake, Script, done, tokens},
    post_request, send,
};
use crate::{
    api::{StoredStreams, router_with},
    audit::Audit,
    generate::{FinishReason, GenerationService},
    keys::Keys,
};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tower::ServiceExt;

const PATH: &str = "/v1/chat/completions";

fn app(fake: &Arc<Fake>, within: Duration) -> Router {
    router_with(Arc::clone(fake) as Arc<dyn GenerationService>, Keys::new(Audit::nowhere()), StoredStreams::new(within))
}

fn ask() -> Request<Body> {
    let mut request = post_request(PATH, chat_body(&json!({"stream": true})).to_string());
    request.headers_mut().insert("x-gogrid-resume", "1".parse().expect("a value"));
    request
}

fn after(last: &str) -> Request<Body> {
    Request::post(PATH).header("last-event-id", last).body(Body::empty()).expect("a request")
}

async fn reply(app: &Router, request: Request<Body>) -> Reply {
    let response = app.clone().oneshot(request).await.expect("routers do not fail");
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), 1 << 24).await.expect("the body ends");
    Reply { status, headers, text: String::from_utf8(bytes.to_vec()).expect("UTF-8") }
}

/// Events with their ids.
fn events(text: &str) -> Vec<(String, Value)> {
    let parse = |event: &str| {
        let (id, data) = event.split_once('\n').expect("two lines");
        let data = data.strip_prefix("data: ").expect("data");
        let id = id.strip_prefix("id: ").expect("an id").to_owned();
        (id, serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
    };
    text.split_terminator("\n\n").map(parse).collect()
}

fn script() -> Script {
    let mut said = tokens("Tokyo is the capital of Japan.", 0);
    said.push(done(FinishReason::Stop, "", 10, said.len()));
    Script::Play(said)
}

#[tokio::test]
async fn a_client_that_reconnects_gets_exactly_what_it_missed() {
    let fake = Fake::new([script()]);
    let app = app(&fake, Duration::from_secs(60));
    let whole = reply(&app, ask()).await;
    let whole_events = events(&whole.text);
    let request = whole.headers["x-request-id"].to_str().expect("text").to_owned();
    let ids: Vec<&str> = whole_events.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, (1..=ids.len()).map(|number| format!("{request}:{number}")).collect::<Vec<_>>());
    assert_eq!(whole_events.last().map(|(_, data)| data), Some(&json!("[DONE]")));
    for (at, (id, _)) in whole_events.iter().enumerate() {
        let rest = reply(&app, after(id)).await;
        assert_eq!(rest.status, StatusCode::OK, "{}", rest.text);
        assert_eq!(events(&rest.text), whole_events[at + 1..], "after {id}");
    }
}

#[tokio::test]
async fn the_work_goes_on_without_its_client_until_it_is_given_up() {
    let fake = Fake::new([Script::Hang("Tokyo")]);
    let app = app(&fake, Duration::from_millis(50));
    let response = app.clone().oneshot(ask()).await.expect("routers do not fail");
    let id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.is_some());
    drop(body);
    assert!(fake.none_cancelled(), "not at once");
    fake.cancelled(1).await;
    let gone = async || reply(&app, after(&format!("{id}:1"))).await.status == StatusCode::NOT_FOUND;
    while !gone().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_the_header_events_have_no_ids() {
    let fake = Fake::new([script()]);
    let reply = send(&fake, post_request(PATH, chat_body(&json!({"stream": true})).to_string())).await;
    assert!(reply.headers.contains_key("x-request-id"));
    assert!(!reply.events().is_empty(), "plain data lines");
}

#[tokio::test]
async fn an_unknown_stream_is_refused_with_the_reason() {
    let fake = Fake::new([script()]);
    let app = app(&fake, Duration::from_secs(60));
    let whole = reply(&app, ask()).await;
    let id = whole.headers["x-request-id"].to_str().expect("text").to_owned();
    for (last, why) in [
        ("nonsense".to_owned(), "REQUEST:NUMBER"),
        ("req-0:1".to_owned(), "kept for 60 s"),
        (format!("{id}:99"), "no such event"),
    ] {
        let refused = reply(&app, after(&last)).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        let error = refused.json()["error"].clone();
        assert_eq!(error["code"], "stream_not_found");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(why)), "{error}");
    }
}
