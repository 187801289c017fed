//! The desktop app: a tray icon, a window on demand, and the worker as a child process. It links no model code.
//!
//! ```text
//!  settings ─────┐
//!  key loader ───┼──► app state ──► tray, page, notifications
//!  supervisor ───┘                        │ clicks and commands
//!       ▲                                 ▼
//!       └────────────────────── the worker's socket
//! ```

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod app;
mod app_handles;
mod app_state;
mod arguments;
mod ask;
mod commands;
mod desired_state;
mod export;
mod folders;
mod join_link;
mod log_lines;
mod logging;
mod notify;
mod redact;
mod rendering;
mod report;
mod secrets;
mod settings;
#[cfg(test)]
mod testing;
mod tray;
mod update;
mod window;
mod worker;

use anyhow::{Context, Result};
use arguments::Arguments;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// Two, so that a pause is never stuck behind a task that computes; more would only cost memory.
const THREADS: usize = 2;
/// For the disk and name resolution, where few commands wait.
const BLOCKING_THREADS: usize = 8;

fn main() -> ExitCode {
    rendering::use_software();
    let arguments = Arguments::read(std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()));
    match run(arguments) {
        Ok(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<i32> {
    let runtime = runtime().context("the system has no threads left")?;
    tauri::async_runtime::set(runtime.handle().clone());
    let code = app::run(arguments).context("the app cannot start")?;
    // Do not wait for a key store that waits for its password.
    runtime.shutdown_background();
    Ok(code)
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("gogrid-app")
        .enable_all()
        .build()
}
