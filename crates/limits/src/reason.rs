use crate::{Share, value as v};
use jiff::civil;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};
use ts_rs::TS;

/// Why the allowance is what it is. Its text is for the donor: one plain sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reason {
    /// No rule takes anything: the limits themselves hold, whether or not somebody is there.
    Free,
    /// No sample was taken yet.
    Starting,
    /// The donor said so.
    Paused {
        /// The end of the pause; `None`: until the donor resumes.
        until: Option<Moment>,
    },
    /// Outside the donor's schedule.
    OutsideSchedule,
    /// As much was computed today as the donor lends a day.
    DailyHours {
        /// The donor's limit, in seconds.
        #[ts(type = "number")]
        limit: u64,
    },
    /// As much energy was spent today as the donor lends a day.
    DailyEnergy {
        /// The donor's limit, in watt-hours.
        limit: u32,
    },
    /// A key or the pointer moved.
    InUse,
    /// Other programs' CPU load is above the donor's threshold.
    OthersCpu {
        /// Theirs, of all cores.
        load: Share,
    },
    /// Other programs' GPU load is above the donor's threshold.
    OthersGpu {
        /// Theirs.
        load: Share,
    },
    /// Other programs' CPU load is below the threshold and gets its part.
    RoomCpu {
        /// Theirs, of all cores.
        load: Share,
    },
    /// Other programs' GPU load is below the threshold and gets its part.
    RoomGpu {
        /// Theirs.
        load: Share,
    },
    /// The battery is being drained.
    Battery {
        /// What is left of it.
        charge: Share,
    },
    /// Above the donor's temperature.
    TooHot {
        /// The hottest sensor.
        celsius: i16,
        /// The donor's.
        limit: u8,
    },
    /// Close to the donor's temperature.
    Warm {
        /// The hottest sensor.
        celsius: i16,
        /// The donor's.
        limit: u8,
    },
    /// It was too hot and is not cool enough yet.
    Cooling {
        /// The hottest sensor.
        celsius: i16,
        /// The temperature at which work continues.
        resumes: u8,
    },
    /// A program that the donor named is running.
    Program {
        /// The program.
        name: String,
    },
    /// The window in front covers the screen.
    FullScreen,
    /// A rule needs a signal that cannot be read, so the user may be present.
    Unknown {
        /// What cannot be read.
        signal: SignalKind,
        /// Why, as the probe says it.
        why: String,
    },
    /// The machine was needed a moment ago, or no samples were taken for a while.
    Settling,
    /// The machine was needed a while ago; more is taken step by step.
    Climbing,
    /// Main memory is short.
    MemoryShort {
        /// What programs can still get, in bytes.
        #[ts(type = "number")]
        available: u64,
    },
    /// Programs wait for main memory.
    MemoryPressure {
        /// Part of the time in which some program waits.
        waiting: Share,
    },
    /// Others need the GPU's memory.
    GpuMemoryShort {
        /// What others use, in bytes.
        #[ts(type = "number")]
        others: u64,
    },
}

/// A signal that a rule needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// The time since the last input.
    UserIdle,
    /// Other programs' CPU load.
    CpuLoad,
    /// Other programs' GPU load.
    GpuLoad,
    /// A temperature.
    Temperature,
    /// Mains or battery.
    Power,
    /// Whether a window covers the screen.
    FullScreen,
    /// Which programs run.
    Programs,
}

/// Signals whose rules are on even on a machine that does not have them: there, somebody counts as present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequiredSignals(Vec<SignalKind>);

impl RequiredSignals {
    /// Whether this one is required.
    pub fn has(&self, signal: SignalKind) -> bool {
        self.0.contains(&signal)
    }
}

impl FromIterator<SignalKind> for RequiredSignals {
    fn from_iter<I: IntoIterator<Item = SignalKind>>(signals: I) -> Self {
        Self(signals.into_iter().collect())
    }
}

/// A time on the donor's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Moment {
    /// In local time, to the minute.
    #[ts(type = "string")]
    pub at: civil::DateTime,
    /// Whether it is today; the date is then left out.
    pub today: bool,
}

