//! What a donor lends and how that is enforced: limits, governor, pacer and memory ledger.
//!
//! Pure: `now` is an argument; nothing here reads a clock or does I/O.
//!
//! ```text
//! Limits ──▶ Policy ─┐
//! Sample ────────────┴─▶ Governor ─▶ Allowance ─┬─▶ Pacer   before every slice of work
//!                                               └─▶ Ledger  before every allocation
//! ```

mod allowance;
mod amount;
#[cfg(test)]
mod arbitrary;
mod governor;
mod key;
mod ledger;
mod limits;
mod order;
mod pacer;
mod pause;
mod policy;
mod preset;
mod reason;
mod sample;
mod schedule;
mod settings;
mod share;
mod sync;
mod totals;
mod value;
mod when;

pub use allowance::{Allowance, State};
pub use amount::Amount;
pub use governor::{DailyUse, Governor, Machine, Now};
pub use key::{BoundKind, Key, KeySpec, PresetValues, Total, ValueKind};
pub use ledger::{Account, HeldSession, Holding, Ledger, OverLimit, Release, Reservation, Usage, plan_shrink};
pub use limits::Limits;
pub use pacer::{Grant, Paced, Pacer, PacerStats, RequestPacer};
pub use pause::Pause;
pub use policy::{Bound, Policy, PolicyError};
pub use preset::Preset;
pub use reason::{Moment, Reason, RequiredSignals, SignalKind};
pub use sample::{Gpu, Load, Memory, Power, Sample, Signal};
pub use schedule::Schedule;
pub use settings::LimitsError;
pub use share::Share;
pub use totals::Totals;
pub use value::ValueError;
pub use when::When;
