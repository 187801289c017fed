use crate::value::ValueError;
use std::{fmt, str::FromStr};

/// When to work at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// At any time; less while somebody is there.
    Always,
    /// Only while nobody is there.
    Idle,
    /// Only in the hours of the schedule; less while somebody is there.
    Schedule,
}

impl When {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Always, Self::Idle, Self::Schedule];

    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Idle => "idle",
            Self::Schedule => "schedule",
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
