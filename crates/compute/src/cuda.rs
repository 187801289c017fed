//! The CUDA back end: one stage as few fused kernels on memory that is taken once, captured as graphs and replayed.
//!
//! A layer is one unit, and so is the head. Steps in which every sequence decodes are padded to a number of rows for which
//! there is a graph; what differs from step to step (tokens, positions, places of caches) is in the GPU's memory, so that
//! a graph is good for every step. Steps with parts of prompts are launched kernel by kernel: their kernels are long.
//!
//! The residual stream is f32, caches are f16. [`supports`] says which stages come here; all others stay on the reference
//! back end, which this one is checked against.

#[cfg(feature = "cuda")]
mod compute;
#[cfg(feature = "cuda")]
#[allow(unsafe_code, reason = "the driver's functions take addresses; the module's head says what keeps that sound")]
mod driver;
mod kernels;
mod planes;
#[cfg(feature = "cuda")]
mod sessions;
#[cfg(feature = "cuda")]
mod stage;
mod step;
pub(crate) mod supports;
#[cfg(feature = "cuda")]
#[cfg(test)]
mod tests;
#[cfg(feature = "cuda")]
mod weights;
#[cfg(feature = "cuda")]
mod workspace;

#[cfg(feature = "cuda")]
pub(crate) use stage::{Cuda, Kernels, copier};
