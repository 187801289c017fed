//! Logs go to standard error; those of a worker and a coordinator also go to one file a day in their data folder.

mod bounded;

use bounded::{Bounded, today};
use std::{fs, io::IsTerminal, path::Path};
use tracing::Subscriber;
use tracing_appender::{
    non_blocking::{NonBlocking, WorkerGuard},
    rolling::Rotation,
};
use tracing_subscriber::{
    EnvFilter, Layer,
    field::RecordFields,
    fmt::{
        FormatFields, MakeWriter,
        format::{DefaultFields, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// The most files, one for each day on which the program ran. Two weeks are enough to look into a complaint.
const MAX_FILES: usize = 14;
/// The folder of the files within the program's data folder.
const FOLDER: &str = "logs";

/// Where a log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log<'a> {
    /// To the screen, for people: errors only.
    Screen,
    /// To files too: a program that runs for long.
    Service {
        /// The prefix of the files.
        name: &'static str,
        /// The data folder.
        data: &'a Path,
    },
}

/// Starts logging. `GOGRID_LOG` takes another filter, such as `debug` or `gogrid_engine=trace`.
///
/// A thread of its own writes the file, so that a slow disk never blocks the program. Dropping the guard flushes it.
/// The program warns of a file that cannot be written, and runs without it.
pub(crate) fn start(log: Log<'_>) -> Option<WorkerGuard> {
    let default = match log {
        Log::Screen => "error",
        Log::Service { .. } => "warn,gogrid=info,gogrid_engine=info,gogrid_coordinator=info",
    };
    let filter = EnvFilter::try_from_env("GOGRID_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let file = match log {
        Log::Screen => None,
        Log::Service { name, data } => {
            let folder = data.join(FOLDER);
            open(name, &folder)
                .inspect_err(|error| eprintln!("warning: no log is kept in {}: {error}", folder.display()))
                .ok()
        }
    };
    let (file, guard) = file.unzip();
    let ansi = std::io::stderr().is_terminal();
    let screen = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    tracing_subscriber::registry().with(filter).with(screen).with(file.map(in_file)).init();
    guard
}

/// Opens the file of today. Each day gets a new one, of a bounded size.
fn open(name: &str, folder: &Path) -> anyhow::Result<(NonBlocking, WorkerGuard)> {
    // Not left to the builder, which complains on standard error if the folder is missing.
    fs::create_dir_all(folder)?;
    let days = tracing_appender::rolling::Builder::new()
        .rotation(Rotation::DAILY)
        .filename_prefix(name)
        .filename_suffix("log")
        .max_log_files(MAX_FILES)
        .build(folder)?;
    let written = fs::metadata(folder.join(format!("{name}.{}.log", today()))).map_or(0, |found| found.len());
    Ok(tracing_appender::non_blocking(Bounded::new(days, written)))
}

/// A layer that writes text without colours.
fn in_file<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).fmt_fields(PlainFields::default())
}

/// The default format of a span's fields, as a type of its own. Layers whose formats have the same type share the
/// formatted text, which is coloured for the screen.
#[derive(Debug, Default)]
struct PlainFields(DefaultFields);

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> std::fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

#[cfg(test)]
mod tests;
