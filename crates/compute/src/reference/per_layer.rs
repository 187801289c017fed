//! Rows that layers get besides the residual stream: how the first stage makes them of the tokens, and how a layer is gated
//! by its own.

use super::activation::of_tensors;
use super::linear::{Linear, Weight};
use super::norm::Norm;
use super::weights::{Loader, Part};
use crate::LoadError;
use candle_core::{DType, Device, Result, Tensor};
use gogrid_model::{Activation, PerLayer, tensors};

/// What makes the rows of all layers.
#[derive(Debug)]
pub(super) struct Rows {
    table: Weight,
    matrix: Linear,
    norm: Norm,
    width: usize,
}

impl Rows {
    pub(super) fn load(loader: &Loader<'_>, spec: &PerLayer) -> std::result::Result<Self, LoadError> {
        Ok(Rows {
            table: loader.table(tensors::PER_LAYER_TABLE)?,
            matrix: loader.linear(Part::new(tensors::PER_LAYER_MATRIX, false))?,
            norm: loader.norm(tensors::PER_LAYER_NORM)?,
            width: spec.width,
        })
    }

    /// The rows of these tokens, whose embeddings are `hidden`: `// (rows, hidden) → (rows, layers × width)`
    pub(super) fn of(&self, ids: &[u32], hidden: &Tensor, device: &Device, dtype: DType) -> Result<Tensor> {
        let root = |width: usize| (width as f64).sqrt();
        let of_token = (self.table.lookup(ids, device, dtype)? * root(self.width))?;
        let (rows, all) = of_token.dims2()?;
        let projected = (self.matrix.forward(hidden)? * (1.0 / root(hidden.dim(1)?)))?;
        let projected = projected.reshape((rows, all / self.width, self.width))?;
        let both = (self.norm.forward(&projected)?.reshape((rows, all))? + of_token)?;
        both * std::f64::consts::FRAC_1_SQRT_2
    }
}

/// What gates a layer by its row.
#[derive(Debug)]
pub(super) struct Gate {
    gate: Linear,
    up: Linear,
    norm: Norm,
    activation: Activation,
}

impl Gate {
    pub(super) fn load(loader: &Loader<'_>, spec: &PerLayer, layer: usize) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, part);
        Ok(Gate {
            gate: loader.linear(Part::new(&name("per_layer_input_gate"), false))?,
            up: loader.linear(Part::new(&name("per_layer_projection"), false))?,
            norm: loader.norm(&name("post_per_layer_input_norm.weight"))?,
            activation: spec.activation,
        })
    }

    /// What is added to the residual stream `// (rows, hidden)`, of it and the layer's rows `// (rows, width)`.
    pub(super) fn forward(&self, hidden: &Tensor, own: &Tensor) -> Result<Tensor> {
        let gated = of_tensors(&self.gate.forward(hidden)?, own, self.activation)?;
        self.norm.forward(&self.up.forward(&gated)?)
    }
}
