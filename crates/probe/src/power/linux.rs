use gogrid_limits::{Power, Signal};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// For people; also the folder that is read.
pub(crate) const SOURCE: &str = "/sys/class/power_supply";

/// The kernel's power supplies, a folder each.
pub(crate) struct Source {
    supplies: PathBuf,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self { supplies: SOURCE.into() }
    }

    /// On battery while one of the machine's own batteries is drained, or all its mains are off.
    pub(crate) fn power(&self) -> Signal<Power> {
        let entries = match fs::read_dir(&self.supplies) {
            Ok(entries) => entries,
            // A kernel without power supplies runs no laptop.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Signal::Known(Power::Mains),
            Err(error) => return Signal::unknown(format!("power supplies cannot be listed: {error}")),
        };
        let (mut charges, mut drained, mut mains) = (vec![], false, vec![]);
        for supply in entries.flatten().map(|entry| entry.path()) {
            match read(&supply, "type").as_deref() {
                // A UPS has a type of its own; a mouse, a headset or a phone has the scope "Device".
                Some("Battery") if read(&supply, "scope").as_deref() != Some("Device") => {
                    if read(&supply, "present").as_deref() == Some("0") {
                        continue;
                    }
                    drained |= read(&supply, "status").as_deref() == Some("Discharging");
                    charges.extend(charge(&supply));
                }
                Some("Mains" | "USB") => mains.extend(read(&supply, "online").map(|online| online != "0")),
                _ => {}
            }
        }
        // Some batteries report no state while they are drained.
        let unplugged = !mains.is_empty() && !mains.contains(&true) && !charges.is_empty();
        match charges.len() {
            _ if !drained && !unplugged => Signal::Known(Power::Mains),
            0 => Signal::unknown("the battery is drained, but does not report its charge"),
            batteries => Signal::Known(Power::Battery { charge: charges.iter().sum::<f32>() / batteries as f32 }),
        }
    }
}

/// A battery's charge, between 0 and 1.
fn charge(supply: &Path) -> Option<f32> {
    let number = |file: &str| read(supply, file)?.parse::<f32>().ok();
    let part = |now: &str, full: &str| Some(number(now)? / number(full).filter(|full| *full > 0.0)?);
    let percent = number("capacity").map(|percent| percent / 100.0);
    let charge = percent.or_else(|| part("energy_now", "energy_full")).or_else(|| part("charge_now", "charge_full"));
    Some(charge?.clamp(0.0, 1.0))
}

fn read(supply: &Path, file: &str) -> Option<String> {
    fs::read_to_string(supply.join(file)).ok().map(|text| text.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    type Supply = &'static [(&'static str, &'static str)];

    const MAINS_OFF: Supply = &[("type", "Mains"), ("online", "0")];
    const MAINS_ON: Supply = &[("type", "Mains"), ("online", "1")];
    const CHARGING: Supply = &[("type", "Battery"), ("status", "Charging"), ("capacity", "30")];
    const DRAINED: Supply = &[("type", "Battery"), ("scope", "System"), ("status", "Discharging"), ("capacity", "75")];
    const RESTING: Supply = &[("type", "Battery"), ("status", "Not charging"), ("capacity", "25")];
    const SILENT: Supply = &[("type", "Battery"), ("status", "Unknown"), ("charge_now", "2"), ("charge_full", "4")];
    const ABSENT: Supply = &[("type", "Battery"), ("present", "0"), ("status", "Discharging")];
    const UPS: Supply = &[("type", "UPS"), ("status", "Discharging"), ("capacity", "90")];
    const MOUSE: Supply = &[("type", "Battery"), ("scope", "Device"), ("status", "Discharging"), ("capacity", "40")];

    #[rstest]
    #[case::desktop(&[], Power::Mains)]
    #[case::desktop_with_ups_and_mouse(&[UPS, MOUSE], Power::Mains)]
    #[case::charging(&[MAINS_ON, CHARGING], Power::Mains)]
    #[case::kept_below_full(&[MAINS_ON, RESTING, MOUSE], Power::Mains)]
    #[case::empty_bay(&[MAINS_ON, ABSENT], Power::Mains)]
    #[case::drained(&[MAINS_OFF, DRAINED], Power::Battery { charge: 0.75 })]
    #[case::weak_charger(&[MAINS_ON, DRAINED], Power::Battery { charge: 0.75 })]
    #[case::two_batteries_one_at_a_time(&[MAINS_OFF, DRAINED, RESTING, MOUSE], Power::Battery { charge: 0.5 })]
    #[case::state_not_told(&[MAINS_OFF, SILENT], Power::Battery { charge: 0.5 })]
    fn only_the_machines_own_batteries_count(#[case] supplies: &[Supply], #[case] expected: Power) {
        let folder = tempfile::tempdir().unwrap();
        for (index, supply) in supplies.iter().enumerate() {
            let path = folder.path().join(index.to_string());
            fs::create_dir(&path).unwrap();
            for (file, text) in *supply {
                fs::write(path.join(file), format!("{text}\n")).unwrap();
            }
        }
        assert_eq!(Source { supplies: folder.path().into() }.power(), Signal::Known(expected));
    }

    #[test]
    fn a_kernel_without_power_supplies_runs_on_the_mains() {
        assert_eq!(Source { supplies: "/nowhere".into() }.power(), Signal::Known(Power::Mains));
    }
}
