//! The worker: lends this machine to a coordinator by running stages of its models.
//!
//! ```text
//! coordinator ──control──▶ grid (member or not) ──▶ control ──Load──▶ load (fetch weights, build the stage) ──▶ executor
//! earlier stage ──stage link──▶ links ──frames──▶ executor ──▶ links ──stage link──▶ later stage
//! probe ──▶ resources (limits, governor) ──▶ pace, ledger ──▶ executor
//!                └──▶ record (charts, events, days)
//! panel, command line ──▶ local ──▶ api ──▶ resources
//! ```
//! The executor is one named thread that owns every stage of the device, the resource controller another. Everything else
//! is small async tasks around them that end with their epoch.

mod api;
mod backoff;
mod control;
mod error;
mod executor;
mod frame_budget;
mod grid;
mod ledgers;
mod links;
mod load;
mod local;
mod membership;
mod options;
mod pace;
mod record;
mod resources;
mod scheduler;
mod self_test;
mod slices;
mod weights;
mod worker;

pub use error::WorkerError;
pub use local::LocalError;
pub use membership::{Membership, MembershipError};
pub use options::{WorkerOptions, WorkerState};
pub use resources::{SettingsError, compute_threads, system_policy};
pub use weights::{FetchError, WeightCache};
pub use worker::Worker;
