//! Matrices of types that candle has no products for. They lie in memory as in the file; a product dequantizes one row at
//! a time, so that a model takes what its file does.

use super::dequantize;
use candle_core::{DType, Device, Result, Tensor, bail};
use gogrid_model::WeightType;
use rayon::prelude::*;

/// Rows of the matrix that one thread multiplies at a time: enough that handing them out costs nothing.
const ROWS: usize = 16;
/// Sums of a product that are kept side by side, for the processor's vector instructions.
const LANES: usize = 16;

/// A matrix `// (out, in)` on the CPU.
#[derive(Debug)]
pub(crate) struct Blocks {
    dtype: WeightType,
    rows: usize,
    columns: usize,
    words: Vec<u32>,
}

impl Blocks {
    /// The matrix whose bytes these words are.
    pub(crate) fn new(dtype: WeightType, (rows, columns): (usize, usize), words: Vec<u32>) -> Self {
        Blocks { dtype, rows, columns, words }
    }

    /// Writes one row's values.
    fn row(&self, row: usize, target: &mut [f32]) {
        let bytes = self.columns / self.dtype.block_elements() * self.dtype.block_bytes();
        let all: &[u8] = bytemuck::cast_slice(&self.words);
        dequantize::values(self.dtype, &all[row * bytes..(row + 1) * bytes], target);
    }

    /// `rows × weightᵀ`, `// (rows, in) → (rows, out)`. A row's result does not depend on the others.
    pub(crate) fn product(&self, rows: &Tensor) -> Result<Tensor> {
        let (count, columns) = rows.dims2()?;
        if columns != self.columns {
            bail!("rows of {columns} elements are multiplied with a matrix of {} columns", self.columns);
        }
        let input = rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut products = vec![0.0; self.rows * count]; // (out, rows)
        products.par_chunks_mut(ROWS * count.max(1)).enumerate().for_each(|(part, products)| {
            let mut weights = vec![0.0; columns];
            for (row, products) in products.chunks_exact_mut(count.max(1)).enumerate() {
                self.row(part * ROWS + row, &mut weights);
                for (product, input) in products.iter_mut().zip(input.chunks_exact(columns)) {
                    *product = dot(&weights, input);
                }
            }
        });
        let products = match count {
            1 => Tensor::from_vec(products, (1, self.rows), &Device::Cpu)?,
            _ => Tensor::from_vec(products, (self.rows, count), &Device::Cpu)?.t()?.contiguous()?,
        };
        products.to_dtype(rows.dtype())
    }

    /// The rows with these ids, in f32. `// (ids) → (ids, in)`
    pub(crate) fn lookup(&self, ids: &[u32]) -> Result<Tensor> {
        let mut values = vec![0.0; ids.len() * self.columns];
        for (id, target) in ids.iter().zip(values.chunks_exact_mut(self.columns)) {
            match *id as usize {
                row if row < self.rows => self.row(row, target),
                row => bail!("row {row} of a table of {}", self.rows),
            }
        }
        Tensor::from_vec(values, (ids.len(), self.columns), &Device::Cpu)
    }
}

/// The sum of products, always in the same order.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of IQ4_NL blocks with any codes.
    fn matrix(rows: usize, columns: usize) -> Blocks {
        let bytes = |at: usize| match at % 18 {
            0 => 0,
            1 => 0x2c, // 0.0625 as f16
            _ => (at * 37 % 251) as u8,
        };
        let size = rows * columns / 32 * 18;
        let bytes: Vec<u8> = (0..size.next_multiple_of(4)).map(bytes).collect();
        Blocks::new(WeightType::Iq4Nl, (rows, columns), bytemuck::pod_collect_to_vec(&bytes))
    }

    #[test]
    fn products_are_those_of_the_values_and_rows_do_not_depend_on_one_another() {
        let (rows, columns) = (37, 96);
        let blocks = matrix(rows, columns);
        let all: Vec<u32> = (0..rows as u32).collect();
        let values = blocks.lookup(&all).unwrap();
        let input = Tensor::randn(0f32, 1.0, (5, columns), &Device::Cpu).unwrap();
        let expected = input.matmul(&values.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
        let found = blocks.product(&input).unwrap().to_vec2::<f32>().unwrap();
        for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?} {expected:?}");
            let alone = blocks.product(&input.narrow(0, row, 1).unwrap()).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(&alone[0], found);
        }
    }

    #[test]
    fn a_row_that_is_not_there_is_an_error() {
        assert!(matrix(2, 32).lookup(&[2]).is_err());
        assert!(matrix(2, 32).product(&Tensor::zeros((1, 64), DType::F32, &Device::Cpu).unwrap()).is_err());
    }
}
