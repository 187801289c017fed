//! What travels between GoGrid's machines: ids, frames, messages, join codes. Pure: no I/O, no clock, no async.
//!
//! Two protocols, told apart by ALPN ([`CONTROL_ALPN`], [`STAGE_ALPN`]), each one long-lived bidirectional stream of
//! [frames](frame). `docs/WIRE.md` lists every message with its bounds.

pub mod control;
pub mod frame;
mod ids;
mod join;
pub mod stage;

pub use ids::{Epoch, PeerId, SessionId};
pub use join::{InviteToken, JoinCode, JoinCodeError, PeerAddr};

/// Version of both protocols; the first message of every stream carries it.
///
/// A change that an older program would misread takes the next number, and machines of different numbers refuse each
/// other with both numbers in the message.
pub const VERSION: u16 = 5;

/// The control protocol: enrolment, stages, beats.
pub const CONTROL_ALPN: &[u8] = b"gogrid/control/1";

/// The stage protocol: sessions, token ids, activations, candidates.
pub const STAGE_ALPN: &[u8] = b"gogrid/stage/1";
