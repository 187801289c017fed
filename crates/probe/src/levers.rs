//! Soft levers: system calls that let the machine's other programs go first.
//!
//! Call [`background_process`] once, and [`background_thread`] on each thread that computes, before it starts other
//! threads: on Linux they inherit the settings. A report says for each lever what was set, or why it was not.

#[cfg(any(target_os = "linux", windows, target_os = "macos"))]
#[cfg_attr(target_os = "linux", path = "levers/linux.rs")]
#[cfg_attr(windows, path = "levers/windows.rs")]
#[cfg_attr(target_os = "macos", path = "levers/macos.rs")]
mod system;

#[cfg(not(any(target_os = "linux", windows, target_os = "macos")))]
use crate::unsupported as system;

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// Whether a lever was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was set to this value.
    Set(String),
    /// It was not set, for this reason.
    NotSet(String),
}

/// One lever and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lever {
    /// Its name, as the system's manuals call it.
    pub name: &'static str,
    /// Whether it was set.
    pub outcome: Outcome,
}

/// The outcome of some levers, for the log and the page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct LeverReport {
    /// In the order in which they were set.
    pub levers: Vec<Lever>,
}

impl LeverReport {
    /// Whether every lever was set.
    pub fn is_complete(&self) -> bool {
        self.levers.iter().all(|lever| matches!(lever.outcome, Outcome::Set(_)))
    }

    pub(crate) fn add<E: fmt::Display>(
        &mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
        result: Result<(), E>,
    ) {
        let outcome = match result {
            Ok(()) => Outcome::Set(value.into().into_owned()),
            Err(reason) => Outcome::NotSet(reason.to_string()),
        };
        self.levers.push(Lever { name, outcome });
    }
}

impl fmt::Display for LeverReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Lever { name, outcome }) in self.levers.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match outcome {
                Outcome::Set(value) => write!(f, "{separator}{name} = {value}")?,
                Outcome::NotSet(reason) => write!(f, "{separator}{name} not set ({reason})")?,
            }
        }
        Ok(())
    }
}

/// Lowers the calling thread below the machine's other programs, for CPU time and for the disk, and makes its short
/// sleeps exact.
pub fn background_thread() -> LeverReport {
    let mut report = LeverReport::default();
    system::background_thread(&mut report);
    report
}

/// Sets for the whole process what cannot be set for each thread. Among others, it is the first to be killed when memory
/// runs out.
pub fn background_process() -> LeverReport {
    let mut report = LeverReport::default();
    system::background_process(&mut report);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_a_line() {
        let mut report = LeverReport::default();
        report.add("nice", "19", Ok::<_, String>(()));
        assert!(report.is_complete());
        report.add("cpu.max", "20 %", Err("not delegated"));
        assert!(!report.is_complete());
        assert_eq!(report.to_string(), "nice = 19, cpu.max not set (not delegated)");
        let json =
            r#"[{"name":"nice","outcome":{"set":"19"}},{"name":"cpu.max","outcome":{"not_set":"not delegated"}}]"#;
        assert_eq!(serde_json::to_string(&report).unwrap(), json);
    }
}
