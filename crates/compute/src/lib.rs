//! Stages of a model on a device: attention, feed-forward networks, KV caches and quantized products. Synchronous;
//! knows nothing of links or HTTP.
//!
//! `unsafe` is forbidden here, as everywhere but in `probe`. A back end that launches kernels of its own may allow it
//! in one module, with the reason at each block.

mod attention;
mod block;
mod compute_threads;
mod convert;
mod decode;
mod device;
#[cfg(test)]
mod gguf_tests;
mod kv;
mod linear;
mod mask;
mod mlp;
mod packed;
pub mod parity;
mod rope;
mod softmax;
mod stage;
mod weights;

pub use compute_threads::Threads;
pub use device::{DeviceError, check_built};
pub use kv::KvError;
pub use stage::{ForwardError, LoadError, Pass, Stage, StageOptions, Unit};
