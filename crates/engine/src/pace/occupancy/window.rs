//! What was done and what the driver saw within some time.

use super::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Work of one kind.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Done {
    pub(super) units: f64,
    /// Length of its slices, in seconds.
    pub(super) length: f64,
    /// What they were charged, in seconds.
    pub(super) charged: f64,
}

/// Some time, in seconds.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    pub(super) time: f64,
    /// The part in which the driver saw the device busy.
    pub(super) busy: f64,
    /// The part of other programs alone.
    pub(super) others: f64,
    pub(super) done: BTreeMap<Kind, Done>,
}

/// Windows of several stretches, each one stretch later than the one before. What the driver said in the latest is true of
/// one of them, or of a time in between. All figures are for one second.
pub(super) struct Windows(Vec<Stretch>);

impl Windows {
    /// All windows of `length` stretches.
    pub(super) fn of(stretches: &[Stretch], length: usize) -> Self {
        Self(stretches.windows(length).map(mean).collect())
    }

    /// What the driver saw in the latest window.
    pub(super) fn busy(&self) -> f64 {
        self.0.last().map_or(0.0, |latest| latest.busy)
    }

    /// The kinds of work in any of them.
    pub(super) fn kinds(&self) -> BTreeSet<Kind> {
        self.0.iter().flat_map(|window| window.done.keys()).copied().collect()
    }

    /// The time of a unit of a kind in the window with the longest slices.
    pub(super) fn length(&self, kind: Kind) -> f64 {
        let all = self.0.iter().filter_map(|window| window.done.get(&kind));
        all.map(|done| done.length / done.units).fold(0.0, f64::max)
    }

    /// The sum over all kinds, in the window in which it is largest.
    pub(super) fn most(&self, of: impl Fn(Kind, &Done) -> f64) -> f64 {
        self.sums(of).fold(0.0, f64::max)
    }

    /// The sum over all kinds, in the window in which it is smallest.
    pub(super) fn least(&self, of: impl Fn(Kind, &Done) -> f64) -> f64 {
        self.sums(of).fold(f64::INFINITY, f64::min)
    }

    fn sums(&self, of: impl Fn(Kind, &Done) -> f64) -> impl Iterator<Item = f64> {
        self.0.iter().map(move |window| window.done.iter().map(|(kind, done)| of(*kind, done)).sum())
    }
}

fn mean(stretches: &[Stretch]) -> Stretch {
    let time: f64 = stretches.iter().map(|stretch| stretch.time).sum();
    let mut done = BTreeMap::<Kind, Done>::new();
    for (kind, part) in stretches.iter().flat_map(|stretch| &stretch.done) {
        let sum = done.entry(*kind).or_default();
        sum.units += part.units / time;
        sum.length += part.length / time;
        sum.charged += part.charged / time;
    }
    let second = |of: fn(&Stretch) -> f64| stretches.iter().map(of).sum::<f64>() / time;
    Stretch { time: 1.0, busy: second(|stretch| stretch.busy), others: second(|stretch| stretch.others), done }
}
