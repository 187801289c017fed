//! The machine's secret key, in the system's key store.
//!
//! A key store may be locked, and then every call to it waits until somebody answers its prompt; it may be missing, or
//! say no. So it is asked on a thread of its own ([`KeyLoader`]), and the app says after a deadline what it waits for. The
//! way out is a file that only this user can read, made by the worker, if the donor agrees to it.

mod key;
mod key_loader;
mod system;
mod vault;

pub(crate) use key::MachineKey;
pub(crate) use key_loader::{KeyLoader, KeyState, KeyStoreHandle};
pub(crate) use system::SystemVault;
pub(crate) use vault::{Vault, VaultError};
