//! The worker: a program of its own, `gogrid worker`, that computes.
//!
//! ```text
//! key, name ──► Supervisor ── starts, restarts, ends ──► gogrid worker
//!                  │ while it runs                          ▲  ▲  ▲
//!                  ├── link: follows the status ────────────┘  │  │
//!                  └── pause_channel: pause and resume ────────────────┘  │
//! the page's orders: a connection each ───────────────────────────┘
//! ```
//! A pause has a connection of its own that is kept open, so that it never waits behind a slow order, such as a join.

mod backoff;
mod cause;
mod child;
mod commands;
mod connection;
mod driver;
#[cfg(test)]
#[cfg(unix)]
mod fake;
mod pause_channel;
mod program;
mod status_follower;
mod stderr;
#[cfg_attr(unix, path = "worker/stream/unix.rs")]
#[cfg_attr(windows, path = "worker/stream/windows.rs")]
mod stream;
mod supervisor;

pub(crate) use commands::WorkerCommands;
pub(crate) use driver::Driver;
pub(crate) use pause_channel::PauseChannel;
pub(crate) use program::Programs;
pub(crate) use status_follower::StatusInterval;
pub(crate) use supervisor::{DesiredState, LaunchOptions, Supervisor, SupervisorCommand};
