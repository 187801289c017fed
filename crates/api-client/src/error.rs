use crate::SseError;
use reqwest::StatusCode;
use serde::Deserialize;
use std::{fmt, io, time::Duration};

/// The code of a request whose key is missing or wrong.
const INVALID_KEY: &str = "invalid_api_key";

/// The coordinator refused a request, or failed at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ApiRefusal {
    /// For people.
    pub message: String,
    /// For programs: `context_length_exceeded` …
    pub code: Option<String>,
}

impl fmt::Display for ApiRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiRefusal {}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiClientError {
    /// The address is none of an API.
    #[error("'{0}' is no http URL")]
    Url(String),
    /// The address asks for TLS, which this client does not speak.
    #[error("{0}: this program speaks plain http to the coordinator, not https")]
    Tls(String),
    /// The client cannot be made.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
    /// The key has characters that no key has.
    #[error("an API key has visible ASCII characters only")]
    Key,
    /// Nobody listens there.
    #[error("the coordinator at {base} cannot be reached: is it running there?")]
    Unreachable {
        /// The API's address.
        base: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Nothing came for a minute.
    #[error("the coordinator at {base} has been silent for too long")]
    Silent {
        /// The API's address.
        base: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It went on for longer than any answer takes.
    #[error("the coordinator at {base} had not finished after {} s", within.as_secs())]
    TooSlow {
        /// The API's address.
        base: String,
        /// The deadline.
        within: Duration,
    },
    /// The connection broke.
    #[error("the connection to the coordinator at {base} broke")]
    Broken {
        /// The API's address.
        base: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The stream ended before the answer did.
    #[error("the coordinator at {base} broke off in the middle of the answer")]
    Cut {
        /// The API's address.
        base: String,
    },
    /// The coordinator says no.
    #[error(transparent)]
    Refused(#[from] ApiRefusal),
    /// An error without the API's words.
    #[error("{base} answered with status {status}: is it a coordinator?")]
    Status {
        /// The API's address.
        base: String,
        /// The status.
        status: StatusCode,
    },
    /// Another server's words.
    #[error("{base} sent unknown JSON: is it a coordinator?")]
    Json {
        /// The API's address.
        base: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// More than a coordinator sends.
    #[error("{base} sent more than {most} bytes at once: is it a coordinator?")]
    TooLong {
        /// The API's address.
        base: String,
        /// The most that is read.
        most: usize,
    },
    /// The stream's events cannot be read.
    #[error("the answer's stream cannot be read")]
    Events(#[from] SseError),
    /// The answer could not be handed on.
    #[error("the answer cannot be written")]
    Write(#[source] io::Error),
}

impl ApiClientError {
    /// Whether the API asks for a key, or for another one than was sent.
    pub fn asks_for_key(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.code.as_deref() == Some(INVALID_KEY),
            Self::Status { status, .. } => *status == StatusCode::UNAUTHORIZED,
            _ => false,
        }
    }
}
