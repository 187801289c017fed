use crate::{local::LocalError, membership::MembershipError, resources::SettingsError};
use gogrid_compute::DeviceError;
use gogrid_limits::{LimitsError, OverLimit};
use std::io;

/// Why a worker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Neither a member nor a join code.
    #[error(
        "this machine has not joined a coordinator yet: start it once with --join CODE (`gogrid invite` makes one)"
    )]
    NotJoined,
    /// The coordinator does not let this machine in.
    #[error("{0}")]
    Refused(String),
    /// The coordinator of the join code does not answer.
    #[error("the coordinator of this join code does not answer: {0}")]
    NoAnswer(String),
    /// The membership file.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// The limits.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The memory that was given is not a valid limit.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The machine's memory, of which a part is to be lent, is not known.
    #[error("the device's memory is not known ({reason}): say with --memory how much to lend")]
    UnknownMemory {
        /// Why not.
        reason: String,
    },
    /// Not even the device's runtime fits the limit.
    #[error("the GPU cannot be used within its memory limit")]
    TooLittle(#[from] OverLimit),
    /// The socket for the panel and the command line.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The computing thread has panicked, and every stage is gone.
    #[error("the computing thread panicked; what it said is in the log above")]
    Executor,
    /// The weights' folder or a thread cannot be made.
    #[error("cannot set up the worker")]
    Io(#[from] io::Error),
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
