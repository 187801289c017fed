//! Stages of a model on a device. Synchronous; knows nothing of links or HTTP.
//!
//! ```text
//! engine ─▶ Stage: checks a step, keeps count of sequences ─▶ Backend: weights, state of sequences, a pass's units
//!                                                              ├ reference: candle, on CPUs (with products of our own,
//!                                                              │            cpu), CUDA and Metal
//!                                                              └ cuda: our own kernels, for dense models
//! ```
//! [`Stage`] is the one door. Behind it a back end is chosen when a stage is loaded. It owns what a pass carries, says
//! into which units a step may be cut and what each takes, says what a stage takes in memory ([`footprint`]), and gives
//! candidates instead of logits. The reference back end is what every other one is checked against ([`parity`]).
//!
//! `unsafe` is denied here but in modules that talk to a GPU's driver (`cuda/driver.rs`), use instructions that not every
//! processor has (`cpu/x86.rs`), and write the columns of a product from several threads (`cpu/kernel.rs`).

mod backend;
pub mod bench;
mod compute_threads;
mod cpu;
// Without the feature, tests alone use its pure parts.
#[cfg(any(feature = "cuda", test))]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
mod cuda;
mod device;
#[cfg(test)]
mod gguf_tests;
pub mod parity;
mod reference;
mod sequences;
mod stage;

pub use backend::{Unit, UnitKind};
pub use compute_threads::Threads;
pub use device::{DeviceError, check_built};
pub use reference::{Runtime, footprint};
pub use sequences::{Positions, StateError};
pub use stage::{ForwardError, LoadError, Pass, Stage, StageOptions};
