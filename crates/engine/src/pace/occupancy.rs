//! What a slice costs of a GPU's time: what the device's driver makes of it.
//!
//! To the driver a device is busy while a kernel runs. A slice lasts longer: kernels are launched one by one from the
//! host, and with a small model the device stands still for half of the time in between. Charged with its length, a slice
//! costs more than the donor would find on looking, and half of what is lent is never used.
//!
//! ```text
//! executor: a slice of so many units took so long ──▶ charge: units × device time of a unit, at most its length
//! resource controller: the driver's figure, 20 times a second ──▶ observe: device time of a unit ≤ what the driver saw / units
//! ```
//! The donor's limit must not be passed while this is learned, and not when the work changes:
//!
//! - Learned is the device time of a unit, not a part of the length: kernels stay the same when the host that launches
//!   them, busy until now, gets faster. (On an H100 the part went from 0.40 to 0.67 within two minutes, while a unit took
//!   474 to 488 µs.)
//! - A prompt's later pieces look back on more than its first. Units are weighed for that ([`weight`]).
//! - Kinds of work are told apart. What is not known yet costs its whole length, unless more rows and sessions are known
//!   to cost less.
//! - Each kind answers for all that the driver saw, that of other programs included, but for what other kinds took at
//!   least. So what is learned is never too little, and close to the truth once a kind was nearly alone.
//! - The driver's figures are up to a second old. A kind answers with the fewest units of any time that they may be of,
//!   so that work that has just begun does not look light.
//! - Down it goes in small steps, and up as soon as the driver sees more than was charged.
//! - Beside other programs on the device a slice lasts as long as they let it: everything costs its length. So it does
//!   where the driver tells nothing, or less than can be.
//!
//! What is left: work that is cut up so finely that no kind is ever nearly alone costs up to its length, and a kind that
//! becomes heavier by itself (the GPU's clock falls) may pass the limit for some two seconds.

mod kind;
#[cfg(test)]
mod tests;
mod weight;
mod window;

pub(crate) use kind::Kind;
pub(crate) use weight::Weight;

use gogrid_limits::Load;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use window::{Stretch, Windows};

/// Time is cut into stretches of this length, in seconds: five looks.
const STRETCH: f64 = 0.25;
/// Stretches that are looked at together: few, so that something is learned of short work, and many, so that what lies
/// at the edges weighs little.
const WINDOWS: [usize; 2] = [8, 24];
/// Stretches by which the driver's figures lag at most.
const LAG: usize = 4;
/// The machine is sampled every 50 ms while there is work. Over a longer gap nothing is known.
const GAP: Duration = Duration::from_millis(500);
/// Step towards what windows show, each stretch: a tenth of the way is left after three to six seconds.
const STEP: f64 = 0.1;
/// More than was charged by this part of the time is no noise: a driver's figure is rounded, and a window's edge cuts
/// slices. It is also what the limit may be passed by.
const MORE: f64 = 0.03;
/// Part of what other kernels took at least, as far as is known, that is believed: that may be from before the GPU's clock
/// rose.
const SURE: f64 = 0.9;
/// A driver that sees less than this part of the slices' length does not count our work: kernels take longer than that.
/// Nor does any slice cost less. (A slice in which the host was held up costs hardly more than others.)
const BLIND: f64 = 0.1;
/// Other programs' device time within a second, in seconds, from which the device is shared: a driver's figure for us may
/// be some points below its figure for all now and then, and not be of quite the same time.
const SHARED: f64 = 0.05;
/// Between the most that a unit can take and at least this part of it as the least, the middle is the best guess.
const NARROW: f64 = 0.33;
/// Device time that is owed for units at most: a slice's.
const MOST_OWED: f64 = 0.008;
/// What was learned and not used for so long is forgotten.
const KEPT: Duration = Duration::from_secs(600);

/// What is known of a kind.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Device time of a unit, in seconds: never less than the truth, as far as can be seen.
    each: f64,
    /// And never more.
    least: f64,
    used: Duration,
}

/// What a slice costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// What has to be paid off: as much as it can have been.
    pub(super) charged: Duration,
    /// What it was, most likely.
    pub(super) busy: Duration,
}

/// What slices cost.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    known: BTreeMap<Kind, Known>,
    /// Device time of units whose slices were shorter than that: units are not alike.
    owed: f64,
    /// The oldest first.
    stretches: VecDeque<Stretch>,
    /// The one that is not over yet.
    now: Stretch,
    observed: Option<Duration>,
}

