use crate::{Limits, policy::BoundKind, value as v, value::ValueError};
use std::time::Duration;

/// Shorter than this no pause in typing is.
pub(crate) const LEAST_IDLE: Duration = Duration::from_secs(1);
/// Somebody who is away for a day is away.
const MOST_IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// More cores than any machine has that somebody lends.
const MOST_THREADS: u32 = 1024;
/// A machine that stops at less would never work in a warm room.
const LEAST_CELSIUS: u32 = 40;
/// No processor or graphics card stays on above that.
const MOST_CELSIUS: u32 = 110;
/// In bytes per second. With less, the smallest model would take days.
const LEAST_SPEED: u64 = 1000;
/// Every running process is compared with each of them every few seconds.
const MOST_PROGRAMS: usize = 32;
/// No program's file is called longer on any system.
const LONGEST_PROGRAM_BYTES: usize = 255;
/// Any number of threads.
const ALL: &str = "all";
const STOP: &str = "stop";
const IGNORE: &str = "ignore";
/// Goes back to the preset's value.
pub(crate) const DEFAULT: &str = "default";

/// One limit's name in settings, and its form there.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As on the command line and in the settings file.
    pub name: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// The values that it takes.
    pub range: &'static str,
    pub(crate) form: TomlKind,
    /// How a policy bounds it; `None`: the donor's alone.
    pub(crate) bound_kind: Option<BoundKind>,
    pub(crate) get: fn(&Limits) -> String,
    pub(crate) set: fn(&mut Limits, &str) -> Result<(), ValueError>,
}

/// How TOML writes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TomlKind {
    /// Text.
    Text,
    /// A number without its unit; text where it is a word.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    List,
}

impl Key {
    /// Its value, as `set` takes it.
    pub fn value(&self, limits: &Limits) -> String {
        (self.get)(limits)
    }

    /// Whether its value is not the preset's.
    pub fn is_changed(&self, limits: &Limits) -> bool {
        self.value(limits) != self.value(&Limits::of(limits.preset))
    }
}

