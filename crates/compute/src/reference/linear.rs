//! Matrices that multiply rows, and the embedding table.

use super::blocks::Blocks;
use super::weights::dequantized;
use crate::cpu::{Matrix, Quantized};
use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{D, DType, Device, Module, Result, Tensor};
use std::sync::Arc;

/// The weights of a matrix, `// (out, in)`.
#[derive(Debug, Clone)]
pub(crate) enum Weight {
    Dense(Tensor),
    Quantized(Arc<QTensor>),
    /// For products on the CPU.
    Matrix(Arc<Matrix>),
    Blocks(Arc<Blocks>),
}

impl Weight {
    /// `rows × weightᵀ`; rows `// (rows, in)`, contiguous.
    fn product(&self, rows: &Tensor) -> Result<Tensor> {
        match self {
            Weight::Dense(tensor) => rows.matmul(&tensor.t()?),
            Weight::Quantized(tensor) => QMatMul::QTensor(Arc::clone(tensor)).forward(rows),
            Weight::Matrix(matrix) => matrix.product(&Quantized::of(rows)?)?.to_dtype(rows.dtype()),
            Weight::Blocks(blocks) => blocks.product(rows),
        }
    }

    /// The rows with these ids, in the type that the stage computes in. `// (ids) → (ids, in)`
    pub(crate) fn lookup(&self, ids: &[u32], device: &Device, dtype: DType) -> Result<Tensor> {
        let rows = match self {
            Weight::Dense(table) => table.index_select(&Tensor::new(ids, device)?, 0)?,
            Weight::Quantized(table) => table.embedding(&Tensor::new(ids, device)?)?,
            Weight::Matrix(table) => {
                let shape = (ids.len(), table.columns());
                Tensor::from_vec(dequantized(table.dtype(), shape.1, &table.bytes(ids)?)?, shape, device)?
            }
            Weight::Blocks(table) => table.lookup(ids)?,
        };
        rows.to_dtype(dtype)
    }
}

/// A matrix with or without a bias, or several that multiply the same rows and were put on top of one another.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weight: Weight,
    pub(crate) bias: Option<Tensor>,
}

impl Linear {
    /// `// (rows, in) → (rows, out)`
    pub(crate) fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        let product = self.weight.product(rows)?;
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }
}

/// Matrices that multiply the same rows: q, k and v, or gate and up. Neighbours of one type are one product, which
/// saves reading the rows again, and on a GPU launching a kernel.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// Each product with the widths of its parts.
    pub(crate) products: Vec<(Linear, Vec<usize>)>,
}

impl Shared {
    /// The parts' results in order, each `// (rows, out)`; they may be views into one another's memory.
    pub(crate) fn forward(&self, rows: &Tensor) -> Result<Vec<Tensor>> {
        let mut parts = Vec::new();
        for (linear, widths) in &self.products {
            let product = linear.forward(rows)?;
            let mut start = 0;
            for &width in widths {
                parts.push(product.narrow(D::Minus1, start, width)?);
                start += width;
            }
        }
        Ok(parts)
    }

    /// The result as one tensor `// (rows, sum of outs)`, if it is one product.
    pub(crate) fn forward_whole(&self, rows: &Tensor) -> Option<Result<Tensor>> {
        match self.products.as_slice() {
            [(linear, _)] => Some(linear.forward(rows)),
            _ => None,
        }
    }
}
