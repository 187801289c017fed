//! The operator's API, for `gogrid status` and other commands on the coordinator's machine. Its bearer token is a file in
//! the data folder: everybody who may read the folder may operate the coordinator. It has a listener of its own on the
//! loopback address, so that clients of the API cannot keep the operator out.

use crate::{
    fleet::{Event, Fleet},
    keys::Keys,
    router::Router,
    status::{QueueStatus, Status},
};
use axum::{
    Json,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The operator's token alone.
const TOKEN_FILE: &str = "operator.token";

/// How to reach a running coordinator: `operator.json` in its data folder, which only its owner may read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperatorFile {
    /// The base address of the operator's API, on this machine alone.
    pub url: String,
    /// The bearer token, good until the coordinator restarts.
    pub token: String,
}

impl OperatorFile {
    fn path(folder: &Path) -> PathBuf {
        folder.join("operator.json")
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When there is no such file, or it is damaged.
    pub fn load(folder: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(Self::path(folder))?)?)
    }

    pub(crate) fn save(&self, folder: &Path) -> io::Result<()> {
        // The token alone, for a Prometheus on this machine.
        write(&folder.join(TOKEN_FILE), self.token.as_bytes())?;
        write(&Self::path(folder), &serde_json::to_vec(self)?)
    }

    pub(crate) fn remove(folder: &Path) {
        for path in [Self::path(folder), folder.join(TOKEN_FILE)] {
            drop(fs::remove_file(path));
        }
    }
}

/// Writes a file whole or not at all, for its owner alone.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&temporary)?.write_all(bytes)?;
    fs::rename(temporary, path)
}

#[derive(Clone)]
struct Operator {
    fleet: Fleet,
    router: Router,
    keys: Keys,
    api: Arc<str>,
}

/// The operator's routes under `/operator/v1`. `api` is the base address of the API, which the status names.
pub(crate) fn routes(fleet: Fleet, router: Router, keys: Keys, api: Arc<str>, token: &str) -> axum::Router {
    let expected = blake3::hash(format!("Bearer {token}").as_bytes());
    let allow = move |request: Request, next: Next| async move {
        let given = request.headers().get(header::AUTHORIZATION).map(|value| blake3::hash(value.as_bytes()));
        // blake3 compares hashes in constant time.
        if given == Some(expected) { next.run(request).await } else { StatusCode::UNAUTHORIZED.into_response() }
    };
    axum::Router::new()
        .route("/operator/v1/status", get(status))
        .route("/operator/v1/reload", post(reload))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn(allow))
        .with_state(Operator { fleet, router, keys, api })
}

async fn status(State(operator): State<Operator>) -> Response {
    whole_status(&operator)
        .await
        .map_or_else(|| StatusCode::SERVICE_UNAVAILABLE.into_response(), |status| Json(status).into_response())
}

async fn whole_status(operator: &Operator) -> Option<Status> {
    let status = operator.fleet.status().await?;
    let (waiting, capacity) = operator.router.queue();
    Some(Status { api: operator.api.to_string(), queue: QueueStatus { waiting, capacity }, ..status })
}

async fn metrics(State(operator): State<Operator>) -> Response {
    let Some(status) = whole_status(&operator).await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let text = operator.router.metrics().text(&status);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// A command has changed models, members or keys in the registry.
async fn reload(State(operator): State<Operator>) -> StatusCode {
    if let Err(error) = operator.keys.load(operator.fleet.registry()).await {
        tracing::error!(%error, "the keys cannot be read");
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    operator.fleet.registry().tell_removals();
    operator.fleet.tell(Event::Reload).await;
    StatusCode::NO_CONTENT
}
