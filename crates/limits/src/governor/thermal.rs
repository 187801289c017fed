use crate::Share;

/// How far below the ceiling the machine has to cool after a stop, in °C. Less would stop and start every few seconds.
const HYSTERESIS: u8 = 5;
/// Derating starts this far below the ceiling, in °C, and takes one part of the cap for every degree. A package follows
/// its power within seconds, so the ceiling itself is reached only when something else heats the machine.
const DERATING_RANGE: u8 = 5;

/// The temperature rule, with the hysteresis after a stop.
#[derive(Debug, Default)]
pub(super) struct ThermalLimiter {
    tripped: bool,
}

/// What a temperature leaves of the cap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ThermalState {
    /// All of it.
    Normal,
    /// A part of it: close to the ceiling.
    Derated(Derating),
    /// Nothing: above the ceiling.
    Tripped,
    /// Nothing yet: it was above the ceiling, and work continues at this temperature in °C.
    Cooling(u8),
}

/// What is left of the donor's cap: a number of parts out of [`DERATING_RANGE`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Derating(u8);

impl Derating {
    pub(super) fn of(self, cap: Share) -> Share {
        Share::from_per_mille(cap.per_mille() * u16::from(self.0) / u16::from(DERATING_RANGE))
    }
}

impl ThermalLimiter {
    /// Takes the hottest sensor's value and the donor's ceiling, both in °C.
    pub(super) fn observe(&mut self, celsius: f32, limit: u8) -> ThermalState {
        let below = f32::from(limit) - celsius;
        self.tripped = below < 0.0 || (self.tripped && below < f32::from(HYSTERESIS));
        if below < 0.0 {
            ThermalState::Tripped
        } else if self.tripped {
            ThermalState::Cooling(limit.saturating_sub(HYSTERESIS))
        } else if below <= f32::from(DERATING_RANGE - 1) {
            ThermalState::Derated(Derating(below.ceil().max(1.0) as u8))
        } else {
            ThermalState::Normal
        }
    }

    /// Whether the last temperature stopped the work.
    pub(super) fn is_tripped(&self) -> bool {
        self.tripped
    }

    /// Ends a stop, because the donor moved or removed the ceiling.
    pub(super) fn reset(&mut self) {
        self.tripped = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derates_by_degrees_stops_above_the_ceiling_and_continues_five_below() {
        let mut limiter = ThermalLimiter::default();
        let cap = Share::from_percent(50);
        let mut left = |celsius: f32| match limiter.observe(celsius, 85) {
            ThermalState::Normal => cap,
            ThermalState::Derated(part) => part.of(cap),
            ThermalState::Tripped | ThermalState::Cooling(80) => Share::ZERO,
            other => panic!("{other:?}"),
        };
        for (celsius, percent) in [(80.9, 50), (81.0, 40), (83.5, 20), (85.0, 10), (85.1, 0), (80.1, 0), (80.0, 50)] {
            assert_eq!(left(celsius), Share::from_percent(percent), "{celsius} °C");
        }
    }

    #[test]
    fn a_ceiling_near_zero_and_an_infinite_temperature_are_handled() {
        let mut limiter = ThermalLimiter::default();
        assert_eq!(limiter.observe(f32::INFINITY, 1), ThermalState::Tripped);
        assert_eq!(limiter.observe(0.0, 1), ThermalState::Cooling(0));
        assert_eq!(limiter.observe(-10.0, 1), ThermalState::Normal);
    }
}
