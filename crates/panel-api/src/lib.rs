//! The contract between a worker and its clients: the desktop app and the command line.
//!
//! A worker listens on a local socket in its data folder ([`SOCKET`], accessible to its owner only; on Windows a named
//! pipe). Both sides write JSON, one message a line. Every [`Request`] gets one [`Response`], in order. [`Request::Follow`]
//! gets one [`Response::Status`] at once and another after each interval or change of the allowance, until the client
//! sends its next request or disconnects. A line that is not a request gets [`Response::Refused`], and the connection
//! stays open.
//!
//! ```text
//! ▶ {"request":"pause","seconds":900}
//! ◀ {"response":"done"}
//! ▶ {"request":"fly"}
//! ◀ {"response":"refused","body":{"field":"request","message":"unknown variant `fly`, expected one of …"}}
//! ```

mod app;
mod ask;
mod diagnosis;
mod energy;
mod mark;
#[cfg(windows)]
mod pipe;
mod record;
mod request;
mod setting;
mod status;
mod weights;

pub use app::{AppSettings, AppState, KeyStore, LogFilter, LogLine, Notice, Notify, Process};
pub use ask::{AnswerEnd, ChatMessage, ChatRole, GridKey, GridModel, GridModels, GridQuestion};
pub use diagnosis::{Device, Diagnosis, SelfTest, SignalSource};
pub use energy::EnergyFigures;
pub use mark::Mark;
#[cfg(windows)]
pub use pipe::pipe_name;
pub use record::{Day, Days, Event, EventKind, Gap, History, Point, Range};
pub use request::{FOLLOW_MS, PAUSE_SECONDS, PauseRequest, Request, RequestError, Response};
pub use setting::{Managed, Setting};
pub use status::{
    CodeDetails, Connection, Contribution, GridAbout, GridApi, LeftGrid, LeverState, Machine, Stage, State, Status,
    Usage,
};
pub use weights::{CachedModel, CachedWeights};

/// The socket's name in the worker's data folder.
pub const SOCKET: &str = "control.sock";
/// The longest request, in bytes without the line's end: a list of limits is far shorter.
pub const MAX_REQUEST: usize = 64 * 1024;
