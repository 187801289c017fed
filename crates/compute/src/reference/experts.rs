//! A mixture of experts: only the experts that the router chooses for a row are computed, each once for all its rows.

use super::activation::gated;
use super::linear::{Linear, Shared};
use super::mlp::Mlp;
use super::norm::Norm;
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
    /// What experts that stand beside the shared network have of their own.
    beside: Option<Beside>,
    /// The network that every row goes through, and the matrix of its gate.
    shared: Option<(Mlp, Option<Linear>)>,
}

/// One expert's matrices.
#[derive(Debug)]
pub(crate) struct Expert {
    pub(crate) gate_up: Shared,
    pub(crate) down: Linear,
}

/// Norms and factors of experts that stand beside the shared network.
#[derive(Debug)]
struct Beside {
    /// Of the rows that the router's matrix multiplies, which are those of the residual stream.
    router: Norm,
    /// What each expert's share is multiplied by.
    factors: Vec<f32>,
    /// Of the rows that experts take, and of what they and the shared network give.
    before: Norm,
    after: Norm,
    shared_after: Norm,
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
            beside: if spec.beside { Some(Beside::load(loader, layer)?) } else { None },
            activation: spec.activation,
            shared,
        })
    }

    /// Routing and the first half, of the residual stream before and behind the norm: `// (rows, hidden)` each
    pub(crate) fn up(&self, stream: &Tensor, normed: &Tensor) -> Result<Routed> {
        let device = normed.device();
        let (routed, hidden) = match &self.beside {
            None => (normed.clone(), normed.clone()),
            Some(beside) => (beside.router.forward(stream)?, beside.before.forward(stream)?),
        };
        let products: Vec<Vec<f32>> = self.router.forward(&routed)?.to_dtype(DType::F32)?.to_vec2()?;
        let rows = products.len();
        let mut chosen: Vec<_> = products.iter().map(|row| choose(&self.routing, row, &self.choice)).collect();
        if let Some(beside) = &self.beside {
            chosen.iter_mut().flatten().for_each(|chosen| chosen.share *= beside.factors[chosen.expert]);
        }
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
                let gate = gate.as_ref().map(|gate| sigmoid(&gate.forward(normed)?)).transpose()?;
                Some((mlp.up(normed)?, gate))
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
        let mut mixed = by_row.broadcast_mul(&routed.shares)?.sum(1)?;
        if let Some(beside) = &self.beside {
            mixed = beside.after.forward(&mixed)?;
        }
        match (&self.shared, &routed.shared) {
            (Some((mlp, _)), Some((inner, gate))) => {
                let mut shared = mlp.down(inner)?;
                if let Some(beside) = &self.beside {
                    shared = beside.shared_after.forward(&shared)?;
                }
                mixed + gate.as_ref().map_or(Ok(shared.clone()), |gate| shared.broadcast_mul(gate))?
            }
            _ => Ok(mixed),
        }
    }
}

impl Beside {
    fn load(loader: &Loader<'_>, layer: usize) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, &format!("mlp.{part}"));
        let scale = 1.0 / (loader.config().hidden_size as f32).sqrt();
        let router = loader.numbers(&name("gate.scale"))?.into_iter().map(|weight| weight * scale).collect();
        Ok(Beside {
            router: Norm { weight: loader.vector(router)?, eps: loader.config().norm_eps as f32 },
            factors: loader.numbers(&name("gate.per_expert_scale"))?,
            before: loader.norm(&name("experts_before.weight"))?,
            after: loader.norm(&name("experts_after.weight"))?,
            shared_after: loader.norm(&name("shared_expert_after.weight"))?,
        })
    }
}
