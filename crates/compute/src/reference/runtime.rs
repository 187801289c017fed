//! What a device's driver and libraries keep for this program, before anything is loaded.

use crate::{DeviceError, device};
use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};
use gogrid_model::DeviceSpec;
use std::sync::Arc;

/// Rows and columns of the first product.
const SIZE: usize = 256;

/// A device whose driver has been started. While it is held, the driver's context stays.
#[derive(Debug)]
pub struct Runtime {
    _device: Device,
    /// What the CUDA back end keeps besides.
    #[cfg(feature = "cuda")]
    _kernels: Option<crate::cuda::Kernels>,
}

impl Runtime {
    /// Opens the device and computes a little with what stages use, in every type: what its libraries take, they have
    /// taken then. The device's memory before and after tells how much that is.
    ///
    /// # Errors
    /// The device does not open or does not compute.
    pub fn start(spec: DeviceSpec) -> std::result::Result<Self, DeviceError> {
        let device = device::open(spec)?;
        let failed = |source| DeviceError::Open { device: spec, source: Box::new(source) };
        use_kernels(&device).map_err(failed)?;
        #[cfg(feature = "cuda")]
        let kernels = match spec {
            DeviceSpec::Cuda(index) => Some(crate::cuda::Kernels::load(index).map_err(failed)?),
            _ => None,
        };
        Ok(Runtime {
            _device: device,
            #[cfg(feature = "cuda")]
            _kernels: kernels,
        })
    }
}

/// Uses a kernel of every module that stages need.
fn use_kernels(device: &Device) -> Result<()> {
    // A CPU's products have no bf16.
    let types: &[DType] = if device.is_cpu() { &[DType::F32] } else { &[DType::F32, DType::F16, DType::BF16] };
    for dtype in types {
        let ones = Tensor::ones((SIZE, SIZE), DType::F32, device)?.to_dtype(*dtype)?;
        let product = (ones.matmul(&ones)?.affine(0.5, 0.0)? + &ones)?.silu()?;
        let norm = Tensor::ones(SIZE, *dtype, device)?;
        softmax_last_dim(&rms_norm(&product, &norm, 1e-5)?)?.index_select(&Tensor::new(&[1u32], device)?, 0)?;
    }
    let weights = QTensor::quantize(&Tensor::ones((SIZE, SIZE), DType::F32, device)?, GgmlDType::Q8_0)?;
    let weights = QMatMul::QTensor(Arc::new(weights));
    for rows in [1, SIZE] {
        weights.forward(&Tensor::ones((rows, SIZE), DType::F32, device)?)?;
    }
    device.synchronize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_starts_and_a_gpu_that_is_not_built_says_so() {
        Runtime::start(DeviceSpec::Cpu).unwrap();
        #[cfg(not(feature = "cuda"))]
        assert!(matches!(Runtime::start(DeviceSpec::Cuda(0)), Err(DeviceError::NotBuilt { .. })));
    }
}
