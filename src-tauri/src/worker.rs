//! The worker: a separate program, `gogrid worker`, which computes.
//!
//! ```text
//! key, name ──► Supervisor ── starts, restarts, ends ──► gogrid worker
//!                  │ while it runs                          ▲  ▲  ▲
//!                  └── StatusFollower ──────────────────────┘  │  │
//! PauseChannel: pause and resume ──────────────────────────────┘  │
//! WorkerCommands: a connection for each request ──────────────────┘
//! ```
//! A pause has a connection of its own that is kept open, so that it never waits behind a slow request, such as a join.

mod backoff;
mod cause;
mod child;
mod client_error;
mod commands;
mod driver;
#[cfg(test)]
#[cfg(unix)]
mod fake;
mod pause_channel;
mod program;
mod status_follower;
mod stderr;
mod supervisor;

pub(crate) use child::LaunchOptions;
pub(crate) use commands::WorkerCommands;
pub(crate) use driver::Driver;
pub(crate) use pause_channel::PauseChannel;
pub(crate) use program::Programs;
pub(crate) use status_follower::StatusInterval;
pub(crate) use supervisor::{DesiredState, Supervisor, SupervisorCommand};
