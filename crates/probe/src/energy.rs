//! What the processors draw, by their own meters (RAPL, which Linux shows for Intel and AMD).
//!
//! Each package counts its energy in microjoules, in a file that many systems let only root read: what it counts tells
//! other users' programs apart. Then the power is unknown.

use crate::periodic::Periodic;
use gogrid_limits::Signal;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const FOLDER: &str = "/sys/class/powercap";
/// Long enough for a steady mean, short enough to notice that a slice began.
const INTERVAL: Duration = Duration::from_secs(1);
/// No desktop's processors draw more. A larger figure is a counter that began anew.
const CREDIBLE_WATTS: f32 = 5000.0;

/// The meters of all packages.
pub(crate) struct EnergyMeter {
    folder: PathBuf,
    last: Option<(Instant, Vec<Counter>)>,
    watts: Periodic<Signal<f32>>,
}

/// A package's counter, in microjoules.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counter {
    package: PathBuf,
    energy: u64,
    /// At this value it begins again at zero.
    range: u64,
}

impl EnergyMeter {
    pub(crate) fn new() -> Self {
        Self { folder: FOLDER.into(), last: None, watts: Periodic::new(INTERVAL) }
    }

    /// The mean power of all packages since the last reading, in watts.
    pub(crate) fn watts(&mut self, now: Instant) -> Signal<f32> {
        let Self { folder, last, watts } = self;
        watts.get(now, || match read(folder) {
            Ok(counters) => {
                let before = last.replace((now, counters.clone()));
                match before.and_then(|(then, before)| mean(&before, &counters, now.duration_since(then))) {
                    Some(watts) => Signal::Known(watts),
                    None => Signal::unknown("the processor's energy meter was read for the first time"),
                }
            }
            Err(why) => Signal::Unknown(why),
        })
    }
}

fn read(folder: &Path) -> Result<Vec<Counter>, String> {
    const NONE: &str = "the processor shows no energy meter";
    // A package may have two zones of one name, for its two interfaces (intel-rapl, intel-rapl-mmio): it counts once.
    let mut zones: Vec<PathBuf> = fs::read_dir(folder).map_err(|_| NONE)?.flatten().map(|zone| zone.path()).collect();
    zones.sort();
    let packages: BTreeMap<String, PathBuf> = zones
        .into_iter()
        .filter_map(|path| Some((text(&path.join("name")).ok()?, path)))
        .filter(|(name, _)| name.starts_with("package-"))
        .collect();
    if packages.is_empty() {
        return Err(NONE.into());
    }
    let counter = |package: PathBuf| {
        let energy = number(&package.join("energy_uj"))?;
        // Without a range a counter that began anew shows as no power at all.
        let range = number(&package.join("max_energy_range_uj")).unwrap_or_default();
        Ok(Counter { package, energy, range })
    };
    packages.into_values().map(counter).collect::<io::Result<_>>().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => "the system lets only root read the processor's energy meter".to_owned(),
        _ => format!("the processor's energy meter cannot be read: {error}"),
    })
}

/// Watts; `None` if the packages are others than before, or no time has passed.
fn mean(before: &[Counter], now: &[Counter], elapsed: Duration) -> Option<f32> {
    let names = |counters: &[Counter]| counters.iter().map(|counter| counter.package.clone()).collect::<Vec<_>>();
    if elapsed.is_zero() || names(before) != names(now) {
        return None;
    }
    let spent = |(before, now): (&Counter, &Counter)| {
        now.energy.checked_sub(before.energy).unwrap_or_else(|| (now.energy + now.range).saturating_sub(before.energy))
    };
    let joules = before.iter().zip(now).map(spent).sum::<u64>() as f64 / 1e6;
    Some((joules / elapsed.as_secs_f64()) as f32).filter(|watts| *watts <= CREDIBLE_WATTS)
}

fn number(path: &Path) -> io::Result<u64> {
    text(path)?.parse().map_err(io::Error::other)
}

fn text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(packages: &[(&str, &str, u64)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (zone, name, energy) in packages {
            let zone = folder.path().join(zone);
            fs::create_dir_all(&zone).unwrap();
            fs::write(zone.join("name"), format!("{name}\n")).unwrap();
            fs::write(zone.join("energy_uj"), format!("{energy}\n")).unwrap();
            fs::write(zone.join("max_energy_range_uj"), "1000000000\n").unwrap();
        }
        folder
    }

    fn count(folder: &tempfile::TempDir, zone: &str, energy: u64) {
        fs::write(folder.path().join(zone).join("energy_uj"), energy.to_string()).unwrap();
    }

    #[test]
    fn power_is_the_energy_of_all_packages_by_time_and_parts_of_them_do_not_count() {
        let folder = machine(&[
            ("intel-rapl:0", "package-0", 5_000_000),
            ("intel-rapl-mmio:0", "package-0", 5_000_000),
            ("intel-rapl:0:0", "core", 5_000_000),
            ("intel-rapl:1", "package-1", 999_000_000),
            ("intel-rapl:2", "psys", 5_000_000),
        ]);
        let mut meter = EnergyMeter { folder: folder.path().into(), ..EnergyMeter::new() };
        let start = Instant::now();
        assert!(matches!(meter.watts(start), Signal::Unknown(_)), "there is no time before");
        count(&folder, "intel-rapl:0", 65_000_000);
        count(&folder, "intel-rapl-mmio:0", 65_000_000);
        count(&folder, "intel-rapl:0:0", 900_000_000);
        // This one began anew at its range.
        count(&folder, "intel-rapl:1", 19_000_000);
        assert!(matches!(meter.watts(start + Duration::from_millis(500)), Signal::Unknown(_)), "not read yet");
        assert_eq!(meter.watts(start + Duration::from_secs(2)), Signal::Known(40.0));
    }

    #[test]
    fn a_machine_without_a_meter_says_so() {
        let folder = machine(&[("dtpm", "dtpm", 1)]);
        for path in [folder.path().to_owned(), "/nowhere".into()] {
            let mut meter = EnergyMeter { folder: path, ..EnergyMeter::new() };
            let watts = meter.watts(Instant::now());
            assert_eq!(watts, Signal::unknown("the processor shows no energy meter"));
        }
    }
}
