//! The GPU that the worker lends.

#[cfg(target_os = "macos")]
mod apple;
#[cfg(not(target_os = "macos"))]
mod nvidia;

#[cfg(target_os = "macos")]
pub(crate) use apple::GpuMeter;
#[cfg(not(target_os = "macos"))]
pub(crate) use nvidia::GpuMeter;
use serde::{Deserialize, Serialize};

/// Which GPU, as CUDA counts them for this process. (Its order is that of the driver only with
/// `CUDA_DEVICE_ORDER=PCI_BUS_ID`, which [`prepare_compute_threads`](crate::prepare_compute_threads) sees to.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GpuIndex(pub u32);
