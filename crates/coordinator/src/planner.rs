//! Where a model's layers go. Pure: machines and a model in, stages out.
//!
//! Split only what does not fit: the fewest machines whose lent memory holds weights, KV memory for one whole context
//! and workspace of their layers (or as many stages as the operator asked for). Layers are cut contiguously such that
//! the fullest machine is as little full as can be.

use gogrid_model::{DeviceSpec, Layers, Manifest, Quant};
use gogrid_wire::PeerId;

/// Memory of a stage beside weights and KV: activations of a prefill chunk, and what the runtime holds.
const WORKSPACE: u64 = 32 << 20;

/// A machine that stages can go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) id: PeerId,
    pub(crate) device: DeviceSpec,
    /// Lent memory that no other stage has, in bytes.
    pub(crate) free: u64,
}

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand<'a> {
    pub(crate) manifest: &'a Manifest,
    /// The weight type; `None` is each device's default.
    pub(crate) quant: Option<Quant>,
    /// The fewest stages.
    pub(crate) stages: usize,
    /// Sessions at once that KV memory is wanted for, each with a whole context; at least one is needed.
    pub(crate) sessions: usize,
}

/// One stage's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) machine: PeerId,
    pub(crate) layers: Layers,
    /// Memory for KV caches, in bytes.
    pub(crate) kv_budget: u64,
    /// How many tokens, all sessions together, that is.
    pub(crate) kv_tokens: u64,
    /// Weights, KV and workspace, in bytes.
    pub(crate) bytes: u64,
}

/// Why a model has no place; what the operator reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("no machine is connected")]
    NoMachines,
    #[error("{wanted} stages are asked for, but only {connected} machines are connected")]
    TooFewMachines { wanted: usize, connected: usize },
    #[error("{wanted} stages are asked for, but the model has {layers} layers")]
    TooFewLayers { wanted: usize, layers: usize },
    #[error(
        "the model needs about {} MiB with one context of KV memory, and the {machines} connected machines lend {} MiB, which no cut of its layers fits",
        needed >> 20, lent >> 20
    )]
    NoRoom { needed: u64, lent: u64, machines: usize },
}

impl Demand<'_> {
    fn quant(&self, machine: &Machine) -> Quant {
        self.quant.unwrap_or_else(|| self.manifest.default_quant(machine.device.kind()))
    }

    fn weights(&self, machine: &Machine, layers: Layers) -> u64 {
        self.manifest.stage_bytes(layers, self.quant(machine), machine.device.kind())
    }

    fn kv_per_token(&self, machine: &Machine, layers: Layers) -> u64 {
        let compute = self.manifest.compute_type(layers, self.quant(machine), machine.device.kind());
        self.manifest.config.kv_bytes_per_token(layers.len(), compute)
    }

    /// The least that the stage takes: with KV memory for one context.
    fn least(&self, machine: &Machine, layers: Layers) -> u64 {
        let context = self.manifest.config.context_length as u64;
        self.weights(machine, layers) + self.kv_per_token(machine, layers).saturating_mul(context) + WORKSPACE
    }
}

/// Places one model.
pub(crate) fn plan(demand: &Demand<'_>, machines: &[Machine]) -> Result<Vec<Placement>, PlanError> {
    let layers = demand.manifest.config.layers;
    let wanted = demand.stages.max(1);
    if machines.is_empty() {
        return Err(PlanError::NoMachines);
    }
    if wanted > layers {
        return Err(PlanError::TooFewLayers { wanted, layers });
    }
    if wanted > machines.len() {
        return Err(PlanError::TooFewMachines { wanted, connected: machines.len() });
    }
    let mut machines = machines.to_vec();
    machines.sort_by_key(|machine| (std::cmp::Reverse(machine.free), machine.id));
    (wanted..=machines.len().min(layers))
        .find_map(|stages| {
            let chosen = &machines[..stages];
            let ends = cut(layers, chosen, |machine, layers| demand.least(machine, layers))?;
            Some(place(demand, chosen, &ends))
        })
        .ok_or_else(|| PlanError::NoRoom {
            needed: demand.least(&machines[0], Layers { start: 0, end: layers }),
            lent: machines.iter().map(|machine| machine.free).sum(),
            machines: machines.len(),
        })
}

/// The ends of each machine's layers such that the largest share of a machine's memory is smallest; `None` where some
/// machine would overflow however they are cut. Dynamic programming over (machines, layers), O(machines · layers²).
fn cut(layers: usize, machines: &[Machine], bytes: impl Fn(&Machine, Layers) -> u64) -> Option<Vec<usize>> {
    // best[end] = (largest share so far, where each stage ended) for layers 0..end on the machines seen so far
    let mut best: Vec<Option<(f64, Vec<usize>)>> = vec![None; layers + 1];
    best[0] = Some((0.0, Vec::new()));
    for machine in machines {
        let mut next: Vec<Option<(f64, Vec<usize>)>> = vec![None; layers + 1];
        for end in 1..=layers {
            for (start, before) in best[..end].iter().enumerate() {
                let Some((share, ends)) = before else { continue };
                let share = share.max(bytes(machine, Layers { start, end }) as f64 / machine.free.max(1) as f64);
                if share <= 1.0 && next[end].as_ref().is_none_or(|(found, _)| share < *found) {
                    next[end] = Some((share, ends.iter().copied().chain([end]).collect()));
                }
            }
        }
        best = next;
    }
    best.pop().flatten().map(|(_, ends)| ends)
}

fn place(demand: &Demand<'_>, machines: &[Machine], ends: &[usize]) -> Vec<Placement> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    let context = demand.manifest.config.context_length as u64;
    let wish = context.saturating_mul(demand.sessions.max(1) as u64);
    machines
        .iter()
        .zip(starts.zip(ends))
        .map(|(machine, (start, end))| {
            let layers = Layers { start, end: *end };
            let weights = demand.weights(machine, layers);
            let per_token = demand.kv_per_token(machine, layers).max(1);
            let kv_tokens = wish.min(machine.free.saturating_sub(weights + WORKSPACE) / per_token);
            let kv_budget = kv_tokens * per_token;
            Placement { machine: machine.id, layers, kv_budget, kv_tokens, bytes: weights + kv_budget + WORKSPACE }
        })
        .collect()
}
