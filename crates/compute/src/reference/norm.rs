//! RMS norms (<https://arxiv.org/abs/1910.07467>).

use candle_core::{Result, Tensor};
use candle_nn::ops::rms_norm;

/// A norm of rows, or of the heads within rows.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    /// `// (width)`
    pub(crate) weight: Tensor,
    pub(crate) eps: f32,
}

impl Norm {
    /// One that only norms rows of that width, in the type of these.
    pub(crate) fn plain(width: usize, eps: f32, like: &Tensor) -> Result<Self> {
        Ok(Norm { weight: Tensor::ones(width, like.dtype(), like.device())?, eps })
    }

    /// `// (.., width) → (.., width)`
    pub(crate) fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        rms_norm(rows, &self.weight, self.eps)
    }
}
