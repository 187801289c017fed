//! Matrices that multiply rows.

use super::kernel::{Kernel, Out, Work, kernel};
use super::layout::{ROWS, interleave, row};
use super::rows::Quantized;
use candle_core::utils::barrier_pool;
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};
use gogrid_model::WeightType;
use rayon::prelude::*;

/// A quantized matrix `// (out, in)`.
pub(crate) struct Matrix {
    dtype: WeightType,
    rows: usize,
    columns: usize,
    /// Groups of 16 rows, the last one filled up with zeros.
    words: Vec<u32>,
    kernel: Kernel,
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Matrix({}, {} × {})", self.dtype, self.rows, self.columns)
    }
}

impl Matrix {
    /// The matrix whose rows are the bytes of these words, with zeros behind them up to a multiple of 16 rows. They are put
    /// in order where they are.
    ///
    /// # Errors
    /// The type has no kernel, or there are fewer words.
    pub(crate) fn new(dtype: WeightType, (rows, columns): (usize, usize), mut words: Vec<u32>) -> Result<Self> {
        let Some(kernel) = kernel(dtype) else { bail!("there is no kernel for {dtype}") };
        let group = ROWS * dtype.bytes_of(&[columns]).unwrap_or(0) as usize;
        let size = rows.div_ceil(ROWS) * group;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let Some(bytes) = bytes.get_mut(..size).filter(|_| group > 0) else {
            bail!("a matrix of {rows} × {columns} in {dtype} with too few bytes");
        };
        bytes.par_chunks_exact_mut(group).for_each_init(Vec::new, |spare, group| interleave(dtype, group, spare));
        Ok(Matrix { dtype, rows, columns, words, kernel })
    }

    /// Bytes of a group.
    fn group(&self) -> usize {
        ROWS * (self.columns / self.dtype.block_elements()) * self.dtype.block_bytes()
    }

    /// `rows × weightᵀ`, `// (rows, in) → (rows, out)`, in f32.
    pub(crate) fn product(&self, rows: &Quantized) -> Result<Tensor> {
        if rows.columns != self.columns {
            bail!("rows of {} elements are multiplied with a matrix of {} columns", rows.columns, self.columns);
        }
        let products = self.multiply(rows, self.kernel);
        Tensor::from_vec(products, (rows.rows, self.rows), &Device::Cpu)
    }

    pub(super) fn multiply(&self, rows: &Quantized, kernel: Kernel) -> Vec<f32> {
        let mut products = vec![0f32; rows.rows * self.rows];
        let work = Work {
            weights: bytemuck::cast_slice(&self.words),
            group: self.group(),
            rows,
            out: Out::new(&mut products, self.rows),
        };
        // candle's pool: as many threads as are lent, and none but this one within `Threads::One`.
        barrier_pool().execute_chunked(self.rows.div_ceil(ROWS), |groups| kernel(&work, groups));
        products
    }

    /// The bytes of the rows with these ids, as in the file.
    pub(crate) fn bytes(&self, ids: &[u32]) -> Result<Vec<u8>> {
        let (group, row_bytes) = (self.group(), self.group() / ROWS);
        let all: &[u8] = bytemuck::cast_slice(&self.words);
        let mut bytes = vec![0; ids.len() * row_bytes];
        for (id, target) in ids.iter().zip(bytes.chunks_exact_mut(row_bytes)) {
            match *id as usize {
                id if id < self.rows => row(self.dtype, &all[id / ROWS * group..][..group], id % ROWS, target),
                id => bail!("row {id} of a table of {}", self.rows),
            }
        }
        Ok(bytes)
    }

    pub(crate) fn dtype(&self) -> WeightType {
        self.dtype
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }
}

impl Quantized {
    /// Of a tensor `// (rows, columns)`.
    ///
    /// # Errors
    /// It is not on the CPU.
    pub(crate) fn of(rows: &Tensor) -> Result<Self> {
        let (_, columns) = rows.dims2()?;
        let rows = rows.to_dtype(DType::F32)?.contiguous()?;
        let (storage, layout) = rows.storage_and_layout();
        let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (&*storage, layout.contiguous_offsets())
        else {
            bail!("rows for the CPU's products are elsewhere");
        };
        Ok(Quantized::new(&values[start..end], columns))
    }
}
