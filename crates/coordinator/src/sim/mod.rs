//! The coordinator in a world of its own: the real `accept`, fleet, planner, router and sequences, in virtual time, with
//! machines, a network and clients that are simulated, and faults that follow from a seed.
//!
//! ```text
//! seeds ─▶ scenario ─▶ world ─┬─ machine ─ worker ─ stage     what a model's tokens are: model
//!                             ├─ network, turns               how it fails: faults
//!                             └─ client                       what must not be: checks
//! ```
//! The same seed gives the same trace, to the millisecond and the line: everything runs in one thread, time goes on when
//! no task is ready, and whatever is random comes from the seed. Plans take their time too, in virtual time. `GOGRID_SEED=N`
//! runs one seed and prints what happened; `GOGRID_SEEDS=N` runs N seeds.

mod checks;
mod client;
mod faults;
mod hybrid;
mod machine;
mod model;
mod network;
mod pipe;
mod seeds;
mod stage;
mod stories;
mod turns;
mod worker;
mod world;
