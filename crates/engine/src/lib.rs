//! The worker: lends this machine to a coordinator by running stages of its models.
//!
//! ```text
//! coordinator ──control──▶ control ──Load──▶ load (fetch weights, build the stage) ──▶ executor
//! earlier stage ──stage link──▶ links ──frames──▶ executor ──▶ links ──stage link──▶ later stage
//! ```
//! The executor is one named thread that owns every stage of the device. Everything else is small async tasks around
//! it that end when their epoch does.

mod control;
mod executor;
mod links;
mod load;
mod membership;
mod scheduler;
mod weights;
mod worker;

pub use executor::{Executor, StageGauge};
pub use membership::{Membership, MembershipError};
pub use weights::{FetchError, WeightCache};
pub use worker::{Worker, WorkerError, WorkerOptions, WorkerState};
