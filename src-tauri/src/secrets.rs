//! Secrets in the system's key store: the machine's key, and the donor's keys for grids ([`GridKeys`]).
//!
//! A key store may be missing or refuse, or it may be locked, and then every call blocks until somebody answers its
//! prompt. So a thread of its own asks it ([`KeyLoader`]), and after a deadline the app says what it waits for. The
//! fallback for the machine's key is a file that only this user can read. The worker creates it, if the donor agrees.

mod grid_keys;
mod key;
mod key_loader;
mod system;
mod vault;

#[cfg(test)]
pub(crate) use grid_keys::tests::FakeGridVault;
pub(crate) use grid_keys::{GridKey, GridKeyVault, GridKeys};
pub(crate) use key::MachineKey;
pub(crate) use key_loader::{KeyLoader, KeyState, KeyStoreHandle};
pub(crate) use system::SystemVault;
pub(crate) use vault::{Vault, VaultError};
