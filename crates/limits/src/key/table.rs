//! Every key: its text, its values, and how they are read and written.

use super::{BoundKind, DEFAULT, Key, Total, ValueKind};
use crate::{
    Limits,
    value::{self as v, ValueError},
};
use std::time::Duration;

/// A share of nothing is a pause, which has a key of its own.
const MIN_PERCENT: u8 = 1;
/// A user who gave no input for a day is away.
const MAX_IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// Less than this a day would load a model and hardly use it.
const MIN_DAILY: Duration = Duration::from_secs(15 * 60);
/// A day, except when clocks change.
const MAX_DAILY: Duration = Duration::from_secs(24 * 60 * 60);
/// In watt-hours a day. Eight graphics cards of 500 W do not take more.
const MAX_DAILY_ENERGY: u32 = 100_000;
/// More cores than any desktop machine has.
const MAX_THREADS: u32 = 1024;
/// A machine that stops below this would never work in a warm room.
const MIN_CELSIUS: u32 = 40;
/// No processor or graphics card stays on above this.
const MAX_CELSIUS: u32 = 110;
/// In bytes per second. At less, the smallest model takes days.
const MIN_SPEED: u64 = 1000;
/// Every running process is compared with each of them every few seconds.
const MAX_PROGRAMS: usize = 32;
/// No system allows a longer file name.
const MAX_PROGRAM_BYTES: usize = 255;
/// Any number of threads.
const ALL: &str = "all";
/// Any traffic.
const UNLIMITED: &str = "unlimited";
const STOP: &str = "stop";
const IGNORE: &str = "ignore";

const PERCENT: ValueKind = ValueKind::Percent { least: MIN_PERCENT };
const PERCENT_OR_NOTHING: ValueKind = ValueKind::Percent { least: 0 };

