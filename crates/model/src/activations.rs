//! The residual stream between stages, as plain bytes.

use crate::{DeviceKind, Quant};
use bytemuck::{allocation::pod_collect_to_vec, cast_slice};
use half::{bf16, f16, slice::HalfFloatSliceExt, vec::HalfFloatVecExt};
use serde::{Deserialize, Serialize};
use std::fmt;

// Elements lie in memory as they travel.
const _: () = assert!(cfg!(target_endian = "little"), "little-endian machines only");

/// The least value that f16 has no finite number near: half-way between its largest, 65504, and the next step.
const F16_ROUNDS_TO_INFINITY: f32 = 65_520.0;

/// A floating-point type: of activations between stages, of what a stage computes in, and of its KV cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16: as exact as most weights, but its range ends at 65504.
    #[default]
    F16,
    /// The upper half of binary32.
    Bf16,
}

impl FloatType {
    /// The type of the activations that a stage puts out, the one place where it is decided. Quantized weights are less
    /// exact than f16, so f16 it is. Weights that stay as they come keep the range that they were trained with: bf16
    /// from a GPU; and f32 from a CPU, which computes in it.
    pub fn of_activations(quant: Quant, device: DeviceKind) -> Self {
        match (quant, device) {
            (Quant::None, DeviceKind::Cpu) => FloatType::F32,
            (Quant::None, _) => FloatType::Bf16,
            _ => FloatType::F16,
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            FloatType::F32 => 4,
            FloatType::F16 | FloatType::Bf16 => 2,
        }
    }
}

impl fmt::Display for FloatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FloatType::F32 => "f32",
            FloatType::F16 => "f16",
            FloatType::Bf16 => "bf16",
        })
    }
}

/// Rows of the residual stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activations {
    /// The type of the elements.
    pub dtype: FloatType,
    /// Rows: tokens.
    pub rows: usize,
    /// Elements of a row: the model's hidden size.
    pub width: usize,
    /// `rows × width` elements, row by row, little-endian.
    pub data: Vec<u8>,
}

/// Activations whose parts do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("activations of {rows} rows of {width} {dtype} elements have {found} bytes")]
pub struct ActivationsError {
    /// Type of the elements.
    pub dtype: FloatType,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
    /// Bytes that came.
    pub found: usize,
}

impl Activations {
    /// Checks that there are as many bytes as rows, width and type say.
    ///
    /// # Errors
    /// [`ActivationsError`] with all four.
    pub fn validate(&self) -> Result<(), ActivationsError> {
        let bytes = self.rows.checked_mul(self.width).and_then(|elements| elements.checked_mul(self.dtype.bytes()));
        if bytes == Some(self.data.len()) {
            return Ok(());
        }
        let Activations { dtype, rows, width, ref data } = *self;
        Err(ActivationsError { dtype, rows, width, found: data.len() })
    }

    /// The elements as f32, row by row. Needs activations that [`Activations::validate`] accepts.
    pub fn to_f32(&self) -> Vec<f32> {
        // pod_collect_to_vec copies, because a frame's bytes need not be aligned for their elements
        match self.dtype {
            FloatType::F32 => pod_collect_to_vec(&self.data),
            FloatType::F16 => pod_collect_to_vec::<u8, f16>(&self.data).to_f32_vec(),
            FloatType::Bf16 => pod_collect_to_vec::<u8, bf16>(&self.data).to_f32_vec(),
        }
    }

    /// Rows of f32 values in the wanted type. Values beyond f16's range make the whole stay f32: a rare outlier must
    /// not become an infinity.
    pub fn from_f32(values: &[f32], width: usize, wanted: FloatType) -> Self {
        let rows = values.len().checked_div(width).unwrap_or(0);
        let overflows = |value: &f32| value.is_finite() && value.abs() >= F16_ROUNDS_TO_INFINITY;
        let dtype = match wanted {
            FloatType::F16 if values.iter().any(overflows) => FloatType::F32,
            wanted => wanted,
        };
        let data = match dtype {
            FloatType::F32 => cast_slice(values).to_vec(),
            FloatType::F16 => cast_slice(&Vec::<f16>::from_f32_slice(values)).to_vec(),
            FloatType::Bf16 => cast_slice(&Vec::<bf16>::from_f32_slice(values)).to_vec(),
        };
        Activations { dtype, rows, width, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_there_and_back() {
        let values = [0.5f32, -2.0, 1024.0, 0.0, -0.25, 3.0];
        for dtype in [FloatType::F32, FloatType::F16, FloatType::Bf16] {
            let activations = Activations::from_f32(&values, 3, dtype);
            assert_eq!((activations.dtype, activations.rows, activations.width), (dtype, 2, 3));
            activations.validate().unwrap();
            assert_eq!(activations.to_f32(), values);
        }
    }

    #[test]
    fn an_outlier_beyond_f16_keeps_the_rows_f32() {
        let activations = Activations::from_f32(&[1.0, 70_000.0], 2, FloatType::F16);
        assert_eq!(activations.dtype, FloatType::F32);
        assert_eq!(activations.to_f32(), [1.0, 70_000.0]);
        for (value, dtype) in [(65_504.0, FloatType::F16), (-65_519.9, FloatType::F16), (-65_520.0, FloatType::F32)] {
            assert_eq!(Activations::from_f32(&[1.0, value], 2, FloatType::F16).dtype, dtype, "{value}");
            assert_eq!(f16::from_f32(value).is_finite(), dtype == FloatType::F16, "{value}");
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let wrong = Activations { dtype: FloatType::F16, rows: 2, width: 3, data: vec![0; 11] };
        assert_eq!(wrong.validate().unwrap_err().found, 11);
        let huge = Activations { dtype: FloatType::F32, rows: usize::MAX, width: usize::MAX, data: vec![] };
        huge.validate().unwrap_err();
    }
}
