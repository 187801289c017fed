use crate::{VERSION, version5};
use serde::{Deserialize, Serialize};

/// Why a worker is not let in. Variants are only added at the end, and those of a newer version travel to an older
/// worker as text ([`for_version`](Self::for_version)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The programs speak different versions.
    #[error("the worker speaks protocol version {worker}, the coordinator {coordinator}: update the older one")]
    Version {
        /// The worker's.
        worker: u16,
        /// The coordinator's newest.
        coordinator: u16,
    },
    /// The machine's key is not on the allow list, and it brought no join code.
    #[error("this machine is not a member of that coordinator: join with a code of `gogrid invite`")]
    NotMember,
    /// All uses of the join code are spent.
    #[error("this join code was used already: ask for a new one")]
    CodeUsed,
    /// The join code has expired.
    #[error("this join code has expired: ask for a new one")]
    CodeExpired,
    /// The join code comes from another coordinator, or is made up.
    #[error("this coordinator did not make that join code")]
    CodeUnknown,
    /// The first message was no `Hello`, or unreadable.
    #[error("the first message was not understood: {0}")]
    Malformed(String),
    /// The coordinator does not know the worker's kind of device.
    #[error(
        "the coordinator cannot use the device \"{device}\": it knows {known}; update the coordinator, or start the worker with another --device"
    )]
    Device {
        /// The device, as the worker spells it.
        device: String,
        /// The devices that the coordinator knows, for people.
        known: String,
    },
    /// The coordinator cannot let machines in at the moment.
    #[error("the coordinator cannot let machines in at the moment: {0}")]
    Unavailable(String),
}

impl Refusal {
    /// The refusal as a worker of `version` can read it. A worker whose version this program does not speak reads those
    /// of [`OLDEST_VERSION`](crate::OLDEST_VERSION) if it is older, and all of them if it is newer.
    pub fn for_version(self, version: u16) -> Self {
        if version < VERSION { version5::refusal(self) } else { self }
    }

    /// Whether a worker that is a member should try again later: an update of one of the programs, or time, may mend
    /// it. If not, the machine is no member.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Version { .. } | Self::Malformed(_) | Self::Device { .. } | Self::Unavailable(_) => true,
            Self::NotMember | Self::CodeUsed | Self::CodeExpired | Self::CodeUnknown => false,
        }
    }
}
