//! The worker's control link: one connection to the coordinator, from `Hello` to its end.
//!
//! ```text
//! join ──Joined──▶ serve: beats, what is lent, failures ──▶ coordinator
//!                    └── stages: Load ▶ load, Start ▶ link up, Stop ▶ park ──▶ executor
//! ```

mod about;
mod beat;
mod join;
mod leave;
mod serve;
mod stages;
#[cfg(test)]
mod tests;

pub(crate) use join::{ControlError, Introduction, Joined, join};
pub(crate) use leave::LeaveRequest;
pub(crate) use serve::{Ended, serve};
pub(crate) use stages::Shared;
