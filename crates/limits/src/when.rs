use crate::value::ValueError;
use std::{fmt, str::FromStr};

/// When to work at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// At any time; less while the user is present.
    Always,
    /// Only while the user is away.
    Idle,
    /// Only in the hours of the schedule; less while the user is present.
    Schedule,
    /// Only while the user is away, and only in the hours of the schedule.
    IdleInSchedule,
}

impl When {
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::Always, Self::Idle, Self::Schedule, Self::IdleInSchedule];

    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Idle => "idle",
            Self::Schedule => "schedule",
            Self::IdleInSchedule => "idle-in-schedule",
        }
    }

    /// Whether nothing is lent while the user is present.
    pub const fn is_idle_only(self) -> bool {
        matches!(self, Self::Idle | Self::IdleInSchedule)
    }

    /// Whether nothing is lent outside the hours of the schedule.
    pub const fn keeps_hours(self) -> bool {
        matches!(self, Self::Schedule | Self::IdleInSchedule)
    }

    /// Lends only when both do.
    #[must_use]
    pub const fn stricter(self, other: Self) -> Self {
        match (self.is_idle_only() || other.is_idle_only(), self.keeps_hours() || other.keeps_hours()) {
            (false, false) => Self::Always,
            (true, false) => Self::Idle,
            (false, true) => Self::Schedule,
            (true, true) => Self::IdleInSchedule,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for When {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::ALL.into_iter().find(|when| when.name() == text.trim()).ok_or(ValueError::UnknownWord)
    }
}
