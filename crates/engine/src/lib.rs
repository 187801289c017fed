//! The worker: lends this machine to a coordinator by running stages of its models.
//!
//! ```text
//! coordinator ──control──▶ grid (member or not) ──▶ control ──Load──▶ load (fetch weights, build the stage) ──▶ executor
//! earlier stage ──stage link──▶ links ──frames──▶ executor ──▶ links ──stage link──▶ later stage
//! probe ──▶ resources (limits, governor) ──▶ pace, ledger ──▶ executor
//!                └──▶ record (charts, events, days)
//! panel, command line ──▶ local ──▶ api ──▶ resources
//! ```
//! The executor is one named thread that owns every stage of the device. Everything else is small async tasks around
//! it that end when their epoch does.

mod api;
mod control;
mod executor;
mod grid;
mod links;
mod load;
mod local;
mod membership;
mod pace;
mod record;
mod resources;
mod scheduler;
mod self_test;
mod slices;
mod weights;
mod worker;

pub use executor::{Executor, StageGauge};
pub use local::LocalError;
pub use membership::{Membership, MembershipError};
pub use resources::{SettingsError, compute_threads, system_policy};
pub use weights::{FetchError, WeightCache};
pub use worker::{Worker, WorkerError, WorkerOptions, WorkerState};
