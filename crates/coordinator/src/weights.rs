//! Weights of the coordinator's models, for its members: over authenticated links ([`link`]), and over HTTP for workers of
//! an older version.
//!
//! The HTTP server: `GET /weights/{hash}` answers with one tensor's bytes, or with the rest of them if the
//! request has a range. It needs the bearer token that a worker gets over its control link, which is good for as long as
//! that link is open. A worker checks what it receives against the hash.
//!
//! A response reads [`READ_BYTES`] ahead of its client. Only members have the token, and each loads a few tensors at a
//! time, so the responses need no other bound.

mod link;

pub(crate) use link::{WeightLinks, serve};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use gogrid_model::{Location, TensorHash};
use std::{
    collections::{HashMap, HashSet},
    io::SeekFrom,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// Bytes read from disk at once.
const READ_BYTES: usize = 256 << 10;

/// The file position of every tensor, by hash.
#[derive(Clone, Default)]
pub(crate) struct TensorIndex(Arc<RwLock<HashMap<TensorHash, Location>>>);

impl TensorIndex {
    pub(crate) fn put(&self, hash: TensorHash, location: Location) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(hash, location);
    }

    fn get(&self, hash: &TensorHash) -> Option<Location> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }
}

/// The tokens that are good now, by their hashes. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct WeightTokens(Arc<RwLock<HashSet<blake3::Hash>>>);

/// A member's token, until this is dropped: then its membership or its link is over.
pub(crate) struct WeightToken {
    tokens: WeightTokens,
    token: String,
}

impl WeightTokens {
    /// A token for one member.
    pub(crate) fn grant(&self) -> WeightToken {
        // 128 random bits.
        let token = format!("{:032x}", rand::random::<u128>());
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(blake3::hash(token.as_bytes()));
        WeightToken { tokens: self.clone(), token }
    }

    /// Whether a request's header has a token that is good. Comparing hashes leaks no timing about tokens.
    fn allow(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let tokens = self.0.read().unwrap_or_else(PoisonError::into_inner);
        given.is_some_and(|token| tokens.contains(&blake3::hash(token)))
    }
}

impl WeightToken {
    pub(crate) fn expose(&self) -> &str {
        &self.token
    }
}

impl Drop for WeightToken {
    fn drop(&mut self) {
        let hash = blake3::hash(self.token.as_bytes());
        self.tokens.0.write().unwrap_or_else(PoisonError::into_inner).remove(&hash);
    }
}

#[derive(Clone)]
struct Server {
    index: TensorIndex,
    tokens: WeightTokens,
}

/// The server's routes. Every request needs one of the tokens as its bearer.
pub(crate) fn routes(index: TensorIndex, tokens: WeightTokens) -> Router {
    Router::new().route("/weights/{hash}", get(tensor)).with_state(Server { index, tokens })
}

async fn tensor(State(server): State<Server>, Path(hash): Path<String>, headers: HeaderMap) -> Response {
    if !server.tokens.allow(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(location) = hash.parse().ok().and_then(|hash| server.index.get(&hash)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let start = match headers.get(header::RANGE).map(|range| range.to_str().ok().and_then(range_start)) {
        None => None,
        Some(Some(start)) if start < location.bytes => Some(start),
        Some(_) => return StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
    };
    match open_body(&location, start.unwrap_or(0)).await {
        Ok(body) => {
            let length = location.bytes - start.unwrap_or(0);
            let mut response = Response::new(body);
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            if let Some(start) = start {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let range = format!("bytes {start}-{}/{}", location.bytes - 1, location.bytes);
                if let Ok(range) = range.parse() {
                    response.headers_mut().insert(header::CONTENT_RANGE, range);
                }
            }
            response
        }
        Err(error) => {
            tracing::error!(path = %location.path.display(), %error, "a model's file cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The start of `bytes=N-`, the only form that workers send.
fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

async fn open_body(location: &Location, start: u64) -> std::io::Result<Body> {
    let mut file = tokio::fs::File::open(&location.path).await?;
    file.seek(SeekFrom::Start(location.offset + start)).await?;
    Ok(Body::from_stream(ReaderStream::with_capacity(file.take(location.bytes - start), READ_BYTES)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use tower::ServiceExt;

    async fn ask(is_member: bool, hash: &str, range: Option<&str>) -> (StatusCode, Vec<u8>) {
        let tokens = WeightTokens::default();
        let token = tokens.grant();
        let authorization = format!("Bearer {}", token.expose());
        if !is_member {
            drop(token);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model");
        std::fs::write(&path, b"..0123456789..").expect("written");
        let index = TensorIndex::default();
        index.put(TensorHash::from_bytes([7; 32]), Location { path, offset: 2, bytes: 10 });
        let mut request = Request::get(format!("/weights/{hash}")).header("authorization", authorization);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = routes(index, tokens).oneshot(request).await.expect("answers");
        let status = response.status();
        (status, axum::body::to_bytes(response.into_body(), 100).await.expect("a body").to_vec())
    }

    #[tokio::test]
    async fn whole_and_partial_tensors() {
        let hash = TensorHash::from_bytes([7; 32]).to_string();
        assert_eq!(ask(true, &hash, None).await, (StatusCode::OK, b"0123456789".to_vec()));
        let part = ask(true, &hash, Some("bytes=6-")).await;
        assert_eq!(part, (StatusCode::PARTIAL_CONTENT, b"6789".to_vec()));
        assert_eq!(ask(true, &hash, Some("bytes=10-")).await.0, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(ask(true, &hash, Some("bytes=x-")).await.0, StatusCode::RANGE_NOT_SATISFIABLE);
    }

    #[tokio::test]
    async fn strangers_and_unknown_tensors_get_nothing() {
        let hash = TensorHash::from_bytes([7; 32]).to_string();
        assert_eq!(ask(false, &hash, None).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(true, &TensorHash::from_bytes([8; 32]).to_string(), None).await.0, StatusCode::NOT_FOUND);
        assert_eq!(ask(true, "..%2Fetc%2Fpasswd", None).await.0, StatusCode::NOT_FOUND);
    }
}
