//! What a worker says to the panel and to the command line, and takes from them.
//!
//! A worker listens on a local socket in its data folder ([`SOCKET`], readable by its owner alone). Both sides write
//! JSON, one message a line. Every [`Request`] gets one [`Response`], in order; [`Request::Follow`] gets one
//! [`Response::Status`] at once and another whenever the interval has passed or the allowance has changed, until the
//! client goes.

mod request;
mod status;

pub use request::{PauseRequest, Refused, Request, Response, Setting};
pub use status::{Connection, Contribution, LeverState, Stage, State, Status, Usage};

/// The socket's name in the worker's data folder.
pub const SOCKET: &str = "control.sock";
/// The longest request, in bytes: a list of limits is far shorter.
pub const MAX_REQUEST: usize = 64 * 1024;
