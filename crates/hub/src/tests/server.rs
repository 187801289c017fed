//! A server that behaves like a hub: lists with sizes and hashes, files behind a redirect to another host, ranges,
//! tokens, and what goes wrong.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Json, Router, routing::get};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Paths and contents of every repository's files.
pub(super) static FILES: LazyLock<Vec<(&'static str, Vec<u8>)>> = LazyLock::new(|| {
    let large = |seed: u8| (0..3000u32).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect::<Vec<u8>>();
    let index =
        json!({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}});
    vec![
        ("README.md", b"a model".to_vec()),
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", b"{ }".to_vec()),
        ("model.safetensors.index.json", index.to_string().into_bytes()),
        ("model-1.safetensors", large(1)),
        ("model-2.safetensors", large(2)),
        ("unused.safetensors", large(3)),
        ("m-Q4_K_M.gguf", large(4)),
        ("m-Q8_0-00001-of-00002.gguf", large(5)),
        ("m-Q8_0-00002-of-00002.gguf", large(6)),
    ]
});

/// What the next download meets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// A status, and `Retry-After`.
    Status(u16, Option<&'static str>),
    /// The connection ends after so many bytes.
    CutAfter(usize),
    /// The range that is asked for is ignored.
    WholeAgain,
}

#[derive(Debug, Default)]
struct Seen {
    faults: VecDeque<Fault>,
    ranges: Vec<Option<String>>,
    tokens_elsewhere: usize,
}

type Shared = Arc<Mutex<Seen>>;

/// A running server. The hub is at `127.0.0.1`, its files are at `localhost`.
pub(super) struct Server {
    pub(super) address: String,
    seen: Shared,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Shared::default();
        let router = Router::new()
            .route("/api/models/{owner}/{name}/revision/{revision}", get(list))
            .route(
                "/{owner}/{name}/resolve/{commit}/{*path}",
                get(move |path, headers| async move { resolve(port, path, &headers) }),
            )
            .route("/files/{*path}", get(file))
            .with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address: format!("http://127.0.0.1:{port}"), seen }
    }

    pub(super) fn faults<const N: usize>(&self, faults: [Fault; N]) {
        self.seen.lock().unwrap().faults.extend(faults);
    }

    /// The ranges that downloads asked for.
    pub(super) fn ranges(&self) -> Vec<Option<String>> {
        self.seen.lock().unwrap().ranges.clone()
    }

    pub(super) fn downloads(&self) -> usize {
        self.seen.lock().unwrap().ranges.len()
    }

    /// Downloads from the other host that brought a token along.
    pub(super) fn tokens_elsewhere(&self) -> usize {
        self.seen.lock().unwrap().tokens_elsewhere
    }
}

/// Whether somebody with this header may see the repository.
fn refused(name: &str, headers: &HeaderMap) -> Option<StatusCode> {
    match headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap()) {
        _ if name != "gated" => None,
        None => Some(StatusCode::UNAUTHORIZED),
        Some("Bearer secret") => None,
        Some(_) => Some(StatusCode::FORBIDDEN),
    }
}

async fn list(Path((_, name, revision)): Path<(String, String, String)>, headers: HeaderMap) -> Response {
    if let Some(status) = refused(&name, &headers) {
        return status.into_response();
    }
    if !["model", "gated", "huge"].contains(&name.as_str()) || revision != "main" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut siblings: Vec<Value> = FILES
        .iter()
        .map(|(path, content)| {
            let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(content));
            let lfs = path.ends_with("gguf") || path.ends_with("safetensors");
            let lfs = lfs.then(|| json!({"sha256": sha256, "size": content.len()}));
            json!({"rfilename": path, "size": content.len(), "lfs": lfs})
        })
        .collect();
    if name == "huge" {
        siblings.push(json!({"rfilename": "huge.gguf", "size": 1u64 << 43}));
    }
    Json(json!({"sha": COMMIT, "siblings": siblings})).into_response()
}

fn resolve(
    port: u16,
    Path((_, name, _, path)): Path<(String, String, String, String)>,
    headers: &HeaderMap,
) -> Response {
    match refused(&name, headers) {
        Some(status) => status.into_response(),
        None => Redirect::temporary(&format!("http://localhost:{port}/files/{path}?signature=x")).into_response(),
    }
}

async fn file(State(seen): State<Shared>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some((_, content)) = FILES.iter().find(|(name, _)| *name == path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let range = headers.get(header::RANGE).map(|value| value.to_str().unwrap().to_owned());
    let fault = {
        let mut seen = seen.lock().unwrap();
        let host = headers.get(header::HOST).map(|value| value.to_str().unwrap());
        let elsewhere = host.is_some_and(|host| host.starts_with("localhost"));
        seen.tokens_elsewhere += usize::from(elsewhere && headers.contains_key(header::AUTHORIZATION));
        seen.ranges.push(range.clone());
        seen.faults.pop_front()
    };
    let start = match (fault, range) {
        (Some(Fault::WholeAgain), _) | (_, None) => 0,
        (_, Some(range)) => range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap(),
    };
    let rest = Bytes::copy_from_slice(&content[start..]);
    let mut response = Response::builder().header(header::ETAG, "\"1\"").header(header::CONTENT_LENGTH, rest.len());
    if start > 0 {
        let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
        response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
    }
    match fault {
        Some(Fault::Status(status, after)) => {
            let status = StatusCode::from_u16(status).unwrap();
            after.map_or_else(
                || status.into_response(),
                |after| (status, [(header::RETRY_AFTER, after)]).into_response(),
            )
        }
        Some(Fault::CutAfter(bytes)) => {
            let start = stream::iter([Ok(rest.slice(..bytes))]);
            // What comes before is sent first.
            let end = stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::other("cut"))
            });
            response.body(Body::from_stream(start.chain(end))).unwrap()
        }
        Some(Fault::WholeAgain) | None => response.body(Body::from(rest)).unwrap(),
    }
}
