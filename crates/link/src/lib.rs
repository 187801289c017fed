//! Links between machines: authenticated, encrypted streams of [frames](gogrid_wire::frame).
//!
//! [`Transport`] has two implementations: [`iroh`](IrohTransport) between machines, and [in memory](MemoryNet) for tests. A
//! dialed link is one connection with one bidirectional stream, open until one side closes it.

mod crypto;
mod framed;
mod identity;
mod iroh_transport;
mod memory;
mod occasional;
mod slots;
mod transport;

pub use crypto::install_crypto;
pub use framed::{FrameReceiver, FrameSender, LinkError, Received};
pub use identity::{Identity, IdentityError};
pub use iroh_transport::{BindError, IrohTransport};
pub use memory::MemoryNet;
pub use occasional::Occasional;
pub use slots::{Slot, Slots, counted_address};
pub use transport::{DialError, Link, Protocol, Transport};
