//! From a request's bytes to typed values, with errors that name the field.
//!
//! A body is parsed several times, each time for another set of fields (the endpoint's own, the shared options, the
//! unsupported ones), instead of once with `#[serde(flatten)]`: serde buffers flattened fields, and their errors lose
//! the field's name.

use super::{
    error::ApiError,
    lenient::{in_words, without_mark},
};
use axum::{
    body::{Body, HttpBody},
    extract::{FromRef, FromRequest, Request},
    http::{
        HeaderMap,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use flate2::read::GzDecoder;
use futures::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::{io::Read, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest request body that is read, in bytes. A context of 131,072 tokens at four characters each, every
/// character written as `\uXXXX`, is 3 MiB; the rest is for the other fields.
pub const MAX_BODY_BYTES: usize = 4 << 20;
/// Bytes of all bodies that have arrived and are not encoded yet. Beyond this, other clients' bytes wait in their
/// connections.
const BYTES_IN_FLIGHT: usize = 64 << 20;
/// A client must send its whole body within this time, and some of it in each [`PROGRESS_WITHIN`]: what has come takes
/// memory meanwhile.
const BODY_WITHIN: Duration = Duration::from_secs(30);
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);

/// Bounds the bodies that are in memory at once. One permit a byte.
#[derive(Clone)]
pub(in crate::api) struct Preparing(Arc<Semaphore>);

impl Default for Preparing {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BYTES_IN_FLIGHT)))
    }
}

/// The body of a request that says it is JSON. Its bytes count among [`BYTES_IN_FLIGHT`] until it is dropped.
pub(in crate::api) struct JsonBody {
    pub(in crate::api) bytes: Vec<u8>,
    _booked: Option<OwnedSemaphorePermit>,
}

impl<S: Send + Sync> FromRequest<S> for JsonBody
where
    Preparing: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        // Also keeps web pages out: a browser asks before it sends this content type to another site.
        if !is_json(request.headers()) {
            return Err(ApiError::not_json());
        }
        let (is_gzip, preparing) = (is_gzip(request.headers())?, Preparing::from_ref(state));
        let read = read(request.into_body(), preparing.clone());
        let body = tokio::time::timeout(BODY_WITHIN, read).await.map_err(|_| ApiError::slow_body(BODY_WITHIN))??;
        if is_gzip { body.expanded(preparing).await } else { Ok(body) }
    }
}

impl JsonBody {
    /// The body that these bytes are compressed from. What it may take is booked before.
    async fn expanded(self, Preparing(in_flight): Preparing) -> Result<Self, ApiError> {
        let place = tokio::time::timeout(PROGRESS_WITHIN, in_flight.acquire_many_owned(MAX_BODY_BYTES as u32));
        let place = place.await.map_err(|_| ApiError::too_many_bodies())?;
        let mut booked = place.map_err(|closed| ApiError::internal(&closed))?;
        let expand = move || {
            let mut bytes = Vec::new();
            let most = MAX_BODY_BYTES as u64 + 1;
            GzDecoder::new(self.bytes.as_slice()).take(most).read_to_end(&mut bytes).map(|_| bytes)
        };
        let bytes = tokio::task::spawn_blocking(expand).await.map_err(|error| ApiError::internal(&error))?;
        let bytes = bytes.map_err(|_| ApiError::unreadable_body())?;
        if bytes.len() > MAX_BODY_BYTES {
            return Err(ApiError::large_body(MAX_BODY_BYTES));
        }
        drop(booked.split(MAX_BODY_BYTES - bytes.len()));
        Ok(Self { bytes, _booked: Some(booked) })
    }
}

/// Whether a body is compressed.
fn is_gzip(headers: &HeaderMap) -> Result<bool, ApiError> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else { return Ok(false) };
    match encoding.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        other => Err(ApiError::unknown_encoding(other)),
    }
}

/// Reads a body, whose bytes are booked as they come.
async fn read(body: Body, Preparing(in_flight): Preparing) -> Result<JsonBody, ApiError> {
    let length = body.size_hint().lower();
    if length > MAX_BODY_BYTES as u64 {
        return Err(ApiError::large_body(MAX_BODY_BYTES));
    }
    let (mut bytes, mut booked) = (Vec::new(), None::<OwnedSemaphorePermit>);
    let mut chunks = body.into_data_stream();
    loop {
        let chunk = tokio::time::timeout(PROGRESS_WITHIN, chunks.next()).await;
        let Some(chunk) = chunk.map_err(|_| ApiError::slow_body(PROGRESS_WITHIN))? else { break };
        let chunk = chunk.map_err(|_| ApiError::unreadable_body())?;
        if bytes.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(ApiError::large_body(MAX_BODY_BYTES));
        }
        // Bodies that wait for each other's bytes: the first to give up lets the others go on.
        let more = tokio::time::timeout(PROGRESS_WITHIN, in_flight.clone().acquire_many_owned(chunk.len() as u32));
        let more =
            more.await.map_err(|_| ApiError::too_many_bodies())?.map_err(|closed| ApiError::internal(&closed))?;
        match &mut booked {
            Some(booked) => booked.merge(more),
            None => booked = Some(more),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(JsonBody { bytes, _booked: booked })
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Reads a set of fields from `body`.
///
/// # Errors
/// 400: not JSON (with line and column), or a field of the wrong type (with its path as `param`).
pub(in crate::api) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = without_mark(body);
    // serde would take an array as the fields in their order.
    if body.trim_ascii_start().first().is_some_and(|&byte| byte != b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => ApiError::invalid(None, "the body must be a JSON object".to_owned()),
            Err(error) => ApiError::malformed_json(&error),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        located(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| ApiError::malformed_json(&error))?;
    Ok(value)
}

fn located(path: &str, error: &serde_json::Error) -> ApiError {
    if error.is_data() {
        let message = in_words(&error.to_string());
        let path = if path == "." { "" } else { path };
        let param = match missing_field(&message) {
            Some(field) if path.is_empty() => field.to_owned(),
            Some(field) => format!("{path}.{field}"),
            None => path.to_owned(),
        };
        if param.is_empty() {
            ApiError::invalid(None, format!("the body cannot be used: {message}"))
        } else {
            ApiError::invalid(Some(&param), format!("{param}: {message}"))
        }
    } else {
        ApiError::malformed_json(error)
    }
}

/// The field that serde's "missing field `x`" is about; its path is the one of the object around it.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}
