//! Products with quantized matrices on a CPU.
//!
//! ```text
//! Matrix: blocks as in the file, those of 16 rows side by side (layout) ─┐
//! rows of f32 ─▶ Quantized: 8 bits in blocks of 32 (rows) ───────────────┴▶ kernel ─▶ f32
//!                                     kernel = format (how a block is read) × lanes (how 16 lanes compute)
//! ```
//! A lane is a row of the matrix. For each block of 32 columns the products are summed as integers, and these sums are
//! scaled and added in f32, block by block. So a result depends on its two rows alone: not on the other rows of the
//! step, nor on how the work is spread over threads.
//!
//! Why not candle's products: they keep a second, rearranged copy of the weights, take activations in blocks of 256,
//! and have fast kernels for a few types only.

mod format;
mod kernel;
mod lanes;
mod layout;
mod matrix;
mod rows;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use layout::{ROWS, is_multiplied};
pub(crate) use matrix::Matrix;
pub(crate) use rows::Quantized;
