//! The committed copy of the OpenAPI document.

use super::{fake::Fake, get};
use axum::http::StatusCode;
use serde_json::Value;
use std::{fs, path::Path};

/// Set it to write the copy anew.
const UPDATE: &str = "UPDATE_OPENAPI";

#[test]
fn the_committed_copy_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let document = crate::api::document() + "\n";
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &document).expect("the copy can be written");
    }
    let copy = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        copy == document,
        "crates/coordinator/openapi.json is stale; `{UPDATE}=1 cargo test -p gogrid-coordinator openai` writes it anew"
    );
}

#[tokio::test]
async fn the_document_is_served_and_its_references_hold() {
    let reply = get(&Fake::new([]), "/openapi.json").await;
    assert_eq!(reply.status, StatusCode::OK);
    let document = reply.json();
    let openai = [
        "/v1/models",
        "/v1/models/{model}",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/tokenize",
    ];
    let anthropic = ["/v1/messages", "/v1/messages/count_tokens"];
    for path in openai.into_iter().chain(anthropic) {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 10);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| collect_references(value, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, references)),
        _ => {}
    }
}