/// Every key, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "preset",
        help: "The limits to start from; choosing one undoes every change but a pause",
        range: "quiet, balanced or full",
        values: ValueKind::Word { words: &["quiet", "balanced", "full"] },
        off: None,
        bound_kind: None,
        get: |limits| limits.preset.to_string(),
        set: |limits, text| text.parse().map(|preset| limits.choose(preset)),
    },
    Key {
        name: "cpu",
        help: "Most of all cores' time",
        range: "1 to 100 %",
        values: PERCENT,
        off: None,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::percent_text(limits.cpu),
        set: |limits, text| v::percent(text, MIN_PERCENT).map(|value| limits.cpu = value),
    },
    Key {
        name: "cpu-threads",
        help: "Most threads that compute",
        range: "1 to 1024, or all",
        values: ValueKind::Count { least: 1, most: MAX_THREADS },
        off: Some(ALL),
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.cpu_threads.map_or_else(|| ALL.into(), |threads| threads.to_string()),
        set: |limits, text| {
            let threads = if text.trim() == ALL { Ok(None) } else { v::whole(text, 1, MAX_THREADS).map(Some) };
            threads.map(|value| limits.cpu_threads = value)
        },
    },
    Key {
        name: "cpu-in-use",
        help: "Most of all cores' time while somebody is there; never more than cpu",
        range: "0 to 100 %",
        values: PERCENT_OR_NOTHING,
        off: None,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::percent_text(limits.cpu_in_use),
        set: |limits, text| v::percent(text, 0).map(|value| limits.cpu_in_use = value),
    },
    Key {
        name: "gpu",
        help: "Most of the GPU's time",
        range: "1 to 100 %",
        values: PERCENT,
        off: None,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::percent_text(limits.gpu),
        set: |limits, text| v::percent(text, MIN_PERCENT).map(|value| limits.gpu = value),
    },
    Key {
        name: "gpu-in-use",
        help: "Most of the GPU's time while somebody is there; never more than gpu",
        range: "0 to 100 %",
        values: PERCENT_OR_NOTHING,
        off: None,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::percent_text(limits.gpu_in_use),
        set: |limits, text| v::percent(text, 0).map(|value| limits.gpu_in_use = value),
    },
    Key {
        name: "gpu-memory",
        help: "Most GPU memory",
        range: "0 to 100 % with its sign, or bytes as in 4GiB or 500MB",
        values: ValueKind::Amount { of: Total::GpuMemory },
        off: None,
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.gpu_memory.to_string(),
        set: |limits, text| text.parse().map(|value| limits.gpu_memory = value),
    },
    Key {
        name: "memory",
        help: "Most main memory",
        range: "0 to 100 % with its sign, or bytes as in 4GiB or 500MB",
        values: ValueKind::Amount { of: Total::Memory },
        off: None,
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.memory.to_string(),
        set: |limits, text| text.parse().map(|value| limits.memory = value),
    },
    Key {
        name: "disk",
        help: "Most of the disk, for weights",
        range: "0 to 100 % with its sign, or bytes as in 40GiB or 100GB",
        values: ValueKind::Amount { of: Total::Disk },
        off: None,
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.disk.to_string(),
        set: |limits, text| text.parse().map(|value| limits.disk = value),
    },
    Key {
        name: "network",
        help: "Most network traffic for weights",
        range: "1kB/s or more, as in 500kB/s or 10MB/s, or unlimited",
        values: ValueKind::Speed { least: MIN_SPEED },
        off: Some(UNLIMITED),
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.network.map_or_else(|| UNLIMITED.into(), v::speed_text),
        set: |limits, text| speed(text).map(|value| limits.network = value),
    },
    Key {
        name: "when",
        help: "When to work: always, only while nobody is there, in the hours of the schedule, or where both allow it",
        range: "always, idle, schedule or idle-in-schedule",
        values: ValueKind::Word { words: &["always", "idle", "schedule", "idle-in-schedule"] },
        off: None,
        bound_kind: Some(BoundKind::Fixed),
        get: |limits| limits.when.to_string(),
        set: |limits, text| text.parse().map(|value| limits.when = value),
    },
    Key {
        name: "idle-after",
        help: "Without input for so long the user counts as away",
        range: "1s to 24h, as in 90s, 3m or 1h 30m",
        values: ValueKind::Duration { least: Limits::MIN_IDLE.as_secs(), most: MAX_IDLE.as_secs() },
        off: None,
        bound_kind: Some(BoundKind::Least),
        get: |limits| v::duration_text(limits.idle_after),
        set: |limits, text| v::duration(text, Limits::MIN_IDLE, MAX_IDLE).map(|value| limits.idle_after = value),
    },
    Key {
        name: "schedule",
        help: "The hours to work in if when names the schedule, in local time",
        range: "days with or without hours, on the quarter, as in mon-fri 18:00-08:00, sat-sun; or none",
        values: ValueKind::Hours,
        off: None,
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.schedule.to_string(),
        set: |limits, text| text.parse().map(|value| limits.schedule = value),
    },
    Key {
        name: "daily-hours",
        help: "Most time in which something is computed, a day",
        range: "15m to 24h, as in 45m, 4h or 2h 30m, or off",
        values: ValueKind::Duration { least: MIN_DAILY.as_secs(), most: MAX_DAILY.as_secs() },
        off: Some(v::OFF),
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::or_off(limits.daily_time, v::duration_text),
        set: |limits, text| {
            v::unless_off(text, |text| v::duration(text, MIN_DAILY, MAX_DAILY)).map(|value| limits.daily_time = value)
        },
    },
    Key {
        name: "daily-energy",
        help: "Most energy for what is computed, a day",
        range: "1Wh to 100kWh, as in 500Wh or 1.5kWh, or off",
        values: ValueKind::Energy { least: 1, most: MAX_DAILY_ENERGY },
        off: Some(v::OFF),
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::or_off(limits.daily_energy, v::energy_text),
        set: |limits, text| {
            v::unless_off(text, |text| v::energy(text, 1, MAX_DAILY_ENERGY)).map(|value| limits.daily_energy = value)
        },
    },
    Key {
        name: "on-battery",
        help: "Work while the machine runs on its battery",
        range: "true or false",
        values: ValueKind::Flag,
        off: None,
        bound_kind: Some(BoundKind::Fixed),
        get: |limits| limits.on_battery.to_string(),
        set: |limits, text| v::flag(text).map(|value| limits.on_battery = value),
    },
    Key {
        name: "max-temperature",
        help: "Stop above this temperature of the CPU or GPU",
        range: "40 to 110 °C, or off",
        values: ValueKind::Celsius { least: MIN_CELSIUS, most: MAX_CELSIUS },
        off: Some(v::OFF),
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::or_off(limits.max_celsius, |celsius| format!("{celsius}°C")),
        set: |limits, text| v::unless_off(text, celsius).map(|value| limits.max_celsius = value),
    },
    Key {
        name: "others-cpu",
        help: "Somebody counts as there while other programs use more of all cores' time",
        range: "1 to 100 %, or off",
        values: PERCENT,
        off: Some(v::OFF),
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::or_off(limits.others_cpu, v::percent_text),
        set: |limits, text| {
            v::unless_off(text, |text| v::percent(text, MIN_PERCENT)).map(|value| limits.others_cpu = value)
        },
    },
    Key {
        name: "others-gpu",
        help: "Somebody counts as there while other programs use more of the GPU's time",
        range: "1 to 100 %, or off",
        values: PERCENT,
        off: Some(v::OFF),
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::or_off(limits.others_gpu, v::percent_text),
        set: |limits, text| {
            v::unless_off(text, |text| v::percent(text, MIN_PERCENT)).map(|value| limits.others_gpu = value)
        },
    },
    Key {
        name: "stop-for",
        help: "Stop while one of these programs runs",
        range: "up to 32 names with commas between, as in blender, steam; or none",
        values: ValueKind::Programs { most: MAX_PROGRAMS as u32 },
        off: None,
        bound_kind: Some(BoundKind::Least),
        get: |limits| if limits.stop_for.is_empty() { v::NONE.into() } else { limits.stop_for.join(", ") },
        set: |limits, text| programs(text).map(|value| limits.stop_for = value),
    },
    Key {
        name: "full-screen",
        help: "What to do while a program fills the screen",
        range: "stop or ignore",
        values: ValueKind::Word { words: &[STOP, IGNORE] },
        off: None,
        bound_kind: Some(BoundKind::Fixed),
        get: |limits| if limits.stop_for_full_screen { STOP } else { IGNORE }.into(),
        set: |limits, text| full_screen(text).map(|value| limits.stop_for_full_screen = value),
    },
    Key {
        name: "pause",
        help: "Compute nothing: on until it is turned off, or until an instant",
        range: "off, on, or an instant with its offset, as in 2030-06-15T14:30:00+02:00",
        values: ValueKind::Pause,
        off: Some(v::OFF),
        bound_kind: None,
        get: |limits| v::or_off(limits.pause, |pause| pause.to_string()),
        set: |limits, text| v::unless_off(text, str::parse).map(|value| limits.pause = value),
    },
];

