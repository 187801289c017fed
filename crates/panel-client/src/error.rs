use gogrid_panel_api::RequestError;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket, or one that a killed worker left behind.
    #[error("no worker is running in {}", .data.display())]
    NotRunning {
        /// The data folder.
        data: PathBuf,
    },
    /// The socket is another user's.
    #[error("the worker in {} is another user's", .data.display())]
    Denied {
        /// The data folder.
        data: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The socket is there, but the connection failed.
    #[error("the worker in {} cannot be reached", .data.display())]
    Unreachable {
        /// The data folder.
        data: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The worker closed the connection, or broke the line off.
    #[error("the worker has ended the connection")]
    Closed,
    /// The response did not arrive in time.
    #[error("the worker did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The response line is longer than [`MAX_RESPONSE`](crate::MAX_RESPONSE).
    #[error("the worker's answer has more than {0} bytes")]
    TooLong(u64),
    /// The line is no response that this version knows, or not the response to this request.
    #[error("the worker's answer is not understood: it may be of another version")]
    NotUnderstood,
    /// The worker refused the request, in its own words.
    #[error("{}", .0.message)]
    Refused(RequestError),
}

impl ClientError {
    pub(crate) fn connecting(data: &Path, source: io::Error) -> Self {
        let data = data.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::NotRunning { data },
            io::ErrorKind::PermissionDenied => Self::Denied { data, source },
            _ => Self::Unreachable { data, source },
        }
    }
}