impl SignalKind {
    /// Every signal.
    pub const ALL: [Self; 7] = [
        Self::UserIdle,
        Self::CpuLoad,
        Self::GpuLoad,
        Self::Temperature,
        Self::Power,
        Self::FullScreen,
        Self::Programs,
    ];

    /// The key of the rule that needs it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::UserIdle => "idle-after",
            Self::CpuLoad => "others-cpu",
            Self::GpuLoad => "others-gpu",
            Self::Temperature => "max-temperature",
            Self::Power => "on-battery",
            Self::FullScreen => "full-screen",
            Self::Programs => "stop-for",
        }
    }
}

impl Reason {
    /// The name of the case, as in the JSON form's `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Starting => "starting",
            Self::Paused { .. } => "paused",
            Self::OutsideSchedule => "outside_schedule",
            Self::DailyHours { .. } => "daily_hours",
            Self::DailyEnergy { .. } => "daily_energy",
            Self::InUse => "in_use",
            Self::OthersCpu { .. } => "others_cpu",
            Self::OthersGpu { .. } => "others_gpu",
            Self::RoomCpu { .. } => "room_cpu",
            Self::RoomGpu { .. } => "room_gpu",
            Self::Battery { .. } => "battery",
            Self::TooHot { .. } => "too_hot",
            Self::Warm { .. } => "warm",
            Self::Cooling { .. } => "cooling",
            Self::Program { .. } => "program",
            Self::FullScreen => "full_screen",
            Self::Unknown { .. } => "unknown",
            Self::Settling => "settling",
            Self::Climbing => "climbing",
            Self::MemoryShort { .. } => "memory_short",
            Self::MemoryPressure { .. } => "memory_pressure",
            Self::GpuMemoryShort { .. } => "gpu_memory_short",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("Nothing holds GoGrid back"),
            Self::Starting => f.write_str("Starting: the computer was not checked yet"),
            Self::Paused { until: Some(until) } => write!(f, "Paused until {until}"),
            Self::Paused { until: None } => f.write_str("Paused until you resume"),
            Self::OutsideSchedule => f.write_str("Outside the hours you lend"),
            Self::DailyHours { limit } => {
                write!(f, "Today's {} of work are used up", v::duration_text(Duration::from_secs(*limit)))
            }
            Self::DailyEnergy { limit } => write!(f, "Today's {} of energy are used up", v::energy_text(*limit)),
            Self::InUse => f.write_str("You are using the computer"),
            Self::OthersCpu { load } => write!(f, "Other programs use {load} of the CPU"),
            Self::OthersGpu { load } => write!(f, "Other programs use {load} of the GPU"),
            Self::RoomCpu { load } => write!(f, "Leaving room for other programs, which use {load} of the CPU"),
            Self::RoomGpu { load } => write!(f, "Leaving room for other programs, which use {load} of the GPU"),
            Self::Battery { charge } => write!(f, "On battery, {charge} left"),
            Self::TooHot { celsius, limit } => write!(f, "Too hot: {celsius} °C of at most {limit} °C"),
            Self::Warm { celsius, limit } => write!(f, "Getting hot: {celsius} °C of at most {limit} °C"),
            Self::Cooling { celsius, resumes } => write!(f, "Cooling down: {celsius} °C, goes on at {resumes} °C"),
            Self::Program { name } => write!(f, "{name} is running"),
            Self::FullScreen => f.write_str("A program fills the screen"),
            Self::Unknown { signal, why } => write!(f, "{signal} cannot be read: {why}"),
            Self::Settling => f.write_str("Waiting for a moment of calm before taking more"),
            Self::Climbing => f.write_str("Nothing holds GoGrid back any more: taking more step by step"),
            Self::MemoryShort { available } => write!(f, "Memory is short: {} left", size(*available)),
            Self::MemoryPressure { waiting } => {
                write!(f, "Memory is short: programs wait for it {waiting} of the time")
            }
            Self::GpuMemoryShort { others } => write!(f, "Other programs use {} of GPU memory", size(*others)),
        }
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserIdle => "The time since the last input",
            Self::CpuLoad => "Other programs' CPU load",
            Self::GpuLoad => "Other programs' GPU load",
            Self::Temperature => "Heat",
            Self::Power => "The power supply",
            Self::FullScreen => "Whether a program fills the screen",
            Self::Programs => "The list of running programs",
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = if self.today { "%H:%M" } else { "%H:%M on %-d %B %Y" };
        write!(f, "{}", self.at.strftime(form))
    }
}