/// Files of earlier versions say `off` for no limit.
fn speed(text: &str) -> Result<Option<u64>, ValueError> {
    match text.trim() {
        UNLIMITED => Ok(None),
        text => v::unless_off(text, |text| v::speed(text, MIN_SPEED)),
    }
}

fn celsius(text: &str) -> Result<u8, ValueError> {
    let text = text.trim();
    let number = text.strip_suffix('C').map_or(text, |rest| rest.strip_suffix('°').unwrap_or(rest));
    v::whole(number, MIN_CELSIUS, MAX_CELSIUS).map(|celsius| celsius as u8)
}

fn full_screen(text: &str) -> Result<bool, ValueError> {
    match text.trim() {
        STOP => Ok(true),
        IGNORE => Ok(false),
        _ => Err(ValueError::UnknownWord),
    }
}

fn programs(text: &str) -> Result<Vec<String>, ValueError> {
    let mut programs: Vec<String> = vec![];
    // The page's empty field means none, too.
    if matches!(text.trim(), "" | v::NONE) {
        return Ok(programs);
    }
    for name in text.split(',').map(str::trim) {
        let wrong = match name {
            "" => Some("a name is empty"),
            v::NONE | DEFAULT => Some("none and default are no programs"),
            _ if name.len() > MAX_PROGRAM_BYTES => Some("a name is longer than 255 bytes"),
            _ if name.contains(char::is_control) => Some("a name has control characters"),
            _ if name.contains(['/', '\\']) => Some("a name, not a path, is expected"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(ValueError::Programs(wrong));
        }
        if !programs.iter().any(|known| known == name) {
            programs.push(name.into());
        }
    }
    if programs.len() > MAX_PROGRAMS { Err(ValueError::Programs("too many")) } else { Ok(programs) }
}
