//! A client of the control socket of a worker on this machine: the one that the desktop app, the command line and the
//! tests use.
//!
//! The messages are those of `gogrid-panel-api`, one JSON object a line; that crate is the pure contract, this one does
//! the I/O. The socket is a Unix socket in the worker's data folder, or a named pipe on Windows.
//!
//! Bounds: a response line has at most [`MAX_RESPONSE`] bytes, and every exchange has a deadline that the caller
//! chooses, [`ANSWER_TIMEOUT`] where it has no reason for another.

mod client;
mod error;
#[cfg_attr(unix, path = "stream/unix.rs")]
#[cfg_attr(windows, path = "stream/windows.rs")]
mod stream;

pub use client::{ANSWER_TIMEOUT, MAX_RESPONSE, WorkerClient};
pub use error::ClientError;
