//! The workspace's own commands: `cargo xtask demo`, `test`, `bundle` and `desktop-figures`.

mod bundle;
mod debian;
mod demo;
mod install;
mod run;
mod steps;
mod test;
mod ui;
mod workspace;

use clap::{Parser, Subcommand};
use std::{ffi::OsString, process::ExitCode};

/// GoGrid's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build `gogrid` in release and run `gogrid demo` with the arguments given.
    #[command(disable_help_flag = true)]
    Demo {
        /// Arguments of `gogrid demo`, for example `--workers 4`; `--help` shows them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Install what the tests need, where it is missing, and run every check and test.
    Test {
        /// Only format, clippy and the tests without processes of their own; installs nothing.
        #[arg(long)]
        fast: bool,
    },
    /// Build the desktop app and its worker in release and pack them: .deb and .rpm, .msi or .dmg, as the system has it.
    Bundle(bundle::Options),
    /// Build the desktop app in release and measure it: memory, idle processor time, start, window, click to pause.
    DesktopFigures {
        /// Measure the debug build, which the tests have made.
        #[arg(long)]
        debug: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo { args } => demo::run(&args),
        Command::Test { fast } => test::run(fast),
        Command::Bundle(options) => bundle::run(&options),
        Command::DesktopFigures { debug } => bundle::figures(debug),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
