//! Between the model's plain data types and candle's.

use candle_core::quantized::GgmlDType;
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};
use gogrid_model::{Activations, FloatType, WeightType};

/// candle's name of a floating-point type.
pub(crate) fn dtype(float: FloatType) -> DType {
    match float {
        FloatType::F32 => DType::F32,
        FloatType::F16 => DType::F16,
        FloatType::Bf16 => DType::BF16,
    }
}

/// candle's name of a type that it has products for.
///
/// # Errors
/// It has none for this type.
pub(crate) fn ggml(weight: WeightType) -> Result<GgmlDType> {
    Ok(match weight {
        WeightType::F32 => GgmlDType::F32,
        WeightType::F16 => GgmlDType::F16,
        WeightType::Bf16 => GgmlDType::BF16,
        WeightType::Q4_0 => GgmlDType::Q4_0,
        WeightType::Q4_1 => GgmlDType::Q4_1,
        WeightType::Q5_0 => GgmlDType::Q5_0,
        WeightType::Q5_1 => GgmlDType::Q5_1,
        WeightType::Q8_0 => GgmlDType::Q8_0,
        WeightType::Q2K => GgmlDType::Q2K,
        WeightType::Q3K => GgmlDType::Q3K,
        WeightType::Q4K => GgmlDType::Q4K,
        WeightType::Q5K => GgmlDType::Q5K,
        WeightType::Q6K => GgmlDType::Q6K,
        other => bail!("there is no product with {other}"),
    })
}

/// candle's type for plain elements; `None` for quantized types.
pub(crate) fn dense(weight: WeightType) -> Option<DType> {
    match weight {
        WeightType::F32 => Some(DType::F32),
        WeightType::F16 => Some(DType::F16),
        WeightType::Bf16 => Some(DType::BF16),
        _ => None,
    }
}

/// The rows `// (rows, width)` on a device, in the type that the stage computes in.
pub(crate) fn to_tensor(activations: &Activations, device: &Device, dtype: DType) -> Result<Tensor> {
    let shape = (activations.rows, activations.width);
    Tensor::from_vec(activations.to_f32(), shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}

/// The activations of a tensor `// (rows, width)`.
pub(crate) fn from_tensor(tensor: &Tensor, wanted: FloatType) -> Result<Activations> {
    let (_, width) = tensor.dims2()?;
    let host = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
    let (storage, layout) = host.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        candle_core::bail!("activations did not come to the host");
    };
    let start = layout.start_offset();
    Ok(Activations::from_f32(&values[start..start + host.elem_count()], width, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_go_through_a_tensor_unchanged() {
        let values = [0.5f32, -2.0, 1024.0, 0.0, -0.25, 3.0];
        for float in [FloatType::F32, FloatType::F16, FloatType::Bf16] {
            let activations = Activations::from_f32(&values, 3, float);
            let tensor = to_tensor(&activations, &Device::Cpu, DType::F32).unwrap();
            assert_eq!(from_tensor(&tensor, float).unwrap(), activations);
        }
    }

    #[test]
    fn blocks_have_the_sizes_that_candle_computes_with() {
        for weight in WeightType::ALL.into_iter().filter(|weight| !weight.is_dequantized()) {
            let held = ggml(weight).unwrap();
            assert_eq!(weight.block_elements(), held.block_size(), "{weight}");
            assert_eq!(weight.block_bytes(), held.type_size(), "{weight}");
            assert_eq!(dense(weight).is_some(), !weight.is_quantized(), "{weight}");
        }
    }
}
