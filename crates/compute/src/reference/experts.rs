//! A mixture of experts: only the experts that the router chooses for a row are computed, each once for all its rows.

use super::activation::gated;
use super::linear::{Linear, Shared};
use super::mlp::Mlp;
use super::router::choose;
use super::weights::Loader;
use crate::LoadError;
use candle_core::{DType, Result, Tensor};
use candle_nn::ops::sigmoid;
use gogrid_model::{Activation, ExpertsSpec, RouterSpec, tensors};

/// One layer's experts.
#[derive(Debug)]
pub(crate) struct Experts {
    router: Linear,
    routing: RouterSpec,
    /// What is added to the scores to choose by, one for each expert; empty where nothing is.
    choice: Vec<f32>,
    experts: Vec<Expert>,
    activation: Activation,
    /// The network that every row goes through, and the matrix of its gate.
    shared: Option<(Mlp, Option<Linear>)>,
}

/// One expert's matrices.
#[derive(Debug)]
pub(crate) struct Expert {
    pub(crate) gate_up: Shared,
    pub(crate) down: Linear,
}

/// What the experts have between their halves.
#[derive(Debug)]
pub(crate) struct Routed {
    /// Experts with the inner rows of their rows, `// (rows of the expert, width)`.
    inner: Vec<(usize, Tensor)>,
    /// Where each row's experts are among all inner rows, `// (rows × used)`.
    places: Tensor,
    /// How much they count, `// (rows, used, 1)`.
    shares: Tensor,
    /// The shared network's inner rows `// (rows, width)`, and how much it counts `// (rows, 1)`.
    shared: Option<(Tensor, Option<Tensor>)>,
}

impl Experts {
    pub(crate) fn load(loader: &Loader<'_>, spec: &ExpertsSpec, layer: usize) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, part);
        let shared = match &spec.shared {
            Some(shared) => {
                let mlp = Mlp::load(loader, &shared.network(spec.activation), &name("mlp.shared_expert"))?;
                let gate = shared.gate.then(|| loader.plain(&name("mlp.shared_expert_gate"), false)).transpose()?;
                Some((mlp, gate))
            }
            None => None,
        };
        Ok(Experts {
            router: loader.plain(&name("mlp.gate"), spec.router.bias)?,
            routing: spec.router.clone(),
            choice: match spec.router.choice_bias {
                true => loader.numbers(&name("mlp.gate.e_score_correction_bias"))?,
                false => Vec::new(),
            },
            experts: loader.experts(spec, layer)?,
            activation: spec.activation,
            shared,
        })
    }

    /// Routing and the first half: `// (rows, hidden)`
    pub(crate) fn up(&self, hidden: &Tensor) -> Result<Routed> {
        let device = hidden.device();
        let products: Vec<Vec<f32>> = self.router.forward(hidden)?.to_dtype(DType::F32)?.to_vec2()?;
        let rows = products.len();
        let chosen: Vec<_> = products.iter().map(|row| choose(&self.routing, row, &self.choice)).collect();
        let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); self.experts.len()];
        for (row, chosen) in (0u32..).zip(&chosen) {
            chosen.iter().for_each(|chosen| rows_of[chosen.expert].push(row));
        }
        let mut inner = Vec::new();
        let mut next = Vec::with_capacity(rows_of.len());
        let mut start = 0;
        for (at, (expert, rows_of)) in self.experts.iter().zip(&rows_of).enumerate() {
            next.push(start);
            start += rows_of.len() as u32;
            if rows_of.is_empty() {
                continue;
            }
            let taken = match rows_of.len() == rows {
                true => hidden.clone(),
                false => hidden.index_select(&Tensor::new(rows_of.as_slice(), device)?, 0)?,
            };
            inner.push((at, gated(&expert.gate_up, &taken, self.activation)?));
        }
        let (mut places, mut shares) = (Vec::new(), Vec::new());
        for chosen in chosen.iter().flatten() {
            places.push(next[chosen.expert]);
            next[chosen.expert] += 1;
            shares.push(chosen.share);
        }
        let shares = Tensor::from_vec(shares, (rows, self.routing.used, 1), device)?.to_dtype(hidden.dtype())?;
        let shared = match &self.shared {
            Some((mlp, gate)) => {
                let gate = gate.as_ref().map(|gate| sigmoid(&gate.forward(hidden)?)).transpose()?;
                Some((mlp.up(hidden)?, gate))
            }
            None => None,
        };
        Ok(Routed { inner, places: Tensor::new(places, device)?, shares, shared })
    }

    /// The second half: `// → (rows, hidden)`. A row's experts are added in the order of their scores, whatever other
    /// rows are computed with it.
    pub(crate) fn down(&self, routed: &Routed) -> Result<Tensor> {
        let results = routed.inner.iter().map(|(expert, inner)| self.experts[*expert].down.forward(inner));
        let results = Tensor::cat(&results.collect::<Result<Vec<_>>>()?, 0)?; // (rows × used, hidden)
        let (rows, used, _) = routed.shares.dims3()?;
        let width = results.dim(1)?;
        let by_row = results.index_select(&routed.places, 0)?.reshape((rows, used, width))?;
        let mixed = by_row.broadcast_mul(&routed.shares)?.sum(1)?;
        match (&self.shared, &routed.shared) {
            (Some((mlp, _)), Some((inner, gate))) => {
                let shared = mlp.down(inner)?;
                mixed + gate.as_ref().map_or(Ok(shared.clone()), |gate| shared.broadcast_mul(gate))?
            }
            _ => Ok(mixed),
        }
    }
}
