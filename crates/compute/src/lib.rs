//! Stages of a model on a device. Synchronous; knows nothing of links or HTTP.
//!
//! ```text
//! engine ─▶ Stage: checks a step, keeps count of sequences ─▶ Backend: weights, state of sequences, a pass's units
//!                                                              └ reference: candle, on CPUs, CUDA and Metal
//! ```
//! [`Stage`] is the one door. Behind it a back end is chosen when a stage is loaded. It owns what a pass carries, says
//! into which units a step may be cut and what each takes, says what a stage takes in memory ([`footprint`]), and gives
//! candidates instead of logits. The reference back end is what every other one is checked against ([`parity`]).
//!
//! `unsafe` is forbidden here, as everywhere but in `probe`. A back end that launches kernels of its own may allow it
//! in one module, with the reason at each block.

mod backend;
mod compute_threads;
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
