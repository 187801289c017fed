use crate::Share;
use std::time::Duration;

/// How long the level stays down after load, heat or a full screen. Bridges the pauses of a build between two files and
/// of a call between two sentences.
const HOLD: Duration = Duration::from_secs(5);
/// The longest hold, however often the load comes back: a machine that is calm for a minute may be used.
const MAX_HOLD: Duration = Duration::from_secs(60);
/// A hold was too short if the load comes back within this time after its end: the next hold is twice as long.
const RELAPSE_WINDOW: Duration = Duration::from_secs(60);
/// One step up, in thousandths of the device: too small to be felt.
const STEP: u16 = 100;
/// Time between two steps. A user disturbed by the last step shows up in a sample before the next one, even at one sample a
/// second. From nothing to everything takes 20 s.
const INTERVAL: Duration = Duration::from_secs(2);

/// The part of a device's time that the rules leave, as a rate limiter with hysteresis: down at once, up step by step
/// after a hold.
///
/// A level of [`Share::FULL`] means that no rule takes anything. The caller applies the donor's cap, so that a change of
/// it takes effect at once; a target at or above the cap is passed as [`Share::FULL`].
#[derive(Debug)]
pub(super) struct Ramp {
    level: Share,
    /// When the next step up may come.
    next_step: Duration,
    hold: Duration,
    /// When the hold ends.
    hold_until: Duration,
    /// When a target was last at or below this level.
    last_demand: Option<Duration>,
    /// Whether the level rose since it last fell.
    raised: bool,
}

impl Ramp {
    pub(super) fn new(level: Share, now: Duration) -> Self {
        let hold_until = now.saturating_add(HOLD);
        Self { level, next_step: hold_until, hold: HOLD, hold_until, last_demand: None, raised: false }
    }

    pub(super) fn level(&self) -> Share {
        self.level
    }

    /// Whether the hold is still running.
    pub(super) fn is_settling(&self, now: Duration) -> bool {
        now < self.hold_until
    }

    /// Whether the target is at most one step above the level. A fluctuating load stays the reason during its hold.
    pub(super) fn is_near(&self, target: Share) -> bool {
        target < Share::FULL && target.per_mille() <= self.level.per_mille() + STEP
    }

    /// Moves towards the target. At `cap`, the donor's, the climb is over.
    pub(super) fn advance(&mut self, target: Share, cap: Share, now: Duration) {
        if target > self.level {
            if now >= self.next_step {
                let step = Share::from_per_mille(self.level.per_mille() + STEP).min(target);
                self.level = if step >= cap { Share::FULL } else { step };
                self.next_step = now.saturating_add(INTERVAL);
                self.raised = true;
            }
        } else if target < Share::FULL {
            if target < self.level && std::mem::take(&mut self.raised) {
                let early = self.last_demand.is_some_and(|last| now.saturating_sub(last) <= self.hold + RELAPSE_WINDOW);
                self.hold = if early { (self.hold * 2).min(MAX_HOLD) } else { HOLD };
            }
            self.level = target;
            self.last_demand = Some(now);
            self.hold_until = now.saturating_add(self.hold);
            self.next_step = self.hold_until;
        }
    }

    /// Starts again at `floor` or below, after a gap between samples.
    pub(super) fn reset(&mut self, floor: Share, now: Duration) {
        *self = Self::new(self.level.min(floor), now);
    }

    /// Applies a change of the donor's limits at once. It moved target and floor from `old` to `new`.
    pub(super) fn apply_change(&mut self, old: Levels, new: Levels) {
        if new.target > old.target {
            self.level = self.level.max(new.target);
        }
        if new.floor > old.floor {
            self.level = self.level.max(new.floor.min(new.target));
        } else if self.level == old.floor && old.floor < Share::FULL {
            self.level = new.floor;
        }
    }
}