/// Every key, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "preset",
        help: "The limits to start from; choosing one undoes every change but a pause",
        range: "quiet, balanced or full",
        form: TomlKind::Text,
        bound_kind: None,
        get: |limits| limits.preset.to_string(),
        set: |limits, text| text.parse().map(|preset| limits.choose(preset)),
    },
    Key {
        name: "cpu",
        help: "Most of all cores' time",
        range: "1 to 100 %",
        form: TomlKind::Number,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::percent_text(limits.cpu),
        set: |limits, text| v::percent(text, 1).map(|value| limits.cpu = value),
    },
    Key {
        name: "cpu-threads",
        help: "Most threads that compute",
        range: "1 to 1024, or all",
        form: TomlKind::Number,
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.cpu_threads.map_or_else(|| ALL.into(), |threads| threads.to_string()),
        set: |limits, text| {
            let threads = if text.trim() == ALL { Ok(None) } else { v::whole(text, 1, MOST_THREADS).map(Some) };
            threads.map(|value| limits.cpu_threads = value)
        },
    },
    Key {
        name: "cpu-in-use",
        help: "Most of all cores' time while somebody is there; never more than cpu",
        range: "0 to 100 %",
        form: TomlKind::Number,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::percent_text(limits.cpu_in_use),
        set: |limits, text| v::percent(text, 0).map(|value| limits.cpu_in_use = value),
    },
    Key {
        name: "gpu",
        help: "Most of the GPU's time",
        range: "1 to 100 %",
        form: TomlKind::Number,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::percent_text(limits.gpu),
        set: |limits, text| v::percent(text, 1).map(|value| limits.gpu = value),
    },
    Key {
        name: "gpu-in-use",
        help: "Most of the GPU's time while somebody is there; never more than gpu",
        range: "0 to 100 %",
        form: TomlKind::Number,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::percent_text(limits.gpu_in_use),
        set: |limits, text| v::percent(text, 0).map(|value| limits.gpu_in_use = value),
    },
    Key {
        name: "gpu-memory",
        help: "Most GPU memory",
        range: "0 to 100 % with its sign, or bytes as in 4GiB or 500MB",
        form: TomlKind::Text,
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.gpu_memory.to_string(),
        set: |limits, text| text.parse().map(|value| limits.gpu_memory = value),
    },
    Key {
        name: "memory",
        help: "Most main memory",
        range: "0 to 100 % with its sign, or bytes as in 4GiB or 500MB",
        form: TomlKind::Text,
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.memory.to_string(),
        set: |limits, text| text.parse().map(|value| limits.memory = value),
    },
    Key {
        name: "disk",
        help: "Most of the disk, for weights",
        range: "0 to 100 % with its sign, or bytes as in 40GiB or 100GB",
        form: TomlKind::Text,
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.disk.to_string(),
        set: |limits, text| text.parse().map(|value| limits.disk = value),
    },
    Key {
        name: "network",
        help: "Most network traffic for weights; off for no limit",
        range: "1kB/s or more, as in 500kB/s or 10MB/s, or off",
        form: TomlKind::Text,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::or_off(limits.network, v::speed_text),
        set: |limits, text| v::unless_off(text, |text| v::speed(text, LEAST_SPEED)).map(|value| limits.network = value),
    },
    Key {
        name: "when",
        help: "When to work: always, only while nobody is there, in the hours of the schedule, or where both allow it",
        range: "always, idle, schedule or idle-in-schedule",
        form: TomlKind::Text,
        bound_kind: Some(BoundKind::Fixed),
        get: |limits| limits.when.to_string(),
        set: |limits, text| text.parse().map(|value| limits.when = value),
    },
    Key {
        name: "idle-after",
        help: "Without input for so long the user counts as away",
        range: "1s to 24h, as in 90s, 3m or 1h 30m",
        form: TomlKind::Text,
        bound_kind: Some(BoundKind::Least),
        get: |limits| v::duration_text(limits.idle_after),
        set: |limits, text| v::duration(text, LEAST_IDLE, MOST_IDLE).map(|value| limits.idle_after = value),
    },
    Key {
        name: "schedule",
        help: "The hours to work in if when names the schedule, in local time",
        range: "days with or without hours, on the quarter, as in mon-fri 18:00-08:00, sat-sun; or none",
        form: TomlKind::List,
        bound_kind: Some(BoundKind::Most),
        get: |limits| limits.schedule.to_string(),
        set: |limits, text| text.parse().map(|value| limits.schedule = value),
    },
    Key {
        name: "on-battery",
        help: "Work while the machine runs on its battery",
        range: "true or false",
        form: TomlKind::Flag,
        bound_kind: Some(BoundKind::Fixed),
        get: |limits| limits.on_battery.to_string(),
        set: |limits, text| v::flag(text).map(|value| limits.on_battery = value),
    },
    Key {
        name: "max-temperature",
        help: "Stop above this temperature of the CPU or GPU",
        range: "40 to 110 °C, or off",
        form: TomlKind::Number,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::or_off(limits.max_celsius, |celsius| format!("{celsius}°C")),
        set: |limits, text| v::unless_off(text, celsius).map(|value| limits.max_celsius = value),
    },
    Key {
        name: "others-cpu",
        help: "Somebody counts as there while other programs use more of all cores' time",
        range: "1 to 100 %, or off",
        form: TomlKind::Number,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::or_off(limits.others_cpu, v::percent_text),
        set: |limits, text| v::unless_off(text, |text| v::percent(text, 1)).map(|value| limits.others_cpu = value),
    },
    Key {
        name: "others-gpu",
        help: "Somebody counts as there while other programs use more of the GPU's time",
        range: "1 to 100 %, or off",
        form: TomlKind::Number,
        bound_kind: Some(BoundKind::Most),
        get: |limits| v::or_off(limits.others_gpu, v::percent_text),
        set: |limits, text| v::unless_off(text, |text| v::percent(text, 1)).map(|value| limits.others_gpu = value),
    },
    Key {
        name: "stop-for",
        help: "Stop while one of these programs runs",
        range: "up to 32 names with commas between, as in blender, steam; or none",
        form: TomlKind::List,
        bound_kind: Some(BoundKind::Least),
        get: |limits| if limits.stop_for.is_empty() { v::NONE.into() } else { limits.stop_for.join(", ") },
        set: |limits, text| programs(text).map(|value| limits.stop_for = value),
    },
    Key {
        name: "full-screen",
        help: "What to do while a program fills the screen",
        range: "stop or ignore",
        form: TomlKind::Text,
        bound_kind: Some(BoundKind::Fixed),
        get: |limits| if limits.stop_for_full_screen { STOP } else { IGNORE }.into(),
        set: |limits, text| full_screen(text).map(|value| limits.stop_for_full_screen = value),
    },
    Key {
        name: "pause",
        help: "Compute nothing: on until it is turned off, or until an instant",
        range: "off, on, or an instant with its offset, as in 2030-06-15T14:30:00+02:00",
        form: TomlKind::Text,
        bound_kind: None,
        get: |limits| v::or_off(limits.pause, |pause| pause.to_string()),
        set: |limits, text| v::unless_off(text, str::parse).map(|value| limits.pause = value),
    },
];

fn celsius(text: &str) -> Result<u8, ValueError> {
    let text = text.trim();
    let number = text.strip_suffix('C').map_or(text, |rest| rest.strip_suffix('°').unwrap_or(rest));
    v::whole(number, LEAST_CELSIUS, MOST_CELSIUS).map(|celsius| celsius as u8)
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
    // A panel's empty field means none, too.
    if matches!(text.trim(), "" | v::NONE) {
        return Ok(programs);
    }
    for name in text.split(',').map(str::trim) {
        let wrong = match name {
            "" => Some("a name is empty"),
            v::NONE | DEFAULT => Some("none and default are no programs"),
            _ if name.len() > LONGEST_PROGRAM_BYTES => Some("a name is longer than 255 bytes"),
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
    if programs.len() > MOST_PROGRAMS { Err(ValueError::Programs("too many")) } else { Ok(programs) }
}
