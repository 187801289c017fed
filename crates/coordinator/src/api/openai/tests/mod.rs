//! The API against a service that plays scripts: no machines, and the demo model's tokenizer.

mod cancel;
mod chat;
mod completions;
mod constrained;
mod document;
mod errors;
mod event_replay;
pub(crate) mod fake;
mod keys;
mod logprobs;
mod models;
mod options;
mod python;
mod reasoning;
mod responses;
mod tolerance;
mod tools;

use crate::{audit::Audit, generate::GenerationService, keys::Keys, metrics::Metrics};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header::CONTENT_TYPE},
};
use fake::Fake;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

/// A response, read to its end.
pub(in crate::api) struct Reply {
    pub(in crate::api) status: StatusCode,
    pub(in crate::api) headers: HeaderMap,
    pub(in crate::api) text: String,
}

impl Reply {
    pub(in crate::api) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The events of a stream, `[DONE]` as a string.
    fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        assert_eq!(self.headers[CONTENT_TYPE], "text/event-stream");
        let data = self.text.split_terminator("\n\n").map(|event| {
            let data = event.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {event}"));
            serde_json::from_str(data).unwrap_or_else(|_| json!(data))
        });
        data.collect()
    }
}

pub(in crate::api) fn app(fake: &Arc<Fake>) -> Router {
    crate::api::router(Arc::clone(fake) as Arc<dyn GenerationService>, Keys::new(Audit::nowhere()), Metrics::new())
}

pub(in crate::api) async fn send(fake: &Arc<Fake>, request: Request<Body>) -> Reply {
    read(app(fake).oneshot(request).await.expect("routers do not fail")).await
}

pub(in crate::api) async fn read(response: axum::response::Response) -> Reply {
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), 1 << 24).await.expect("the body ends");
    Reply { status, headers, text: String::from_utf8(bytes.to_vec()).expect("UTF-8") }
}

pub(in crate::api) async fn get(fake: &Arc<Fake>, path: &str) -> Reply {
    send(fake, Request::get(path).body(Body::empty()).expect("a request")).await
}

pub(in crate::api) fn post_request(path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(Method::POST).uri(path).header(CONTENT_TYPE, "application/json");
    request.body(body.into()).expect("a request")
}

pub(in crate::api) async fn post(fake: &Arc<Fake>, path: &str, body: &Value) -> Reply {
    send(fake, post_request(path, body.to_string())).await
}

/// A chat request with a question, and whatever else.
fn chat_body(more: &Value) -> Value {
    with(json!({"model": "demo", "messages": [{"role": "user", "content": "What is the capital of Japan?"}]}), more)
}

/// A completion request with a prompt, and whatever else.
fn completion_body(more: &Value) -> Value {
    with(json!({"model": "demo", "prompt": "The capital of Japan is"}), more)
}

fn with(mut body: Value, more: &Value) -> Value {
    let (Some(fields), Some(more)) = (body.as_object_mut(), more.as_object()) else { panic!("two objects") };
    fields.extend(more.clone());
    body
}

async fn chat(fake: &Arc<Fake>, more: Value) -> Reply {
    post(fake, "/v1/chat/completions", &chat_body(&more)).await
}

async fn complete(fake: &Arc<Fake>, more: Value) -> Reply {
    post(fake, "/v1/completions", &completion_body(&more)).await
}
