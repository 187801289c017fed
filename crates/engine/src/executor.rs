//! The executor: one named thread that owns every stage of the device, its KV caches and its stream.
//!
//! ```text
//! link ──▶ inlet (FrameBudget) ──▶ Executor (handle) ──commands──▶ Core ──▶ Slot: intake ▶ scheduler ▶ batch ▶ emit
//!                                                                                                    │
//!                                              link ◀── channel of Outgoing ◀── outlet (FrameBudget) ◀┘
//! ```
//! It sleeps until a command comes or the pacer lets it go on, takes all commands that wait, computes one slice, and
//! checks for commands again: commands, pauses and lowered limits wait for one slice at most. Async tasks talk to it
//! through a bounded queue and read its gauges; they never wait for a computation, and it never waits for them: a stage
//! whose outgoing link is full is *blocked*. The others go on, and its own frames stay where they are until QUIC slows
//! the sender down.

mod command;
mod convert;
mod core;
mod gather;
mod gauge;
mod handle;
#[cfg(test)]
mod kv_reuse_tests;
#[cfg(test)]
mod queue_tests;
mod retained_outputs;
#[cfg(test)]
mod reuse_tests;
mod slot;
#[cfg(test)]
mod test_stages;

pub(crate) use command::{Failure, Installed, Loaded, OUT_QUEUE, Outgoing, ServeOptions, StageKey};
pub(crate) use gauge::StageGauge;
#[cfg(test)]
pub(crate) use handle::Detached;
pub(crate) use handle::Executor;
