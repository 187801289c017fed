use std::time::Duration;

/// Calm before more memory is taken again. Taking memory back means loading weights: dear, and worth only where the
/// room stays.
const HOLD: Duration = Duration::from_secs(30);
/// Time between two steps up, so that what one step loads is in the next look at free memory.
const INTERVAL: Duration = Duration::from_secs(10);
/// One step up is this part of the limit.
const STEPS: u64 = 8;
/// The grain of the allowance is this part of the memory …
const GRAINS: u64 = 64;
/// … and at most so many bytes: a layer of a mid-sized model, the least that is worth freeing.
const MAX_GRAIN: u64 = 256 << 20;

/// How much memory the machine has room for: down at once, up step by step after calm, in whole grains.
#[derive(Debug)]
pub(super) struct MemoryRamp {
    /// [`u64::MAX`]: the limit itself.
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

    /// Moves towards `room`, the bytes that we may have at most; `None`: it cannot be told, so nothing is raised.
    pub(super) fn advance(&mut self, room: Option<u64>, limit: u64, now: Duration) {
        let target = match room {
            None => self.level,
            Some(room) if room >= limit => u64::MAX,
            Some(room) => room - room % self.grain,
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
        // A little more room is noise, not calm.
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
    fn room_that_flutters_moves_nothing() {
        let mut ramp = MemoryRamp::new(16 * GIB);
        ramp.advance(Some(4 * GIB), 8 * GIB, at(0));
        for second in 1..1000 {
            ramp.advance(Some(4 * GIB + second % 7 * 50 * (1 << 20)), 8 * GIB, at(second));
            assert_eq!(ramp.level(), 4 * GIB);
        }
    }

    proptest! {
        #[test]
        fn never_has_more_than_there_is_room(
            total in any::<u64>(),
            looks in prop::collection::vec((prop::option::of(any::<u64>()), any::<u64>(), any::<u32>()), 1..50),
        ) {
            let mut ramp = MemoryRamp::new(total);
            let mut now = Duration::ZERO;
            for (bytes, limit, millis) in looks {
                now += Duration::from_millis(millis.into());
                ramp.advance(bytes, limit, now);
                if let Some(bytes) = bytes {
                    prop_assert!(ramp.level().min(limit) <= bytes);
                }
            }
        }
    }
}
