//! Where a model's layers go. Pure: machines and a model in, stages and their predicted times out.
//!
//! The plan is the one with the least time per token of one request, `Σ compute + Σ hop`. Every stage costs a hop, so
//! that a model goes to more machines only where it does not fit fewer, or where those are slower than a hop. Of plans
//! that are equal, or nearly so, it is the one that leaves most room for sessions.
//!
//! ```text
//! machines, model ─▶ problem (what each machine holds and takes) ─┬▶ fill   which machines, how many layers each
//!                                                                 ├▶ route  the same where links differ by pair
//!                                                                 └▶ cut    which layers, in a given order
//!                    search (the best of them, and how far from the best it can be) ─▶ plan, with its binding
//! ```
//!
//! With delays that belong to machines (one way to the middle of their network) a hop's cost is a sum over machines,
//! and `fill` is exact for layers of equal size. With delays of pairs, `route` is exact for [`route::EXACT`] machines.
//! Beyond that, and for layers of different sizes, [`Plan::beyond_best`] bounds the distance from the best plan.

mod binding;
mod cut;
mod fill;
mod machine;
mod memory;
mod moves;
mod predict;
mod problem;
mod prune;
mod reliability;
mod repair;
mod route;
mod search;
mod seat;
mod spares;
mod speed;
#[cfg(test)]
mod tests;

pub(crate) use binding::Binding;
pub(crate) use machine::{Delays, Link, Machine};
pub(crate) use memory::{Memory, PREFILL_CHUNK_CPU, PREFILL_CHUNK_GPU};
pub(crate) use moves::should_move;
pub(crate) use predict::{Predicted, predict};
pub(crate) use reliability::Reliability;
pub(crate) use repair::{placed, repair};
pub(crate) use spares::{replicas, spares};
pub(crate) use speed::Measured;

use gogrid_model::{DeviceKind, Layers, Manifest, Quant};
use gogrid_wire::PeerId;
use problem::Problem;

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand<'a> {
    pub(crate) manifest: &'a Manifest,
    /// The weight type; `None` is each device's default.
    pub(crate) quant: Option<Quant>,
    /// The fewest stages.
    pub(crate) stages: usize,
    /// Sessions at once that KV memory is needed for, each with a whole context.
    pub(crate) lanes: usize,
    /// Sessions that it is wanted for, as far as memory goes.
    pub(crate) sessions: usize,
    /// The groups whose machines may serve it; all machines where there is none.
    pub(crate) groups: &'a [String],
}

impl Demand<'_> {
    fn quant(&self, kind: DeviceKind) -> Quant {
        self.quant.unwrap_or_else(|| self.manifest.default_quant(kind))
    }

    fn layers(&self) -> usize {
        self.manifest.config.layers.len()
    }

    fn allows(&self, machine: &Machine) -> bool {
        self.groups.is_empty() || machine.groups.iter().any(|group| self.groups.contains(group))
    }
}

/// One stage's place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placement {
    pub(crate) machine: PeerId,
    pub(crate) layers: Layers,
    /// Memory for KV caches, in bytes.
    pub(crate) kv_budget: u64,
    /// How many tokens, all sessions together, that is.
    pub(crate) kv_tokens: u64,
    /// What the stage takes of the machine's lent memory.
    pub(crate) memory: Memory,
    /// Of one token, its hop included.
    pub(crate) seconds_per_token: f64,
}

impl Placement {
    /// Whether it is the same stage of a model on the same machine: what is in memory there for one serves the other.
    pub(crate) fn is_same_stage(&self, other: &Self) -> bool {
        (self.machine, self.layers, self.kv_budget) == (other.machine, other.layers, other.kv_budget)
    }
}

/// Stages in order, and what to expect of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Placement>,
    pub(crate) predicted: Predicted,
    /// By how much more, as a part of it, the plan's cost may exceed the least possible: 0 where the search was exact.
    pub(crate) beyond_best: f64,
    /// What keeps the plan from being another.
    pub(crate) binding: Binding,
}

/// Why a model has no place; what the operator reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("no machine is connected")]
    NoMachines,
    #[error("no machine of the groups {} is connected", .0.join(", "))]
    NoGroup(Vec<String>),
    #[error("{wanted} stages are asked for, but only {connected} machines are connected")]
    TooFewMachines { wanted: usize, connected: usize },
    #[error("{wanted} stages are asked for, but the model has {layers} layers")]
    TooFewLayers { wanted: usize, layers: usize },
    #[error(
        "the model needs about {} MiB with the KV memory of {lanes} whole contexts and a fifth of headroom, and the {machines} connected machines lend {} MiB, which no cut of its layers fits",
        needed >> 20, lent >> 20
    )]
    NoRoom { needed: u64, lanes: usize, lent: u64, machines: usize },
}

/// Places one model.
pub(crate) fn plan(demand: &Demand<'_>, machines: &[Machine], delays: &Delays) -> Result<Plan, PlanError> {
    let (layers, wanted) = (demand.layers(), demand.stages.max(1));
    if machines.is_empty() {
        return Err(PlanError::NoMachines);
    }
    if wanted > layers {
        return Err(PlanError::TooFewLayers { wanted, layers });
    }
    let problem = Problem::new(demand, machines);
    let connected = problem.machines.len();
    if connected == 0 {
        return Err(PlanError::NoGroup(demand.groups.to_vec()));
    }
    if wanted > connected {
        return Err(PlanError::TooFewMachines { wanted, connected });
    }
    let found = search::best(&problem, delays).ok_or_else(|| PlanError::NoRoom {
        needed: problem.need(0, Layers::all(layers)),
        lanes: demand.lanes.max(1),
        lent: problem.machines.iter().map(|machine| machine.free).sum(),
        machines: connected,
    })?;
    let binding = Binding::of(&problem, delays, &found);
    let ranges = cut::ranges(&found.ends);
    let stages: Vec<_> = found.order.iter().zip(ranges).map(|(at, layers)| problem.place(*at, layers)).collect();
    let predicted = predict::of(&problem, delays, &found.order, &found.ends);
    Ok(Plan { stages, predicted, beyond_best: found.cost / found.least_possible - 1.0, binding })
}
