use gogrid_limits::Signal;

/// Where a signal comes from on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which: `user_idle`, `full_screen`, `power`, `temperature`, `cpu`, `memory` or `gpu`.
    pub signal: &'static str,
    /// What it is read from, for people; or why it cannot be read.
    pub from: Result<String, String>,
}

impl Source {
    /// A signal that comes from there, if it can be read.
    pub(crate) fn of<T>(signal: &'static str, read: Signal<T>, from: &str) -> Self {
        Self { signal, from: read.into_result().map(|_| from.into()) }
    }
}
