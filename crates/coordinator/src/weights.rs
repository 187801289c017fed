//! The weights' HTTP server: `GET /weights/{hash}` answers with one tensor's bytes, or with the rest of them if the
//! request has a range. It needs the bearer token that workers get over their control link. A worker checks what it
//! receives against the hash.
//!
//! A response reads [`READ_BYTES`] ahead of its client. Only members have the token, and each loads a few tensors at a
//! time, so the responses need no other bound.

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
    collections::HashMap,
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

#[derive(Clone)]
struct Server {
    index: TensorIndex,
    authorization: Arc<str>,
}

/// The server's routes. Every request needs `token` as its bearer.
pub(crate) fn routes(index: TensorIndex, token: &str) -> Router {
    let server = Server { index, authorization: format!("Bearer {token}").into() };
    Router::new().route("/weights/{hash}", get(tensor)).with_state(server)
}

async fn tensor(State(server): State<Server>, Path(hash): Path<String>, headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).map(|value| blake3::hash(value.as_bytes()));
    // Comparing hashes leaks no timing about the token.
    if given != Some(blake3::hash(server.authorization.as_bytes())) {
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

    async fn ask(authorization: &str, hash: &str, range: Option<&str>) -> (StatusCode, Vec<u8>) {
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
        let response = routes(index, "secret").oneshot(request).await.expect("answers");
        let status = response.status();
        (status, axum::body::to_bytes(response.into_body(), 100).await.expect("a body").to_vec())
    }

    #[tokio::test]
    async fn whole_and_partial_tensors() {
        let hash = TensorHash::from_bytes([7; 32]).to_string();
        assert_eq!(ask("Bearer secret", &hash, None).await, (StatusCode::OK, b"0123456789".to_vec()));
        let part = ask("Bearer secret", &hash, Some("bytes=6-")).await;
        assert_eq!(part, (StatusCode::PARTIAL_CONTENT, b"6789".to_vec()));
        assert_eq!(ask("Bearer secret", &hash, Some("bytes=10-")).await.0, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(ask("Bearer secret", &hash, Some("bytes=x-")).await.0, StatusCode::RANGE_NOT_SATISFIABLE);
    }

    #[tokio::test]
    async fn strangers_and_unknown_tensors_get_nothing() {
        let hash = TensorHash::from_bytes([7; 32]).to_string();
        assert_eq!(ask("Bearer guess", &hash, None).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(
            ask("Bearer secret", &TensorHash::from_bytes([8; 32]).to_string(), None).await.0,
            StatusCode::NOT_FOUND
        );
        assert_eq!(ask("Bearer secret", "..%2Fetc%2Fpasswd", None).await.0, StatusCode::NOT_FOUND);
    }
}
