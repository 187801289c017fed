use crate::SseError;
use reqwest::StatusCode;
use serde::Deserialize;
use std::{fmt, io};

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
