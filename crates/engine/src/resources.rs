//! What this machine lends: a named thread samples the machine, lets the governor decide, and enforces the allowance.
//!
//! ```text
//! probe ──Sample──▶ governor ──Allowance──▶ pacers, ledgers ──▶ executor (before its next slice, its next allocation)
//! commands (limits, pause, resume) ──▶ governor            └──▶ coordinator (`Lends`), panel (`View`)
//! ```
//! It is a thread of its own so that a command holds at once, whatever the links or the executor are doing. It samples
//! often while there is work, seldom while there is none, and at once when work arrives.

mod chart;
mod command;
mod control_loop;
mod controller;
mod lent;
mod settings;
mod sleep;
mod system_caps;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use command::{LONG_PAUSE, Parts, ResourceCommand};
pub(crate) use controller::ResourceController;
pub(crate) use lent::{Lent, lent};
pub(crate) use settings::Settings;
pub use settings::{SettingsError, compute_threads, system_policy};
pub(crate) use sleep::follow as follow_sleep;
pub(crate) use view::{RATE_OVER, StageView, State, View};
