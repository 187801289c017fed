//! Decides which machines hold which layers of a model. Pure: machines and a model in, stages and predicted times out.
//!
//! # What is minimized
//! A plan assigns contiguous layers to machines, one stage per machine. The time of one decoded token of one request is
//! a sum over the stages, in seconds:
//!
//! ```text
//! stage = hop + 2 · delay + transfers · activation bytes / bandwidth + layers · layer time (+ head time, last stage)
//! ```
//!
//! `delay` is the machine's one-way delay to the coordinator; `transfers` is how often a token's activations pass the
//! machine's link (see [`candidate_cost`]). The *cost* of a stage is that time divided by the machine's reliability
//! (the probability that it is still there in a minute): a lost machine means that answers are computed again. The plan
//! with the least total cost wins. Every stage costs a hop, so a model is split only if it does not fit fewer machines,
//! or if those are slower by more than the hop.
//!
//! # How it is searched
//! ```text
//! machines, model ─▶ problem     memory and time of a stage on each machine
//!                    ├▶ select    which machines: dynamic program over (machines, stages, ends placed, layers placed)
//!                    ├▶ partition which layers, for machines in a given order: dynamic program over (machines, layers)
//!                    └▶ search    both, then the partition that leaves most KV memory within 2 % of the least cost
//!                       ├▶ binding   why this number of stages
//!                       └▶ predict   what one request can expect
//! ```
//!
//! A stage's cost depends on its machine, its role and its number of layers, but not on its neighbours. So the order of
//! machines does not matter beyond who is first and last, and `select` is exact if all layers have the same size.
//! If layers differ in size, `select` runs twice: assuming that every stage holds the largest layers (its result always
//! fits) and assuming the smallest ones (its cost is a lower bound). [`Plan::beyond_best`] is the gap between the plan
//! and the lower bound.

mod binding;
mod candidate_cost;
mod demand;
mod device;
mod machine;
mod memory;
mod partition;
mod placement;
mod plan;
mod predict;
mod problem;
mod prune;
mod reliability;
mod repair;
mod replicas;
mod search;
mod select;
mod spares;
mod speed;
#[cfg(test)]
mod tests;

pub(crate) use demand::Demand;
pub(crate) use device::Device;
pub(crate) use machine::{Link, Machine};
pub(crate) use memory::{PREFILL_CHUNK_CPU, PREFILL_CHUNK_GPU};
pub(crate) use placement::Placement;
pub(crate) use plan::{Plan, PlanError, plan};
pub(crate) use predict::{Predicted, predict, should_move};
pub(crate) use reliability::Reliability;
pub(crate) use repair::{repair, restore};
pub(crate) use replicas::replicas;
pub(crate) use spares::spares;
pub(crate) use speed::Measured;
