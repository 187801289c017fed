//! The coordinator: enrols machines, splits models over them, and serves an OpenAI-compatible API.
//!
//! ```text
//! client ─▶ api/openai ─▶ router ─▶ sequence ─▶ pipeline ─▶ first stage … last stage ─▶ pipeline ─▶ sequence ─▶ client
//! worker ─▶ accept ─▶ fleet ─▶ planner                    operator ─▶ operator, admin ─▶ registry
//! ```

mod accept;
mod admin;
mod answers;
pub mod api;
mod coordinator;
mod dry_run;
mod fleet;
mod folder_lock;
pub mod generate;
mod grid_info;
mod http;
mod kv_capacity;
mod kv_reuse;
mod model;
mod operator;
mod pipeline;
mod places;
mod planner;
mod published;
mod registry;
mod route;
mod router;
mod sequence;
mod settings;
#[cfg(test)]
mod sim;
pub mod status;
mod weights;

pub use admin::{AdminError, DEFAULT_REPLICAS, NewModel, add_model, invite, remove_member};
pub use coordinator::{Coordinator, CoordinatorError};
pub use dry_run::{DryFleet, DryPlan, DryRunError, DrySpare, DryStage, FleetFileError, dry_run};
#[cfg(any(test, feature = "bench"))]
pub use fleet::bench as fleet_bench;
pub use operator::OperatorFile;
pub use registry::RegistryError;
pub use settings::{About, Settings, SettingsError};
