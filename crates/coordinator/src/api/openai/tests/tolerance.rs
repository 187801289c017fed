//! What clients and their proxies send beside the letter of OpenAI's API.

use super::{
    Reply, chat_body, completion_body,
    fake::{Fake, encode, text},
    get, post, post_request, send,
};
use crate::api::MAX_BODY_BYTES;
use axum::{
    body::Body,
    http::{Request, StatusCode, header::CONTENT_ENCODING},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::{io::Write, sync::Arc};

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).expect("written");
    encoder.finish().expect("complete")
}

fn encoded(path: &str, encoding: &str, body: Vec<u8>) -> Request<Body> {
    let mut request = post_request(path, body);
    request.headers_mut().insert(CONTENT_ENCODING, encoding.parse().expect("a value"));
    request
}

async fn tokens(fake: &Arc<Fake>, path: &str, body: Value) -> Reply {
    post(fake, path, &body).await
}

#[tokio::test]
async fn bodies_may_be_compressed_but_not_without_bound() {
    let fake = Fake::new([]);
    for (path, body) in
        [("/v1/chat/completions", chat_body(&json!({}))), ("/v1/completions", completion_body(&json!({})))]
    {
        let reply = send(&fake, encoded(path, "gzip", compressed(body.to_string().as_bytes()))).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
    }
    let bomb = compressed(&vec![b' '; 64 * MAX_BODY_BYTES]);
    assert!(bomb.len() < MAX_BODY_BYTES, "it is small as it comes: {}", bomb.len());
    let reply = send(&fake, encoded("/v1/chat/completions", "gzip", bomb)).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("request_too_large"))
    );
    let broken = send(&fake, encoded("/v1/chat/completions", "gzip", b"{}".to_vec())).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    let unknown = send(&fake, encoded("/v1/chat/completions", "br", b"{}".to_vec())).await;
    assert_eq!(unknown.json()["error"]["code"], "unsupported_encoding");
}

#[tokio::test]
async fn texts_and_chats_become_tokens_and_tokens_text() {
    let fake = Fake::new([]);
    let said = "The capital of Japan";
    for (path, field) in [("/tokenize", "prompt"), ("/v1/tokenize", "content")] {
        let reply = tokens(&fake, path, json!({"model": "demo", field: said, "return_token_strs": true})).await.json();
        assert_eq!((&reply["tokens"], &reply["count"]), (&json!(encode(said)), &json!(encode(said).len())));
        assert_eq!(reply["max_model_len"], 1024);
        let texts: String = reply["token_strs"].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
        assert_eq!(texts, said);
    }
    let chat = json!({"model": "demo", "messages": [{"role": "user", "content": "Japan?"}]});
    let counted = tokens(&fake, "/v1/tokenize", chat.clone()).await.json();
    post(&fake, "/v1/chat/completions", &chat).await;
    assert_eq!(counted["tokens"], json!(fake.seen()[0].prompt), "as it would be sent");
    assert_eq!(counted["token_strs"], Value::Null);
    let back = tokens(&fake, "/detokenize", json!({"model": "demo", "tokens": encode(said)})).await.json();
    assert_eq!(back, json!({"prompt": said, "content": said}));
    for (body, param) in [
        (json!({"model": "demo"}), "prompt"),
        (json!({"model": "nobody", "prompt": "a"}), "model"),
        (json!({"model": "demo", "messages": []}), "messages"),
    ] {
        assert_eq!(tokens(&fake, "/v1/tokenize", body).await.json()["error"]["param"], param);
    }
}

#[tokio::test]
async fn a_model_tells_what_it_can_do() {
    let fake = Fake::new([]);
    let details = |reply: Reply| reply.json()["details"].clone();
    let demo = details(get(&fake, "/v1/models/demo").await);
    assert_eq!(
        (&demo["tools"], &demo["knows_tools"], &demo["thinks"]),
        (&json!("hermes"), &json!(false), &json!(false))
    );
    assert_eq!(demo["chat_template"], json!(text().template_source()));
    assert_eq!(demo["end_tokens"], json!(text().eos()));
    let thinks = details(get(&fake, "/v1/models/thinks").await);
    assert_eq!(
        (&thinks["tools"], &thinks["knows_tools"], &thinks["thinks"]),
        (&json!("hermes"), &json!(true), &json!(true))
    );
    let channels = details(get(&fake, "/v1/models/channels").await);
    assert_eq!((&channels["tools"], &channels["knows_tools"]), (&json!("harmony"), &json!(true)));
    assert_eq!(details(get(&fake, "/v1/models/sleepy").await), Value::Null);
    assert!(get(&fake, "/v1/models").await.json()["data"][0].get("details").is_none(), "not in the list");
}
