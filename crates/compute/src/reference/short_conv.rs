//! A short convolution between two gates, the mixer of most of LFM2's layers (<https://arxiv.org/abs/2511.23404>).

use super::attend::Step;
use super::conv::ShortConv;
use super::linear::Linear;
use super::recurrence::State;
use super::weights::{Loader, Part};
use crate::LoadError;
use candle_core::{DType, Result, Tensor};
use gogrid_model::{ShortConvSpec, tensors};

/// One layer's mixer.
#[derive(Debug)]
pub(crate) struct GatedConv {
    /// Index of the layer within the stage.
    index: usize,
    /// The input's gate, the output's gate and the input, on top of one another.
    input: Linear,
    conv: ShortConv,
    output: Linear,
}

impl GatedConv {
    /// Loads the mixer of a layer; `index` is its place within the stage.
    pub(crate) fn load(
        loader: &Loader<'_>,
        spec: &ShortConvSpec,
        layer: usize,
        index: usize,
    ) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, &format!("conv.{part}"));
        Ok(GatedConv {
            index,
            input: loader.linear(Part::new(&name("in_proj"), spec.bias))?,
            conv: loader.short_conv(&name("conv"), spec.bias)?,
            output: loader.linear(Part::new(&name("out_proj"), spec.bias))?,
        })
    }

    /// `// (rows, hidden) → (rows, hidden)`
    pub(crate) fn forward(&self, hidden: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let rows = self.input.forward(hidden)?;
        let dtype = rows.dtype();
        let width = rows.dim(1)? / 3;
        let part = |at: usize| rows.narrow(1, at * width, width);
        let gated = (part(0)? * part(2)?)?.to_dtype(DType::F32)?;
        let mut convolved = Vec::with_capacity(step.spans.len());
        let mut start = 0;
        for span in step.spans {
            let begun = step.recurrences.begin(span.session, self.index, span.position, span.tokens)?;
            let rows = gated.narrow(0, start, span.tokens)?;
            let (rows, inputs) = self.conv.forward(&rows, begun.state.as_ref().map(|state| &state.tail))?;
            let state = |tokens: &usize| Ok(State { tail: self.conv.tail(&inputs, *tokens)?, matrix: None });
            let states = begun.wanted.iter().map(state).collect::<Result<_>>()?;
            step.recurrences.put(span.session, self.index, &begun.wanted, states)?;
            convolved.push(rows);
            start += span.tokens;
        }
        let convolved = Tensor::cat(&convolved, 0)?.to_dtype(dtype)?;
        self.output.forward(&(part(1)? * convolved)?)
    }
}
