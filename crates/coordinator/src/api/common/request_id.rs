//! Every request that costs has an id, in a header of its answer.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};

/// As OpenAI names it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// As Anthropic names it.
const ANTHROPIC: HeaderName = HeaderName::from_static("request-id");

/// A new id.
pub(in crate::api) fn new() -> String {
    format!("req-{:032x}", rand::random::<u128>())
}

/// Middleware: gives the answer an id, if it has none.
pub(in crate::api) async fn give(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let id = headers.get(&REQUEST_ID).cloned().or_else(|| HeaderValue::from_str(&new()).ok());
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id.clone());
        headers.insert(ANTHROPIC, id);
    }
    response
}
