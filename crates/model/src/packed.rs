//! q8_0 weights that are in memory once. Where the CPU has the instructions, candle computes with a rearranged copy of
//! them, made at the first product, and keeps the original beside it although nothing reads it any more. Here the first
//! product is made while loading, and the original is dropped if candle took such a copy.
//!
//! Only q8_0, and only on x86: for other types and CPUs candle picks copy or original by the number of rows.

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor, QuantizedType};
use candle_core::{CpuStorage, DType, Device, Module, Result, Tensor, bail};
use half::f16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A matrix `// (out, in)` for products alone: an embedding table is looked up in the original.
pub(crate) fn held_once(storage: QStorage, shape: (usize, usize)) -> Result<QTensor> {
    let original = match storage {
        QStorage::Cpu(original) if cfg!(target_arch = "x86_64") && original.dtype() == GgmlDType::Q8_0 => original,
        other => return QTensor::new(other, shape),
    };
    let size = original.storage_size_in_bytes();
    let weights =
        Weights(Arc::new(Shared { original: Mutex::new(Some(original)), size, in_use: AtomicBool::new(false) }));
    let shared = Arc::clone(&weights.0);
    let tensor = Arc::new(QTensor::new(QStorage::Cpu(Box::new(weights)), shape)?);
    let row = Tensor::zeros((1, shape.1), DType::F32, &Device::Cpu)?;
    QMatMul::QTensor(Arc::clone(&tensor)).forward(&row)?;
    // A product that asked the original to compute will do so again; one that did not has its copy.
    if !shared.in_use.load(Ordering::Relaxed) {
        shared.original().take();
    }
    Arc::into_inner(tensor).ok_or_else(|| candle_core::Error::msg("the first product kept its weights"))
}

struct Weights(Arc<Shared>);

struct Shared {
    original: Mutex<Option<Box<dyn QuantizedType>>>,
    /// Bytes of the original.
    size: usize,
    /// Whether a product was computed with the original.
    in_use: AtomicBool,
}

impl Shared {
    fn original(&self) -> MutexGuard<'_, Option<Box<dyn QuantizedType>>> {
        self.original.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weights {
    fn compute<T>(&self, compute: impl FnOnce(&dyn QuantizedType) -> Result<T>) -> Result<T> {
        self.0.in_use.store(true, Ordering::Relaxed);
        match &*self.0.original() {
            Some(original) => compute(original.as_ref()),
            None => bail!("these q8_0 weights are only there in the form for products in f32"),
        }
    }
}

impl QuantizedType for Weights {
    fn dtype(&self) -> GgmlDType {
        GgmlDType::Q8_0
    }

    fn matmul_t(&self, mkn: (usize, usize, usize), lhs: &[f32], dst: &mut [f32]) -> Result<()> {
        self.compute(|original| original.matmul_t(mkn, lhs, dst))
    }

    fn matmul_t_f16(&self, mkn: (usize, usize, usize), lhs: &[f16], dst: &mut [f16]) -> Result<()> {
        self.compute(|original| original.matmul_t_f16(mkn, lhs, dst))
    }

    fn embedding(&self, ids: &[u32], rows: usize, hidden: usize) -> Result<CpuStorage> {
        self.compute(|original| original.embedding(ids, rows, hidden))
    }

    fn dequantize(&self, elem_count: usize) -> Result<CpuStorage> {
        self.compute(|original| original.dequantize(elem_count))
    }

    /// None once the original is gone, so that nobody reads behind [`as_ptr`](Self::as_ptr) then.
    fn storage_size_in_bytes(&self) -> usize {
        if self.0.original().is_some() { self.0.size } else { 0 }
    }

    /// Good for as long as the original, which is dropped in [`held_once`] alone, between two products.
    fn as_ptr(&self) -> *const u8 {
        // Dangling but aligned for any block when the original is gone: an empty slice may point there.
        self.0.original().as_ref().map_or(std::ptr::NonNull::<u64>::dangling().as_ptr() as *const u8, |o| o.as_ptr())
    }

    fn block_size(&self) -> usize {
        GgmlDType::Q8_0.block_size()
    }

    fn from_float(&mut self, xs: &[f32]) {
        if let Some(original) = self.0.original().as_mut() {
            original.from_float(xs);
        }
    }

    fn from_float_imatrix(&mut self, xs: &[f32], imatrix_weights: &[f32], n_per_row: usize) {
        if let Some(original) = self.0.original().as_mut() {
            original.from_float_imatrix(xs, imatrix_weights, n_per_row);
        }
    }

    fn size(&self) -> usize {
        self.storage_size_in_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// Rows that candle rearranges (multiples of 256 by multiples of 16), and two that it does not.
    #[rstest]
    #[case(512, 64)]
    #[case(96, 64)]
    #[case(512, 40)]
    fn products_are_those_of_the_original(#[case] columns: usize, #[case] rows: usize) {
        let matrix = Tensor::randn(0f32, 1.0, (rows, columns), &Device::Cpu).unwrap();
        let plain = QTensor::quantize(&matrix, GgmlDType::Q8_0).unwrap();
        let storage = QStorage::from_data(plain.data().unwrap(), &Device::Cpu, GgmlDType::Q8_0).unwrap();
        let once = Arc::new(held_once(storage, (rows, columns)).unwrap());
        let plain = Arc::new(plain);
        for tokens in [1, 2, 5, 64] {
            let input = Tensor::randn(0f32, 1.0, (tokens, columns), &Device::Cpu).unwrap();
            let product =
                |weights: &Arc<QTensor>| QMatMul::QTensor(Arc::clone(weights)).forward(&input)?.to_vec2::<f32>();
            assert_eq!(product(&once).unwrap(), product(&plain).unwrap());
        }
    }
}
