//! The gated feed-forward network (<https://arxiv.org/abs/2002.05202>).

use super::activation::gated;
use super::linear::{Linear, Shared};
use super::weights::{Loader, Part};
use crate::LoadError;
use candle_core::{Result, Tensor};
use gogrid_model::{Activation, DenseSpec};

/// A feed-forward network of a layer.
#[derive(Debug)]
pub(crate) struct Mlp {
    gate_up: Shared,
    down: Linear,
    activation: Activation,
}

impl Mlp {
    /// Loads the network whose tensors' names begin with `of`.
    pub(crate) fn load(loader: &Loader<'_>, spec: &DenseSpec, of: &str) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| format!("{of}.{part}_proj");
        let (gate, up, fused) = (name("gate"), name("up"), name("gate_up"));
        let gate_up = match spec.fused {
            true => loader.shared(&[Part { fused: &[spec.width; 2], ..Part::new(&fused, spec.bias) }])?,
            false => loader.shared(&[Part::new(&gate, spec.bias), Part::new(&up, spec.bias)])?,
        };
        let down = loader.linear(Part::new(&name("down"), spec.bias))?;
        Ok(Mlp { gate_up, down, activation: spec.activation })
    }

    /// The first half: `// (rows, hidden) → (rows, ffn)`
    pub(crate) fn up(&self, hidden: &Tensor) -> Result<Tensor> {
        gated(&self.gate_up, hidden, self.activation)
    }

    /// The second half: `// (rows, ffn) → (rows, hidden)`
    pub(crate) fn down(&self, gated: &Tensor) -> Result<Tensor> {
        self.down.forward(gated)
    }
}