/// Target and floor of one device, under certain limits and the last sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    /// What the rules leave.
    pub(super) target: Share,
    /// What is left while the user is present.
    pub(super) floor: Share,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLOOR: Share = Share::from_percent(10);
    const CAP: Share = Share::from_percent(50);

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Advances from second `from` to second `to` in steps of 100 ms; returns how often the level changed.
    fn run(ramp: &mut Ramp, from: u32, to: u32, target: impl Fn(f64) -> Share) -> usize {
        let mut changes = 0;
        for tick in from * 10..to * 10 {
            let now = f64::from(tick) / 10.0;
            let before = ramp.level();
            ramp.advance(target(now), CAP, at(now));
            changes += usize::from(ramp.level() != before);
        }
        changes
    }

    #[test]
    fn falls_at_once_and_climbs_by_steps_after_calm() {
        let mut ramp = Ramp::new(Share::FULL, at(0.0));
        ramp.advance(FLOOR, CAP, at(1.0));
        assert_eq!(ramp.level(), FLOOR);
        ramp.advance(Share::FULL, CAP, at(5.9));
        assert_eq!(ramp.level(), FLOOR);
        ramp.advance(Share::FULL, CAP, at(6.0));
        assert_eq!(ramp.level(), Share::from_percent(20));
        ramp.advance(Share::FULL, CAP, at(7.9));
        assert_eq!(ramp.level(), Share::from_percent(20));
        ramp.advance(Share::FULL, CAP, at(8.0));
        assert_eq!(ramp.level(), Share::from_percent(30));
    }

    #[test]
    fn load_that_keeps_coming_back_lengthens_the_hold_up_to_a_bound_and_long_calm_resets_it() {
        let mut ramp = Ramp::new(Share::FULL, at(0.0));
        // One second of load every eight: the first calm is cut short, the second hold is longer than the calm.
        let load = |now: f64| if now % 8.0 < 1.0 { FLOOR } else { Share::FULL };
        assert!(run(&mut ramp, 0, 16, load) > 1);
        assert_eq!(run(&mut ramp, 16, 400, load), 0);
        assert_eq!(ramp.hold, HOLD * 2);
        // Every 70 seconds: the hold grows to its bound and not past it.
        let rare = |now: f64| if now % 70.0 < 1.0 { FLOOR } else { Share::FULL };
        run(&mut ramp, 400, 1000, rare);
        assert_eq!(ramp.hold, MAX_HOLD);
        run(&mut ramp, 1000, 1200, |_| Share::FULL);
        ramp.advance(FLOOR, CAP, at(1200.0));
        assert_eq!(ramp.hold, HOLD);
    }

    #[test]
    fn the_climb_ends_at_the_cap_so_that_a_higher_cap_applies_at_once() {
        let mut ramp = Ramp::new(FLOOR, at(0.0));
        run(&mut ramp, 0, 11, |_| Share::FULL);
        assert_eq!(ramp.level(), Share::from_percent(40));
        run(&mut ramp, 11, 12, |_| Share::FULL);
        assert_eq!(ramp.level(), Share::FULL);
    }

    proptest! {
        #[test]
        fn is_never_above_the_target_and_rises_by_a_step_per_interval(
            cap in 10u16..=1000,
            targets in prop::collection::vec((0u16..=1000, 1u64..3000), 1..200),
        ) {
            let cap = Share::from_per_mille(cap);
            let mut ramp = Ramp::new(Share::ZERO, Duration::ZERO);
            let (mut now, mut last_rise) = (Duration::ZERO, None);
            for (target, millis) in targets {
                now += Duration::from_millis(millis);
                let target = Share::from_per_mille(target);
                let before = ramp.level().min(cap);
                ramp.advance(if target >= cap { Share::FULL } else { target }, cap, now);
                let after = ramp.level().min(cap);
                prop_assert!(after <= target);
                if after > before {
                    prop_assert!(after.per_mille() - before.per_mille() <= STEP);
                    prop_assert!(last_rise.is_none_or(|rise| now - rise >= INTERVAL));
                    last_rise = Some(now);
                }
            }
        }
    }
}
