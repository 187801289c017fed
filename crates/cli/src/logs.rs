//! Logs go to standard error; of a worker and a coordinator also to a file a day in their folder.

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

/// Files that are kept, one for each day on which the program ran: two weeks are enough to look into a complaint.
const KEPT: usize = 14;
/// The folder of the files, in the program's data folder.
const FOLDER: &str = "logs";

/// What a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log<'a> {
    /// The screen is for people: errors only.
    Screen,
    /// A program that runs for long, and whose past is of interest.
    Service {
        /// The files' first name.
        name: &'static str,
        /// The folder in which theirs is.
        data: &'a Path,
    },
}

/// Starts logging. `GOGRID_LOG` takes another filter, such as `debug` or `gogrid_engine=trace`.
///
/// The file is written by a thread of its own, so that a slow disk never holds anybody up; what it has not written yet
/// is written when the guard is dropped. A file that cannot be written is said, and does not keep the program from
/// running.
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

/// The file of today, and of every day that follows.
fn open(name: &str, folder: &Path) -> anyhow::Result<(NonBlocking, WorkerGuard)> {
    // Here, and not by the builder: that complains on standard error of a folder that is not there yet.
    fs::create_dir_all(folder)?;
    let days = tracing_appender::rolling::Builder::new()
        .rotation(Rotation::DAILY)
        .filename_prefix(name)
        .filename_suffix("log")
        .max_log_files(KEPT)
        .build(folder)?;
    Ok(tracing_appender::non_blocking(days))
}

/// Lines of text without colours.
fn in_file<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).fmt_fields(PlainFields::default())
}

/// The default form of a span's fields as a type of its own: layers whose forms are of one type share the text, which
/// for the first of them, the screen, is coloured.
#[derive(Debug, Default)]
struct PlainFields(DefaultFields);

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> std::fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

#[cfg(test)]
mod tests;
