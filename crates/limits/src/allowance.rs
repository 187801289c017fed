use crate::{Reason, Share};
use serde::{Deserialize, Serialize};

/// What the worker may take right now. Never more than the limits say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allowance {
    /// Part of all cores' time.
    pub cpu: Share,
    /// Part of the GPU's time.
    pub gpu: Share,
    /// Main memory, in bytes.
    pub memory: u64,
    /// GPU memory, in bytes; 0 where there is no GPU.
    pub gpu_memory: u64,
    /// What decided, of all the rules the one that takes most.
    pub reason: Reason,
}

impl Allowance {
    /// Whether nothing may be computed.
    pub fn is_stopped(&self) -> bool {
        self.cpu.is_zero()
    }
}
