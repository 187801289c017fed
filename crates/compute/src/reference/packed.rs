//! Quantized weights that are in memory once. On x86 candle computes with a rearranged copy of some types, made at the
//! first product, and keeps the original although nothing reads it again. Here the first products are made
//! while loading, and the original is dropped if candle took copies for them.

use super::convert::ggml;
use super::copies::footprint;
use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor, QuantizedType};
use candle_core::{CpuStorage, DType, Device, Module, Result, Tensor, bail};
use gogrid_model::{DeviceKind, WeightType};
use half::f16;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Numbers of rows of products, one for each copy that candle may make: for few rows, and for many where the CPU has
/// matrix instructions (AMX).
pub(super) const FIRST_PRODUCTS: [usize; 2] = [1, 32];

/// A matrix `// (out, in)` for products alone: an embedding table is looked up in the original.
pub(crate) fn held_once(storage: QStorage, shape: (usize, usize), held: WeightType) -> Result<QTensor> {
    let suffices = || footprint(DeviceKind::Cpu).copies_of(held).is_some_and(|rule| !rule.keeps_original);
    let original = match storage {
        QStorage::Cpu(original) if suffices() => original,
        other => return QTensor::new(other, shape),
    };
    let (tensor, reads) = watch(original, shape)?;
    let tensor = Arc::new(tensor);
    for rows in FIRST_PRODUCTS {
        let rows = Tensor::zeros((rows, shape.1), DType::F32, &Device::Cpu)?;
        QMatMul::QTensor(Arc::clone(&tensor)).forward(&rows)?;
    }
    // A product that asked the original to compute will do so again; one that did not has its copy.
    let Reads(shared) = reads;
    if !shared.in_use.load(Ordering::Relaxed) {
        shared.original().take();
    }
    Arc::into_inner(tensor).ok_or_else(|| candle_core::Error::msg("a product kept its weights"))
}

/// A matrix of these bytes, with a count of how it is read.
pub(super) fn watched(bytes: &[u8], shape: (usize, usize), held: WeightType) -> Result<(QTensor, Reads)> {
    match QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, ggml(held)?)? {
        QStorage::Cpu(original) => watch(original, shape),
        _ => bail!("the matrix is not on the CPU"),
    }
}

fn watch(original: Box<dyn QuantizedType>, shape: (usize, usize)) -> Result<(QTensor, Reads)> {
    let (size, dtype) = (original.storage_size_in_bytes(), original.dtype());
    let (original, in_use, rearranged) = (Mutex::new(Some(original)), AtomicBool::new(false), AtomicUsize::new(0));
    let shared = Arc::new(Shared { original, dtype, size, in_use, rearranged });
    let tensor = QTensor::new(QStorage::Cpu(Box::new(Weights(Arc::clone(&shared)))), shape)?;
    Ok((tensor, Reads(shared)))
}

/// How a matrix is read.
pub(super) struct Reads(Arc<Shared>);

impl Reads {
    /// How often its bytes were read as a whole, to be rearranged.
    pub(super) fn rearranged(&self) -> usize {
        self.0.rearranged.load(Ordering::Relaxed)
    }
}

struct Weights(Arc<Shared>);

struct Shared {
    original: Mutex<Option<Box<dyn QuantizedType>>>,
    dtype: GgmlDType,
    /// Bytes of the original.
    size: usize,
    /// Whether a product was computed with the original.
    in_use: AtomicBool,
    /// How often its bytes were read as a whole.
    rearranged: AtomicUsize,
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
            None => bail!("these weights are only there in the form for products in f32"),
        }
    }
}

impl QuantizedType for Weights {
    fn dtype(&self) -> GgmlDType {
        self.0.dtype
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

    /// 0 once the original is dropped, so that no reader goes past [`as_ptr`](Self::as_ptr).
    fn storage_size_in_bytes(&self) -> usize {
        if self.0.original().is_some() { self.0.size } else { 0 }
    }

    /// Good for as long as the original, which is dropped in [`held_once`] alone, between two products.
    fn as_ptr(&self) -> *const u8 {
        self.0.rearranged.fetch_add(1, Ordering::Relaxed);
        // Dangling but aligned for any block when the original is gone: an empty slice may point there.
        self.0.original().as_ref().map_or(std::ptr::NonNull::<u64>::dangling().as_ptr() as *const u8, |o| o.as_ptr())
    }

    fn block_size(&self) -> usize {
        self.0.dtype.block_size()
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

    #[rstest]
    fn products_are_those_of_the_original(
        #[values(WeightType::Q8_0, WeightType::Q4K, WeightType::Q6K, WeightType::Q4_0)] held: WeightType,
        #[values(64, 40)] rows: usize,
    ) {
        let columns = 512;
        let matrix = Tensor::randn(0f32, 1.0, (rows, columns), &Device::Cpu).unwrap();
        let plain = QTensor::quantize(&matrix, ggml(held).unwrap()).unwrap();
        let storage = QStorage::from_data(plain.data().unwrap(), &Device::Cpu, ggml(held).unwrap()).unwrap();
        let once = Arc::new(held_once(storage, (rows, columns), held).unwrap());
        let plain = Arc::new(plain);
        for tokens in [1, 2, 5, 64] {
            let input = Tensor::randn(0f32, 1.0, (tokens, columns), &Device::Cpu).unwrap();
            let product =
                |weights: &Arc<QTensor>| QMatMul::QTensor(Arc::clone(weights)).forward(&input)?.to_vec2::<f32>();
            assert_eq!(product(&once).unwrap(), product(&plain).unwrap());
        }
    }
}
