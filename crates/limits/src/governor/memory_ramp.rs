use std::time::Duration;

/// How long the level stays down. Taking memory back means loading weights, which is expensive and pays only if the
/// memory stays available.
const HOLD: Duration = Duration::from_secs(30);
/// Time between two steps up, so that the next sample of free memory includes what the last step loaded.
const INTERVAL: Duration = Duration::from_secs(10);
/// One step up is this part of the limit.
const STEPS: u64 = 8;
/// The allowance changes in grains: this part of the memory …
const GRAINS: u64 = 64;
/// … and at most this many bytes: a layer of a mid-sized model, the least that is worth freeing.
const MAX_GRAIN: u64 = 256 << 20;

/// The bytes that the machine can spare: down at once, up step by step after a hold, in whole grains.
#[derive(Debug)]
pub(super) struct MemoryRamp {
    /// In bytes; [`u64::MAX`] if only the donor's limit applies.
    level: u64,
    /// When the next step up may come.
    next_step: Duration,
    grain: u64,
}

impl MemoryRamp {
    /// For a memory of `total` bytes.
    pub(super) fn new(total: u64) -> Self {
        Self { level: u64::MAX, next_step: Duration::ZERO, grain: (total / GRAINS).clamp(1, MAX_GRAIN) }
    }

    pub(super) fn level(&self) -> u64 {
        self.level
    }

    /// Moves towards `available`, the bytes that the machine can spare. `None` if that is unknown: nothing is raised.
    pub(super) fn advance(&mut self, available: Option<u64>, limit: u64, now: Duration) {
        let target = match available {
            None => self.level,
            Some(available) if available >= limit => u64::MAX,
            Some(available) => available - available % self.grain,
        };
        if target < self.level {
            self.level = target;
            self.next_step = now.saturating_add(HOLD);
        } else if target == u64::MAX || target >= self.level.saturating_add(2 * self.grain) {
            if self.level < limit && now >= self.next_step {
                self.level = self.level.saturating_add((limit / STEPS).max(self.grain)).min(target);
                self.next_step = now.saturating_add(INTERVAL);
            }
            if self.level >= limit {
                self.level = target;
            }
        } else {
            self.next_step = now.saturating_add(HOLD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn falls_at_once_waits_for_calm_and_climbs_by_eighths() {
        let mut ramp = MemoryRamp::new(16 * GIB);
        ramp.advance(Some(3 * GIB + 1), 8 * GIB, at(0));
        assert_eq!(ramp.level(), 3 * GIB);
        // A little more is noise, not calm.
        ramp.advance(Some(3 * GIB + 300 * (1 << 20)), 8 * GIB, at(10));
        ramp.advance(Some(12 * GIB), 8 * GIB, at(39));
        assert_eq!(ramp.level(), 3 * GIB);
        ramp.advance(Some(12 * GIB), 8 * GIB, at(40));
        assert_eq!(ramp.level(), 4 * GIB);
        for second in 41..=80 {
            ramp.advance(Some(12 * GIB), 8 * GIB, at(second));
        }
        assert_eq!(ramp.level(), u64::MAX);
    }

    #[test]
    fn small_fluctuations_move_nothing() {
        let mut ramp = MemoryRamp::new(16 * GIB);
        ramp.advance(Some(4 * GIB), 8 * GIB, at(0));
        for second in 1..1000 {
            ramp.advance(Some(4 * GIB + second % 7 * 50 * (1 << 20)), 8 * GIB, at(second));
            assert_eq!(ramp.level(), 4 * GIB);
        }
    }

    proptest! {
        #[test]
        fn the_level_is_never_above_what_the_machine_can_spare(
            total in any::<u64>(),
            samples in prop::collection::vec((prop::option::of(any::<u64>()), any::<u64>(), any::<u32>()), 1..50),
        ) {
            let mut ramp = MemoryRamp::new(total);
            let mut now = Duration::ZERO;
            for (bytes, limit, millis) in samples {
                now += Duration::from_millis(millis.into());
                ramp.advance(bytes, limit, now);
                if let Some(bytes) = bytes {
                    prop_assert!(ramp.level().min(limit) <= bytes);
                }
            }
        }
    }
}
