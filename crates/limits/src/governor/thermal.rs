use crate::Share;

/// How far it has to cool down after a stop, in °C: less would stop and start every few seconds.
const COOL_DOWN: u8 = 5;
/// How far below the ceiling work begins to be lowered, in °C, a part less for every degree. A package follows its
/// power within seconds, so that the ceiling itself is met only when something else heats the machine.
const APPROACH: u8 = 5;

/// The rule about temperature, with the memory that it needs.
#[derive(Debug, Default)]
pub(super) struct Heat {
    stopped: bool,
}

/// What a temperature means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Warmth {
    /// Nothing is taken.
    Cool,
    /// So many parts of [`APPROACH`] are left.
    Warm(Part),
    /// Above the ceiling.
    TooHot,
    /// It was above the ceiling, and goes on at so many °C.
    Cooling(u8),
}

/// What is left of the donor's cap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part(u8);

impl Part {
    pub(super) fn of(self, cap: Share) -> Share {
        Share::from_per_mille(cap.per_mille() * u16::from(self.0) / u16::from(APPROACH))
    }
}

impl Heat {
    /// Takes the hottest sensor's value, in °C, and the donor's ceiling.
    pub(super) fn look(&mut self, celsius: f32, limit: u8) -> Warmth {
        let below = f32::from(limit) - celsius;
        self.stopped = below < 0.0 || (self.stopped && below < f32::from(COOL_DOWN));
        if below < 0.0 {
            Warmth::TooHot
        } else if self.stopped {
            Warmth::Cooling(limit.saturating_sub(COOL_DOWN))
        } else if below <= f32::from(APPROACH - 1) {
            Warmth::Warm(Part(below.ceil().max(1.0) as u8))
        } else {
            Warmth::Cool
        }
    }

    /// Whether it was too hot when last looked at, and has not cooled down since.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The donor moved the ceiling, or there is none.
    pub(super) fn forget(&mut self) {
        self.stopped = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowers_by_degrees_stops_above_the_ceiling_and_goes_on_five_below() {
        let mut heat = Heat::default();
        let cap = Share::from_percent(50);
        let mut left = |celsius: f32| match heat.look(celsius, 85) {
            Warmth::Cool => cap,
            Warmth::Warm(part) => part.of(cap),
            Warmth::TooHot | Warmth::Cooling(80) => Share::ZERO,
            other => panic!("{other:?}"),
        };
        for (celsius, percent) in [(80.9, 50), (81.0, 40), (83.5, 20), (85.0, 10), (85.1, 0), (80.1, 0), (80.0, 50)] {
            assert_eq!(left(celsius), Share::from_percent(percent), "{celsius} °C");
        }
    }

    #[test]
    fn a_ceiling_near_zero_and_an_endless_temperature_are_no_trouble() {
        let mut heat = Heat::default();
        assert_eq!(heat.look(f32::INFINITY, 1), Warmth::TooHot);
        assert_eq!(heat.look(0.0, 1), Warmth::Cooling(0));
        assert_eq!(heat.look(-10.0, 1), Warmth::Cool);
    }
}
