//! The list of models.

use super::{fake::Fake, get};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn models_are_listed() {
    let reply = get(&Fake::new([]), "/v1/models").await;
    assert_eq!(reply.status, StatusCode::OK);
    let list = reply.json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"].as_array().map(Vec::len), Some(5));
    let sleepy = json!({
        "id": "sleepy", "object": "model", "created": 7, "owned_by": "gogrid", "context_length": 1024, "ready": false,
    });
    assert_eq!(list["data"][1], sleepy);
}

#[tokio::test]
async fn a_model_is_found_by_its_name_with_or_without_slashes() {
    let fake = Fake::new([]);
    for (path, id) in [("demo", "demo"), ("org/demo", "org/demo"), ("org%2Fdemo", "org/demo")] {
        let reply = get(&fake, &format!("/v1/models/{path}")).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert_eq!(reply.json()["id"], id);
    }
    let unknown = get(&fake, "/v1/models/gpt-4o").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
    assert!(unknown.text.contains("gpt-4o"));
}
