//! The weights protocol: a worker asks its coordinator for tensors by their hashes, one after another.
//!
//! ```text
//! worker ── Ask ─▶ coordinator
//!        ◀─ Reply::Tensor ──      what comes now
//!        ◀─ Reply::Part ────      its bytes, in the frames' bodies
//! ```
//! The link is for members alone, and ends with the membership. The ALPN carries the protocol's version.

use serde::{Deserialize, Serialize};

/// The most bytes of a tensor in one frame.
pub const PART_BYTES: usize = 256 << 10;

/// Asks for a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
    /// How many of its bytes are here already: the answer begins behind them.
    pub from: u64,
}

/// What the coordinator answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The tensor's bytes follow.
    Tensor {
        /// How many.
        bytes: u64,
    },
    /// The next bytes, in the frame's body: at least one and at most [`PART_BYTES`].
    Part,
    /// It has no such tensor, or not so many bytes of it.
    Unknown,
}
