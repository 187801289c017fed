//! Every endpoint with every kind of key.

use super::{
    Reply, chat_body, completion_body,
    fake::{Fake, Script},
    post_request, read,
};
use crate::{
    api::router,
    audit::Audit,
    generate::{GenerationService, Owner},
    keys::{self, KeyLimits, KeyRecord, Keys, Secret},
    metrics::Metrics,
    registry::{Registry, RegistryHandle},
};
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, header::AUTHORIZATION},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tower::ServiceExt;

/// The endpoints that need a key, each asked for the model `demo`.
fn endpoints() -> Vec<(&'static str, Request<Body>)> {
    let get = |path: &str| Request::get(path).body(Body::empty()).expect("a request");
    vec![
        ("chat", post_request("/v1/chat/completions", chat_body(&json!({})).to_string())),
        ("stream", post_request("/v1/chat/completions", chat_body(&json!({"stream": true})).to_string())),
        ("completion", post_request("/v1/completions", completion_body(&json!({})).to_string())),
        ("responses", post_request("/v1/responses", json!({"model": "demo", "input": "Japan?"}).to_string())),
        ("tokenize", post_request("/v1/tokenize", json!({"model": "demo", "prompt": "Japan?"}).to_string())),
        ("messages", post_request("/v1/messages", message())),
        ("count_tokens", post_request("/v1/messages/count_tokens", message())),
        ("models", get("/v1/models")),
        ("model", get("/v1/models/demo")),
    ]
}