fn size(bytes: u64) -> impl fmt::Display {
    bytesize::ByteSize(bytes).display().iec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const LOAD: Share = Share::from_percent(62);

    fn moment(today: bool) -> Moment {
        Moment { at: civil::date(2026, 11, 7).at(14, 30, 0, 0), today }
    }

    #[rstest]
    #[case(Reason::Free, "free", "Nothing holds GoGrid back")]
    #[case(Reason::Starting, "starting", "Starting: the computer was not checked yet")]
    #[case(Reason::Paused { until: None }, "paused", "Paused until you resume")]
    #[case(Reason::Paused { until: Some(moment(true)) }, "paused", "Paused until 14:30")]
    #[case(Reason::Paused { until: Some(moment(false)) }, "paused", "Paused until 14:30 on 7 November 2026")]
    #[case(Reason::OutsideSchedule, "outside_schedule", "Outside the hours you lend")]
    #[case(Reason::DailyHours { limit: 9000 }, "daily_hours", "Today's 2h 30m of work are used up")]
    #[case(Reason::DailyEnergy { limit: 500 }, "daily_energy", "Today's 500Wh of energy are used up")]
    #[case(Reason::InUse, "in_use", "You are using the computer")]
    #[case(Reason::OthersCpu { load: LOAD }, "others_cpu", "Other programs use 62 % of the CPU")]
    #[case(Reason::OthersGpu { load: LOAD }, "others_gpu", "Other programs use 62 % of the GPU")]
    #[case(Reason::RoomCpu { load: LOAD }, "room_cpu", "Leaving room for other programs, which use 62 % of the CPU")]
    #[case(Reason::RoomGpu { load: LOAD }, "room_gpu", "Leaving room for other programs, which use 62 % of the GPU")]
    #[case(Reason::Battery { charge: LOAD }, "battery", "On battery, 62 % left")]
    #[case(Reason::TooHot { celsius: 91, limit: 85 }, "too_hot", "Too hot: 91 °C of at most 85 °C")]
    #[case(Reason::Warm { celsius: 83, limit: 85 }, "warm", "Getting hot: 83 °C of at most 85 °C")]
    #[case(Reason::Cooling { celsius: 82, resumes: 80 }, "cooling", "Cooling down: 82 °C, goes on at 80 °C")]
    #[case(Reason::Program { name: "blender".into() }, "program", "blender is running")]
    #[case(Reason::FullScreen, "full_screen", "A program fills the screen")]
    #[case(
        Reason::Unknown { signal: SignalKind::UserIdle, why: "no display found".into() },
        "unknown",
        "The time since the last input cannot be read: no display found"
    )]
    #[case(Reason::Settling, "settling", "Waiting for a moment of calm before taking more")]
    #[case(Reason::Climbing, "climbing", "Nothing holds GoGrid back any more: taking more step by step")]
    #[case(Reason::MemoryShort { available: 3 << 29 }, "memory_short", "Memory is short: 1.5 GiB left")]
    #[case(
        Reason::MemoryPressure { waiting: LOAD },
        "memory_pressure",
        "Memory is short: programs wait for it 62 % of the time"
    )]
    #[case(Reason::GpuMemoryShort { others: 3 << 29 }, "gpu_memory_short", "Other programs use 1.5 GiB of GPU memory")]
    fn says_one_plain_sentence_and_keeps_its_kind_in_json(
        #[case] reason: Reason,
        #[case] kind: &str,
        #[case] text: &str,
    ) {
        assert_eq!(reason.to_string(), text);
        assert_eq!(reason.kind(), kind);
        let json = serde_json::to_value(&reason).unwrap();
        assert_eq!(json["kind"], kind);
        assert_eq!(serde_json::from_value::<Reason>(json).unwrap(), reason);
    }
}
