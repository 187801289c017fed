use gogrid_limits::{Power, Signal};
use starship_battery::{Manager, State, units::ratio::ratio};

/// For people.
pub(crate) const SOURCE: &str = "the system's list of batteries";

/// The batteries that the system lists as its own (no UPS, no mouse), by starship-battery.
pub(crate) struct Source;

impl Source {
    pub(crate) fn new() -> Self {
        Self
    }

    /// On battery while any of them is drained, with their mean charge.
    pub(crate) fn power(&self) -> Signal<Power> {
        // Opened anew: a battery may be put in or taken out.
        let batteries = match Manager::new().and_then(|manager| manager.batteries()?.collect::<Result<Vec<_>, _>>()) {
            Ok(batteries) => batteries,
            Err(error) => return Signal::unknown(format!("the batteries cannot be read: {error}")),
        };
        if !batteries.iter().any(|battery| matches!(battery.state(), State::Discharging | State::Empty)) {
            return Signal::Known(Power::Mains);
        }
        let charges = batteries.iter().map(|battery| battery.state_of_charge().get::<ratio>());
        Signal::Known(Power::Battery { charge: (charges.sum::<f32>() / batteries.len() as f32).clamp(0.0, 1.0) })
    }
}
