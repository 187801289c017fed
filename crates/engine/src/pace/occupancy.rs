//! What a slice costs of a GPU's time, as the device's driver would count it.
//!
//! To the driver a device is busy while a kernel runs. A slice lasts longer: the host launches kernels one by one, and with
//! a small model the device is idle for half of the time in between. If a slice cost its length, the donor would see less
//! use than is allowed, and half of what is lent would never be used.
//!
//! ```text
//! executor: a slice of some units took some time ──▶ charge: units × device time of a unit, at most its length
//! resources: the driver's figure, 20 times a second ──▶ observe: device time of a unit ≤ what the driver saw / units
//! ```
//! The donor's limit must hold while this is learned, and when the work changes:
//!
//! - The device time of a unit is learned, not a part of the length: kernels stay the same when the host that launches them
//!   gets faster. (On an H100 the part rose from 0.40 to 0.67 within two minutes, while a unit took 474 to 488 µs.)
//! - The later pieces of a prompt attend to more positions than its first. Their units weigh more, by what the back end
//!   expects of them.
//! - Kinds of work are told apart. A kind that is not known yet costs its whole length, unless a kind with more rows and
//!   sessions is known to cost less.
//! - Each kind is charged with all that the driver saw, other programs' use included, except for what other kinds took at
//!   least. So the estimate is never too low, and close to the truth once a kind was nearly alone.
//! - The driver's figures are up to a second old. A kind is charged with the fewest units of any period that they may be
//!   of, so that work that has just begun does not seem light.
//! - The estimate falls in small steps, and rises as soon as the driver sees more than was charged.
//! - With other programs on the device a slice lasts as long as they let it: everything costs its length. The same holds
//!   where the driver tells nothing, or less than can be true.
//!
//! Two errors remain. Work that is mixed so finely that no kind is ever nearly alone costs up to its length. A kind that
//! becomes heavier by itself (the GPU's clock falls) may pass the limit for about two seconds.

mod kind;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use kind::Kind;

use gogrid_limits::Load;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use window::{Stretch, Windows};

/// Time is cut into stretches of this length, in seconds: five samples.
const STRETCH: f64 = 0.25;
/// Stretches that are evaluated together: few, to learn from short work, and many, to make errors at the edges small.
const WINDOWS: [usize; 2] = [8, 24];
/// Stretches by which the driver's figures lag at most.
const LAG: usize = 4;
/// The machine is sampled every 50 ms while there is work. Nothing is learned across a longer gap.
const GAP: Duration = Duration::from_millis(500);
/// Step towards what windows show, in each stretch: a tenth of the way is left after three to six seconds.
const STEP: f64 = 0.1;
/// What the driver sees above what was charged counts from this part of the time on: below it is noise, as figures are
/// rounded and a window's edge cuts slices. The limit may be passed by as much.
const MORE: f64 = 0.03;
/// The part that is believed of the least that other kernels are known to take: it may be from before the GPU's clock
/// rose.
const SURE: f64 = 0.9;
/// A driver that sees less than this part of the slices' length does not count our work: kernels take longer than that.
/// No slice costs less either. (A slice in which the host was delayed costs hardly more than others.)
const BLIND: f64 = 0.1;
/// From this much device time of other programs within a second, in seconds, the device is shared: a driver's figure for
/// us may now and then be some points below its figure for all, and be of a slightly different time.
const SHARED: f64 = 0.05;
/// Where the least that a unit can take is at least this part of the most, the middle is the best guess.
const NARROW: f64 = 0.33;
/// The most device time that is owed for units: a slice's.
const MOST_OWED: f64 = 0.008;
/// An estimate that was not used for this time is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// What is known of a kind.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Device time of a unit, in seconds: an upper bound.
    each: f64,
    /// The same: a lower bound.
    least: f64,
    used: Duration,
}

/// What a slice costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// What is charged to the pacer: the most that it can have been.
    pub(super) charged: Duration,
    /// What it most likely was.
    pub(super) busy: Duration,
}

/// What slices cost.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    known: BTreeMap<Kind, Known>,
    /// Device time of units whose slices were shorter than it: units are not all alike.
    owed: f64,
    /// The oldest first.
    stretches: VecDeque<Stretch>,
    /// The one under way.
    now: Stretch,
    observed: Option<Duration>,
}

impl Occupancy {
    /// What a slice of this length costs. `units`: by their weight.
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

    /// Takes in the device's load since the last sample, as the driver tells it.
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
                // The driver saw more than was charged, and it may have been any kind.
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
        self.known.retain(|_, known| now.saturating_sub(known.used) < FORGET_AFTER);
    }

    /// Nothing is learned from the stretches so far: something about them is not known.
    fn begin_anew(&mut self) {
        self.stretches.clear();
        self.now = Stretch::default();
    }
}
