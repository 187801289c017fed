//! A short causal convolution over the tokens of one sequence, for each channel by itself.

use candle_core::{Result, Tensor};

/// The weights of a convolution, in f32.
#[derive(Debug, Clone)]
pub(crate) struct ShortConv {
    /// `// (kernel, channels)`: the last row belongs to the token itself.
    pub(super) weight: Tensor,
    /// `// (channels)`
    pub(super) bias: Option<Tensor>,
}

impl ShortConv {
    /// Convolves rows in f32 `// (tokens, channels)` behind the last inputs before them `// (kernel - 1, channels)`, which
    /// are zeros at the start of a sequence. Gives the rows and the inputs of all of them: [`ShortConv::tail`] reads the
    /// last ones off. Each row is a sum of `kernel` products in one order, however the tokens come.
    pub(super) fn forward(&self, rows: &Tensor, tail: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let (tokens, channels) = rows.dims2()?;
        let kernel = self.weight.dim(0)?;
        let inputs = match tail {
            Some(tail) => Tensor::cat(&[tail, rows], 0)?,
            None => rows.pad_with_zeros(0, kernel - 1, 0)?,
        }; // (kernel - 1 + tokens, channels)
        let mut sum: Option<Tensor> = None;
        for at in 0..kernel {
            let product = inputs.narrow(0, at, tokens)?.broadcast_mul(&self.weight.get(at)?)?;
            sum = Some(match sum {
                Some(sum) => (sum + product)?,
                None => product,
            });
        }
        let Some(sum) = sum else { candle_core::bail!("a convolution of {channels} channels without a kernel") };
        let sum = match &self.bias {
            Some(bias) => sum.broadcast_add(bias)?,
            None => sum,
        };
        Ok((sum, inputs))
    }

    /// The last inputs behind this many tokens, as the next ones need them: a copy, so that the others are freed.
    pub(super) fn tail(&self, inputs: &Tensor, tokens: usize) -> Result<Tensor> {
        inputs.narrow(0, tokens, self.weight.dim(0)? - 1)?.force_contiguous()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn tokens_one_by_one_give_what_all_at_once_give() {
        let random = |shape: (usize, usize)| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
        let conv = ShortConv { weight: random((4, 6)), bias: Some(random((1, 6)).get(0).unwrap()) };
        let rows = random((9, 6));
        let (whole, _) = conv.forward(&rows, None).unwrap();
        let mut tail = None;
        for (at, tokens) in [(0, 1), (1, 1), (2, 5), (7, 2)] {
            let (found, inputs) = conv.forward(&rows.narrow(0, at, tokens).unwrap(), tail.as_ref()).unwrap();
            let expected = whole.narrow(0, at, tokens).unwrap();
            assert_eq!(found.to_vec2::<f32>().unwrap(), expected.to_vec2::<f32>().unwrap());
            tail = Some(conv.tail(&inputs, tokens).unwrap());
        }
        // By hand: the third token sees itself, two tokens before it, and nothing before those.
        let (weight, rows, bias) = (conv.weight.to_vec2::<f32>().unwrap(), rows.to_vec2::<f32>().unwrap(), conv.bias);
        let expected = weight[1][0] * rows[0][0] + weight[2][0] * rows[1][0] + weight[3][0] * rows[2][0];
        let bias = bias.unwrap().to_vec1::<f32>().unwrap()[0];
        assert!((whole.to_vec2::<f32>().unwrap()[2][0] - expected - bias).abs() < 1e-6);
    }
}
