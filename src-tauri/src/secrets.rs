//! The machine's secret key, in the system's key store.
//!
//! A key store may be missing or refuse, or it may be locked, and then every call blocks until somebody answers its
//! prompt. So a thread of its own asks it ([`KeyLoader`]), and after a deadline the app says what it waits for. The
//! fallback is a file that only this user can read. The worker creates it, if the donor agrees.

mod key;
mod key_loader;
mod system;
mod vault;

pub(crate) use key::MachineKey;
pub(crate) use key_loader::{KeyLoader, KeyState, KeyStoreHandle};
pub(crate) use system::SystemVault;
pub(crate) use vault::{Vault, VaultError};
