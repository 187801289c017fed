//! What the executor asks before each slice, and tells after it.
//!
//! Two pacers hold: one for CPU time, of the whole process as the system counts it, in parts of all cores; one for the
//! GPU's time where the stage computes there, in which a slice counts as the device's driver would count it
//! ([`occupancy`]), at most from its first launch until the device has finished it. [`Paced::allow`] changes the
//! allowance; the executor sees it before its next slice.

mod claim;
mod non_preemptible;
mod occupancy;
mod pacers;

pub(crate) use claim::{Pace, Start};
pub(crate) use non_preemptible::{NonPreemptible, NonPreemptibleCount};
pub(crate) use occupancy::Kind;
pub(crate) use pacers::Paced;
