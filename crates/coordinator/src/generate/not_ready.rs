use std::fmt;

/// Why no pipeline of a model takes sessions, for clients of the API: it says nothing of single machines or of the
/// people who own them. The operator's status says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// Its files are being read.
    Reading,
    /// The coordinator has not read its list of models yet.
    Starting,
    /// Where its layers go is being worked out.
    Planning,
    /// Its stages are being loaded.
    Loading {
        /// Those that are loaded.
        loaded: usize,
        /// All of them.
        stages: usize,
    },
    /// No connected machines have room for it.
    InsufficientMemory,
    /// The machines that served it have not connected again yet.
    Returning,
    /// It lost its machines, or they could not load it.
    Interrupted,
    /// The machines that serve it take no work now.
    Stopped,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => f.write_str("its files are being read"),
            Self::Starting => f.write_str("the coordinator has just started"),
            Self::Planning => f.write_str("its place is being worked out"),
            Self::Loading { loaded, stages } => write!(f, "{loaded} of {stages} stages are loaded"),
            Self::InsufficientMemory => f.write_str("no connected machines have room for it now"),
            Self::Returning => f.write_str("machines that served it before have not connected again yet"),
            Self::Interrupted => f.write_str("it lost its machines and is being placed anew"),
            Self::Stopped => f.write_str("the machines that serve it take no work now"),
        }
    }
}
