use crate::periodic::Periodic;
use gogrid_limits::Signal;
use std::time::{Duration, Instant};
use sysinfo::{Component, Components};

/// A CPU's package warms up over seconds, and some sensors take milliseconds to answer.
const INTERVAL: Duration = Duration::from_secs(3);
/// How often a machine without a sensor is searched again: a driver that is loaded later brings one.
const SEARCH_INTERVAL: Duration = Duration::from_secs(60);
/// What a sensor that is not connected shows lies outside.
const CREDIBLE_CELSIUS: std::ops::RangeInclusive<f32> = 1.0..=150.0;

/// The CPU's temperature sensors, by sysinfo. Only they are read, as sensors of disks may wake them.
pub(crate) struct Thermometer {
    sensors: Signal<Sensors>,
    searched: Instant,
    hottest: Periodic<Signal<f32>>,
}

/// All sensors, and the best kind of those that measure the CPU.
struct Sensors {
    all: Components,
    best: Kind,
    /// Whether one has ever shown a temperature. Firmware lists some that never do.
    answered: bool,
}

impl Thermometer {
    pub(crate) fn new() -> Self {
        Self { sensors: find(), searched: Instant::now(), hottest: Periodic::new(INTERVAL) }
    }

    /// The hottest CPU sensor, in °C.
    pub(crate) fn cpu(&mut self, now: Instant) -> Signal<f32> {
        let Self { sensors, searched, hottest } = self;
        hottest.get(now, || {
            let is_there = matches!(sensors, Signal::Known(Sensors { answered: true, .. }));
            if !is_there && now.saturating_duration_since(*searched) >= SEARCH_INTERVAL {
                (*sensors, *searched) = (find(), now);
            }
            match sensors {
                Signal::Known(sensors) => sensors.hottest(),
                Signal::Unknown(reason) => Signal::unknown(reason.as_str()),
                Signal::Absent(reason) => Signal::absent(reason.as_str()),
            }
        })
    }

    /// Which sensors are read, or why none can be.
    pub(crate) fn source(&mut self, now: Instant) -> Result<String, String> {
        self.cpu(now).into_result()?;
        let Signal::Known(Sensors { all: sensors, best, .. }) = &self.sensors else {
            return Err(self.sensors.why_not().unwrap_or_default().to_owned());
        };
        let labels = sensors.iter().map(Component::label).filter(|label| Kind::of(label) == Some(*best));
        Ok(named(&labels.collect::<Vec<_>>()))
    }
}

/// Sensors for people.
fn named(labels: &[&str]) -> String {
    match labels {
        [] => "no sensor".into(),
        [only] => format!("sensor {only}"),
        [first, more @ ..] => format!("sensor {first} and {} more", more.len()),
    }
}

fn find() -> Signal<Sensors> {
    let all = match Components::new_with_refreshed_list() {
        Ok(all) => all,
        Err(error) => return Signal::unknown(format!("sensors cannot be listed: {error}")),
    };
    match all.iter().filter_map(|sensor| Kind::of(sensor.label())).max() {
        Some(best) => Signal::Known(Sensors { all, best, answered: false }),
        None if all.is_empty() => Signal::absent("the machine shows no temperature sensor"),
        None => Signal::absent(format!("none of the {} temperature sensors is the CPU's", all.len())),
    }
}

impl Sensors {
    /// The hottest sensor of the best kind, in °C.
    fn hottest(&mut self) -> Signal<f32> {
        let of_this_kind = self.all.iter_mut().filter(|sensor| Kind::of(sensor.label()) == Some(self.best));
        let temperatures = of_this_kind.filter_map(|sensor| {
            sensor.refresh();
            sensor.temperature().filter(|celsius| CREDIBLE_CELSIUS.contains(celsius))
        });
        let hottest = temperatures.max_by(f32::total_cmp);
        self.answered |= hottest.is_some();
        match hottest {
            Some(celsius) => Signal::Known(celsius),
            None if self.answered => Signal::unknown("no CPU sensor answers"),
            None => Signal::absent("no CPU sensor has ever shown a temperature"),
        }
    }
}

/// What a sensor measures, from bad to good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A zone of the mainboard, near the CPU.
    Board,
    /// AMD's control value: on some models 10 to 27 °C above the truth.
    Control,
    /// The CPU itself.
    Cpu,
}

impl Kind {
    fn of(label: &str) -> Option<Self> {
        let label = label.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| label.contains(word));
        let drivers = [
            "coretemp",
            "k10temp",
            "zenpower",
            "x86_pkg_temp",
            "cpu",
            "soc_thermal",
            "soc-thermal",
            "tdie",
            "pacc ",
            "eacc ",
        ];
        match () {
            () if label.ends_with("tctl") => Some(Self::Control),
            () if has(&drivers) => Some(Self::Cpu),
            // The name of Windows' only sensor is "Computer".
            () if has(&["acpitz"]) || label == "computer" => Some(Self::Board),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("coretemp Package id 0", Some(Kind::Cpu))]
    #[case("coretemp Core 3", Some(Kind::Cpu))]
    #[case("k10temp Tctl", Some(Kind::Control))]
    #[case("k10temp Tccd1", Some(Kind::Cpu))]
    #[case("zenpower Tdie", Some(Kind::Cpu))]
    #[case("cpu_thermal temp1", Some(Kind::Cpu))]
    #[case("PMU tdie4", Some(Kind::Cpu))]
    #[case("CPU Proximity", Some(Kind::Cpu))]
    #[case("acpitz temp1", Some(Kind::Board))]
    #[case("Computer", Some(Kind::Board))]
    #[case("nvme Composite Samsung SSD", None)]
    #[case("iwlwifi_1 temp1", None)]
    #[case("amdgpu edge", None)]
    #[case("GPU", None)]
    fn sensors_are_told_apart(#[case] label: &str, #[case] kind: Option<Kind>) {
        assert_eq!(Kind::of(label), kind);
    }

    #[test]
    fn sensors_are_named_by_the_first_of_them() {
        assert_eq!(named(&["k10temp Tctl"]), "sensor k10temp Tctl");
        let cores = ["coretemp Package id 0", "coretemp Core 0", "coretemp Core 1"];
        assert_eq!(named(&cores), "sensor coretemp Package id 0 and 2 more");
    }

    #[test]
    fn a_machine_tells_its_temperature_or_why_not() {
        match Thermometer::new().cpu(Instant::now()) {
            Signal::Known(celsius) => assert!(CREDIBLE_CELSIUS.contains(&celsius)),
            Signal::Unknown(reason) | Signal::Absent(reason) => assert!(!reason.is_empty()),
        }
    }
}
