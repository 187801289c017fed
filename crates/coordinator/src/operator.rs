//! The operator's API, for `gogrid status` and other commands on the coordinator's machine. Its bearer token is a file in
//! the data folder: everybody who may read the folder may operate the coordinator. It has a listener of its own on the
//! loopback address, so that clients of the API cannot keep the operator out.

use crate::{
    fleet::{Event, Fleet},
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
        let temporary = folder.join("operator.json.new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&temporary)?.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(temporary, Self::path(folder))
    }

    pub(crate) fn remove(folder: &Path) {
        drop(fs::remove_file(Self::path(folder)));
    }
}

#[derive(Clone)]
struct Operator {
    fleet: Fleet,
    router: Router,
    api: Arc<str>,
}

/// The operator's routes under `/operator/v1`. `api` is the base address of the API, which the status names.
pub(crate) fn routes(fleet: Fleet, router: Router, api: Arc<str>, token: &str) -> axum::Router {
    let expected = blake3::hash(format!("Bearer {token}").as_bytes());
    let allow = move |request: Request, next: Next| async move {
        let given = request.headers().get(header::AUTHORIZATION).map(|value| blake3::hash(value.as_bytes()));
        // blake3 compares hashes in constant time.
        if given == Some(expected) { next.run(request).await } else { StatusCode::UNAUTHORIZED.into_response() }
    };
    axum::Router::new()
        .route("/operator/v1/status", get(status))
        .route("/operator/v1/reload", post(reload))
        .layer(middleware::from_fn(allow))
        .with_state(Operator { fleet, router, api })
}

async fn status(State(operator): State<Operator>) -> Response {
    let Some(status) = operator.fleet.status().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let (waiting, capacity) = operator.router.queue();
    let queue = QueueStatus { waiting, capacity };
    Json(Status { api: operator.api.to_string(), queue, ..status }).into_response()
}

/// A command has changed the registry: it added models or removed members.
async fn reload(State(operator): State<Operator>) -> StatusCode {
    operator.fleet.registry().tell_removals();
    operator.fleet.tell(Event::Reload).await;
    StatusCode::NO_CONTENT
}
