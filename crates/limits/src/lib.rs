//! What a donor lends, and how it is kept: limits, governor, pacer and memory ledger.
//!
//! Pure: `now` is an argument, nothing here reads a clock or does I/O.
//!
//! ```text
//! Limits ─┐
//! Sample ─┴─▶ Governor ─▶ Allowance ─┬─▶ Pacer   before every slice of work
//!                                    └─▶ Ledger  before every allocation
//! ```

mod allowance;
mod reason;
mod sample;
mod share;

pub use allowance::Allowance;
pub use reason::Reason;
pub use sample::{Gpu, Load, Memory, Power, Sample, Signal};
pub use share::Share;