impl Occupancy {
    /// What a slice costs that took so long. `units`: by their weight.
    pub(super) fn charge(&mut self, kind: Kind, units: f64, length: Duration) -> Cost {
        if units <= 0.0 {
            return Cost { charged: length, busy: length };
        }
        let length = length.as_secs_f64();
        let covering = self.known.iter().filter(|(other, _)| other.covers(kind));
        let each = covering.map(|(_, known)| known.each).fold(f64::INFINITY, f64::min);
        let due = units * each + self.owed;
        let charged = due.clamp(BLIND * length, length);
        self.owed = if due.is_finite() { (due - charged).clamp(0.0, MOST_OWED) } else { 0.0 };
        let least = self.known.get(&kind).map_or(0.0, |known| known.least.min(each));
        let part = if least >= NARROW * each { (1.0 + least / each) / 2.0 } else { 1.0 };
        let done = self.now.done.entry(kind).or_default();
        done.units += units;
        done.length += length;
        done.charged += charged;
        let [charged, busy] = [charged, charged * part].map(Duration::from_secs_f64);
        Cost { charged, busy }
    }

    /// Takes in the device's load since the look before, as the driver tells it.
    pub(super) fn observe(&mut self, load: Option<Load>, now: Duration) {
        let since = self.observed.replace(now).map(|before| now.saturating_sub(before));
        let Some(load) = load.filter(|load| load.total.is_finite()) else {
            self.known.clear();
            return self.begin_anew();
        };
        let Some(since) = since.filter(|since| *since <= GAP) else { return self.begin_anew() };
        self.now.time += since.as_secs_f64();
        self.now.busy += f64::from(load.total) * since.as_secs_f64();
        self.now.others += f64::from(load.others()) * since.as_secs_f64();
        let second = self.stretches.iter().rev().take(LAG).chain([&self.now]);
        if second.map(|stretch| stretch.others).sum::<f64>() >= SHARED {
            self.known.clear();
            return self.begin_anew();
        }
        if self.now.time < STRETCH {
            return;
        }
        self.stretches.push_back(std::mem::take(&mut self.now));
        for length in WINDOWS {
            if let Some(first) = self.stretches.len().checked_sub(length + LAG) {
                let windows = Windows::of(&self.stretches.make_contiguous()[first..], length);
                self.learn(&windows, now);
            }
        }
        if self.stretches.len() == WINDOWS[1] + LAG {
            self.stretches.pop_front();
        }
    }

    fn learn(&mut self, windows: &Windows, now: Duration) {
        let busy = windows.busy();
        if busy < BLIND * windows.least(|_, done| done.length) {
            return self.known.clear();
        }
        let passed = busy > windows.most(|_, done| done.charged) + MORE;
        for kind in windows.kinds() {
            let elsewhere = windows.least(|other, done| match self.known.get(&other) {
                Some(known) if other.at_least(kind) == 0.0 => SURE * known.least * done.units,
                _ => 0.0,
            });
            let most = match windows.least(|other, done| other.at_least(kind) * done.units) {
                0.0 => f64::INFINITY,
                units => (busy - elsewhere).max(0.0) / units,
            };
            let least = (busy / windows.most(|other, done| done.units / kind.at_least(other))).min(most);
            if most.is_finite() {
                let whole = Known { each: windows.length(kind), least: 0.0, used: now };
                let known = self.known.entry(kind).or_insert(whole);
                known.least += STEP * (known.least.clamp(least, most) - known.least);
                known.used = now;
            } else if passed {
                // Where the driver saw it, if anywhere, is not known: it may have been anything.
                self.known.retain(|other, _| !other.covers(kind));
            }
            for (other, known) in self.known.iter_mut().filter(|(other, _)| other.covers(kind)) {
                let bound = if *other == kind { most } else { f64::INFINITY };
                match passed {
                    true => known.each = known.each.max(most),
                    false => known.each += STEP * (known.each.clamp(least, bound) - known.each),
                }
            }
        }
        self.known.retain(|_, known| now.saturating_sub(known.used) < KEPT);
    }

    /// What is under way is not learned from: something is not known of it.
    fn begin_anew(&mut self) {
        self.stretches.clear();
        self.now = Stretch::default();
    }
}