fn message() -> String {
    json!({"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "Japan?"}]}).to_string()
}

fn record(secret: &Secret) -> KeyRecord {
    KeyRecord { weight: 3, ..keys::tests::record(secret) }
}

async fn app(fake: &Arc<Fake>, records: &[KeyRecord]) -> Router {
    let registry = Registry::in_memory().expect("opened");
    records.iter().for_each(|record| registry.add_key(record).expect("added"));
    let keys = Keys::new(Audit::nowhere());
    keys.load(&RegistryHandle::inline(registry)).await.expect("read");
    router(Arc::clone(fake) as Arc<dyn GenerationService>, keys, Metrics::new())
}

async fn send(app: &Router, mut request: Request<Body>, key: Option<&str>) -> Reply {
    let from: SocketAddr = "192.0.2.7:4711".parse().expect("an address");
    request.extensions_mut().insert(ConnectInfo(from));
    if let Some(key) = key {
        request.headers_mut().insert(AUTHORIZATION, format!("Bearer {key}").parse().expect("a value"));
    }
    read(app.clone().oneshot(request).await.expect("routers do not fail")).await
}

/// The status and OpenAI's code. Anthropic's errors have a type in its place.
fn code(reply: &Reply) -> (u16, Value) {
    let error = reply.json()["error"].clone();
    let code = match error["type"].as_str() {
        Some("authentication_error") => json!("invalid_api_key"),
        Some("not_found_error") => json!("model_not_found"),
        Some("rate_limit_error") if error.get("code").is_none() => json!("rate_limit_exceeded"),
        _ => error["code"].clone(),
    };
    (reply.status.as_u16(), code)
}

#[tokio::test]
async fn every_endpoint_refuses_every_key_that_is_not_good_and_serves_the_good_one_meanwhile() {
    let [good, expired, revoked] = [(); 3].map(|()| Secret::random());
    let records = [
        record(&good),
        KeyRecord { expires: Some(2), ..record(&expired) },
        KeyRecord { revoked: Some(2), ..record(&revoked) },
    ];
    let fake = Fake::new([]);
    let app = app(&fake, &records).await;
    for key in [None, Some("wrong"), Some(expired.expose()), Some(revoked.expose())] {
        for (name, request) in endpoints() {
            let reply = send(&app, request, key).await;
            assert_eq!(code(&reply), (401, json!("invalid_api_key")), "{name}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
        let (name, request) = endpoints().remove(0);
        assert_eq!(send(&app, request, Some(good.expose())).await.status, 200, "{name}");
    }
    for (name, request) in endpoints() {
        assert_eq!(send(&app, request, Some(good.expose())).await.status, 200, "{name}");
    }
    let seen = fake.seen();
    let requester = &seen.first().expect("it was asked").requester;
    assert_eq!((&requester.owner, requester.weight), (&Owner::Key(good.prefix().into()), 3));
}

#[tokio::test]
async fn without_any_key_other_machines_are_told_how_it_is_made() {
    let fake = Fake::new([]);
    let app = app(&fake, &[]).await;
    for (name, request) in endpoints() {
        let reply = send(&app, request, None).await;
        assert_eq!(code(&reply), (401, json!("invalid_api_key")), "{name}");
        assert!(reply.text.contains("gogrid key create"), "{name}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_model_that_a_key_may_not_use_is_not_there_for_it() {
    let secret = Secret::random();
    let fake = Fake::new([]);
    let app = app(&fake, &[KeyRecord { models: vec!["org/demo".into()], ..record(&secret) }]).await;
    for (name, request) in endpoints() {
        let reply = send(&app, request, Some(secret.expose())).await;
        match name {
            "models" => assert_eq!(reply.json()["data"].as_array().expect("a list").len(), 1),
            _ => assert_eq!(code(&reply), (404, json!("model_not_found")), "{name}"),
        }
    }
}

#[tokio::test]
async fn what_costs_is_refused_once_the_quota_is_used_and_says_what_is_left() {
    let (hurried, thirsty, free) = (Secret::random(), Secret::random(), Secret::random());
    let requests = KeyLimits { requests_per_minute: Some(1), ..KeyLimits::default() };
    let tokens = KeyLimits { tokens_per_day: Some(10), ..KeyLimits::default() };
    let records = [
        KeyRecord { limits: requests, ..record(&hurried) },
        KeyRecord { limits: tokens, ..record(&thirsty) },
        record(&free),
    ];
    let fake = Fake::new([]);
    let app = app(&fake, &records).await;
    for (key, kind) in [(&hurried, "requests"), (&thirsty, "tokens")] {
        let first = send(&app, endpoints().remove(0).1, Some(key.expose())).await;
        assert_eq!(first.status, 200);
        let left =
            |reply: &Reply| reply.headers[format!("x-ratelimit-remaining-{kind}")].to_str().expect("text").to_owned();
        assert_eq!(left(&first), "0", "{kind}");
        for (name, request) in endpoints() {
            let reply = send(&app, request, Some(key.expose())).await;
            if name.starts_with("model") || name == "count_tokens" || name == "tokenize" {
                assert_eq!(reply.status, 200, "{name} costs nothing");
                continue;
            }
            assert_eq!(code(&reply), (429, json!("rate_limit_exceeded")), "{name}");
            let seconds: u64 = reply.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
            assert!((1..=86_400).contains(&seconds), "{seconds}");
            assert!(reply.headers.contains_key(format!("x-ratelimit-reset-{kind}")));
        }
    }
    let other = send(&app, endpoints().remove(0).1, Some(free.expose())).await;
    assert_eq!(other.status, 200);
    assert!(!other.headers.contains_key("x-ratelimit-limit-requests"), "it has no limit");
}

#[tokio::test]
async fn answers_at_once_count_every_choice_until_the_client_has_gone() {
    let secret = Secret::random();
    let limits = KeyLimits { streams: Some(2), ..KeyLimits::default() };
    let fake = Fake::new([Script::Hang("To"), Script::Hang("To")]);
    let app = app(&fake, &[KeyRecord { limits, ..record(&secret) }]).await;
    let ask = |n: u32| post_request("/v1/chat/completions", chat_body(&json!({"stream": true, "n": n})).to_string());
    assert_eq!(code(&send(&app, ask(3), Some(secret.expose())).await), (429, json!("rate_limit_exceeded")));
    let mut request = ask(2);
    request.headers_mut().insert(AUTHORIZATION, format!("Bearer {}", secret.expose()).parse().expect("a value"));
    let open = app.clone().oneshot(request).await.expect("routers do not fail");
    assert_eq!(code(&send(&app, ask(1), Some(secret.expose())).await), (429, json!("rate_limit_exceeded")));
    drop(open);
    fake.cancelled(2).await;
    assert_eq!(send(&app, ask(1), Some(secret.expose())).await.status, 200);
}

#[tokio::test]
async fn a_stored_stream_is_replayed_to_its_own_key_alone() {
    let [own, other] = [(); 2].map(|()| Secret::random());
    let fake = Fake::new([]);
    let app = app(&fake, &[record(&own), record(&other)]).await;
    let mut request = endpoints().remove(1).1;
    request.headers_mut().insert("x-gogrid-resume", "1".parse().expect("a value"));
    let reply = send(&app, request, Some(own.expose())).await;
    let id = reply.headers["x-request-id"].to_str().expect("text").to_owned();
    let replay = || {
        let mut request = endpoints().remove(1).1;
        request.headers_mut().insert("last-event-id", format!("{id}:1").parse().expect("a value"));
        request
    };
    assert_eq!(code(&send(&app, replay(), Some(other.expose())).await), (404, json!("stream_not_found")));
    assert_eq!(send(&app, replay(), Some(own.expose())).await.status, 200);
}
