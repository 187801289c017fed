//! Runs commands one after another, each under a heading and with its time, and remembers how they ended.

use std::{
    process::Command,
    time::{Duration, Instant},
};

/// How a step ended.
#[derive(Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    /// Was not run, and why.
    Skipped(String),
}

/// The steps so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Outcome, Duration)>,
}

impl Steps {
    /// Runs a command as a step; true if it succeeded.
    pub(crate) fn run(&mut self, name: &'static str, command: &mut Command) -> bool {
        eprintln!("\n── {name}: {}", shown(command));
        let start = Instant::now();
        let outcome = match command.status() {
            Ok(status) if status.success() => Outcome::Passed,
            Ok(status) => Outcome::Failed(status.to_string()),
            Err(error) => Outcome::Failed(format!("cannot start {}: {error}", command.get_program().to_string_lossy())),
        };
        let passed = outcome == Outcome::Passed;
        if let Outcome::Failed(why) = &outcome {
            eprintln!("── {name} FAILED: {why}");
        }
        self.done.push((name, outcome, start.elapsed()));
        passed
    }

    /// Records a step that failed before it could run.
    pub(crate) fn fail(&mut self, name: &'static str, why: String) {
        eprintln!("── {name} FAILED: {why}");
        self.done.push((name, Outcome::Failed(why), Duration::ZERO));
    }

    /// Records a step that is not run, and why.
    pub(crate) fn skip(&mut self, name: &'static str, why: impl Into<String>) {
        self.done.push((name, Outcome::Skipped(why.into()), Duration::ZERO));
    }

    /// Prints how every step ended and names the first failure; true if there was none.
    pub(crate) fn summary(&self) -> bool {
        eprintln!();
        for (name, outcome, took) in &self.done {
            match outcome {
                Outcome::Passed => eprintln!("{name:<18} passed   {:>7.1} s", took.as_secs_f64()),
                Outcome::Failed(why) => eprintln!("{name:<18} FAILED   {:>7.1} s  {why}", took.as_secs_f64()),
                Outcome::Skipped(why) => eprintln!("{name:<18} not run             {why}"),
            }
        }
        let failed = self.done.iter().find(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)));
        let total: Duration = self.done.iter().map(|(_, _, took)| *took).sum();
        match failed {
            None => eprintln!("\nall passed in {:.0} s", total.as_secs_f64()),
            Some((name, ..)) => eprintln!("\nFAILED, first: {name}"),
        }
        failed.is_none()
    }
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
