//! The app's log: a file a day in its data folder, and standard error where somebody looks at it.

use std::{io::IsTerminal, panic, path::Path};
use tracing_appender::{non_blocking::WorkerGuard, rolling::Rotation};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// The files' first name: `app.2026-11-25.log`.
pub(crate) const NAME: &str = "app";
/// Files that are kept, one for each day on which the app ran: two weeks are enough to look into a complaint.
const MAX_FILES: usize = 14;
/// Our own steps, and what libraries find wrong.
const DEFAULT_FILTER: &str = "warn,gogrid_desktop=info";

/// Starts logging. `GOGRID_LOG` takes another filter, such as `debug`.
///
/// The file is written by a thread of its own, so that a slow disk never holds up the tray; what it has not written yet
/// is written when the guard is dropped. A file that cannot be written does not keep the app from running.
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

/// A panic in a thread or a task would otherwise be seen by nobody.
fn log_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tracing::error!("{panic}");
        print(panic);
    }));
}
