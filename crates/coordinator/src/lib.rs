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
mod audit;
pub mod chat;
pub mod constraint;
mod coordinator;
mod dry_run;
mod fleet;
mod folder_lock;
pub mod generate;
mod grid_info;
mod health;
mod http;
mod keys;
mod kv_capacity;
mod kv_reuse;
mod metrics;
mod model;
mod operator;
mod pipeline;
mod places;
mod planner;
mod prefix_cache;
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

pub use admin::{
    AdminError, DEFAULT_REPLICAS, Invite, NewKey, NewModel, add_model, create_key, invite, list_invites, list_keys,
    list_members, list_models, remove_member, remove_model, rename_member, revoke_invite, revoke_key,
    set_member_groups, usage,
};
pub use audit::{AuditEntry, audit};
pub use coordinator::{Coordinator, CoordinatorError};
pub use dry_run::{DryFleet, DryPlan, DryRunError, DrySpare, DryStage, FleetFileError, dry_run};
#[cfg(any(test, feature = "bench"))]
pub use fleet::bench as fleet_bench;
pub use http::TlsError;
pub use keys::{DayUsage, KeyLimits, KeyRecord, Secret, Usage};
pub use operator::OperatorFile;
pub use registry::{Member, ModelRecord, RegistryError};
pub use settings::{About, Settings, SettingsError};
