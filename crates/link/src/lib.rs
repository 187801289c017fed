//! Links between machines: authenticated, encrypted streams of [frames](gogrid_wire::frame).
//!
//! [`Transport`] is the border: [`iroh`](IrohTransport) between machines, [in-memory](MemoryNet) in tests. A dialed link
//! is one connection with one bidirectional stream, kept for as long as both sides want it.

mod crypto;
mod framed;
mod identity;
mod iroh_transport;
mod memory;
mod transport;

pub use crypto::install_crypto;
pub use framed::{FrameReceiver, FrameSender, LinkError, Received};
pub use identity::{Identity, IdentityError};
pub use iroh_transport::{BindError, IrohTransport};
pub use memory::MemoryNet;
pub use transport::{DialError, Link, Protocol, Transport};
