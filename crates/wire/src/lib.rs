//! What travels between GoGrid's machines: ids, frames, messages, join codes. Pure: no I/O, no clock, no async.
//!
//! Three protocols, told apart by ALPN ([`CONTROL_ALPN`], [`STAGE_ALPN`], [`WEIGHTS_ALPN`]), each one bidirectional stream
//! of [frames](frame). `docs/WIRE.md` lists every message with its bounds.

pub mod about;
pub mod control;
pub mod frame;
pub mod hello;
mod ids;
mod join;
pub mod stage;
pub mod text;
pub mod version5;
pub mod weights;

pub use ids::{Epoch, PeerId, SessionId};
pub use join::{InviteToken, JoinCode, JoinCodeError, PeerAddr};

/// Version of the control and the stage protocol. The first message of every stream carries it.
///
/// A change that an older program would misread takes the next number. The messages of the version before stay
/// readable in a module of their own ([`version5`]), so that a fleet can be updated machine by machine: the coordinator
/// first, then the workers.
pub const VERSION: u16 = 6;

/// The oldest version that this program speaks.
pub const OLDEST_VERSION: u16 = 5;

/// Whether this program speaks a version. Programs that share none refuse each other with both numbers in the message.
pub fn speaks(version: u16) -> bool {
    (OLDEST_VERSION..=VERSION).contains(&version)
}

/// The control protocol: enrolment, stages, beats.
pub const CONTROL_ALPN: &[u8] = b"gogrid/control/1";

/// The stage protocol: sessions, token ids, activations, candidates.
pub const STAGE_ALPN: &[u8] = b"gogrid/stage/1";

/// The weights protocol: tensors of the coordinator's models, for its members.
pub const WEIGHTS_ALPN: &[u8] = b"gogrid/weights/1";
