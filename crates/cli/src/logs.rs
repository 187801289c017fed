use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Logs go to standard error; `GOGRID_LOG` takes another filter, such as `debug` or `gogrid_engine=trace`.
pub(crate) fn start(quiet: bool) {
    let default = if quiet { "error" } else { "warn,gogrid=info,gogrid_engine=info,gogrid_coordinator=info" };
    let filter = EnvFilter::try_from_env("GOGRID_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
}
