//! The app's log: one file a day in its data folder, and standard error if that is a terminal.

use std::{io::IsTerminal, panic, path::Path};
use tracing_appender::{non_blocking::WorkerGuard, rolling::Rotation};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// The prefix of the files: `app.2026-11-25.log`.
pub(crate) const NAME: &str = "app";
/// The most files, one for each day on which the app ran. Two weeks are enough to look into a complaint.
const MAX_FILES: usize = 14;
/// Information from the app, warnings from its libraries.
const DEFAULT_FILTER: &str = "warn,gogrid_desktop=info";

/// Starts logging. `GOGRID_LOG` takes another filter, such as `debug`.
///
/// A thread of its own writes the file, so that a slow disk never blocks the tray. Dropping the guard flushes it. The
/// app runs even if the file cannot be written.
pub(crate) fn start(folder: &Path) -> Option<WorkerGuard> {
    let filter = EnvFilter::try_from_env("GOGRID_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let file = tracing_appender::rolling::Builder::new()
        .rotation(Rotation::DAILY)
        .filename_prefix(NAME)
        .filename_suffix("log")
        .max_log_files(MAX_FILES)
        .build(folder)
        .map(tracing_appender::non_blocking);
    let (writer, guard, failed) = match file {
        Ok((writer, guard)) => (Some(writer), Some(guard), None),
        Err(error) => (None, None, Some(error)),
    };
    let file = writer.map(|writer| tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false));
    let screen = std::io::stderr().is_terminal().then(|| tracing_subscriber::fmt::layer().with_writer(std::io::stderr));
    tracing_subscriber::registry().with(filter).with(screen).with(file).init();
    if let Some(error) = failed {
        tracing::warn!("no log is kept in {}: {error}", folder.display());
    }
    log_panics();
    guard
}

/// Logs panics of threads and tasks, which nobody would see otherwise.
fn log_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tracing::error!("{panic}");
        print(panic);
    }));
}
