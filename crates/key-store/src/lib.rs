//! The system's key store: Secret Service on Linux, Keychain on macOS, Credential Manager on Windows.
//!
//! Every call looks for the store, because one that is missing at login may be there a minute later. The calls block.

#[cfg(any(target_os = "linux", target_os = "macos", windows))]
use keyring_core::api::CredentialStoreApi;
pub use keyring_core::{Entry, Error};

/// The entry of a user of a service, whether or not it holds a secret.
///
/// # Errors
/// When there is no key store.
#[cfg(target_os = "linux")]
pub fn entry(service: &str, user: &str) -> Result<Entry, Error> {
    zbus_secret_service_keyring_store::Store::new()?.build(service, user, None)
}

/// The entry of a user of a service, whether or not it holds a secret.
///
/// # Errors
/// When there is no key store.
#[cfg(target_os = "macos")]
pub fn entry(service: &str, user: &str) -> Result<Entry, Error> {
    apple_native_keyring_store::keychain::Store::new()?.build(service, user, None)
}

/// The entry of a user of a service, whether or not it holds a secret.
///
/// # Errors
/// When there is no key store.
#[cfg(windows)]
pub fn entry(service: &str, user: &str) -> Result<Entry, Error> {
    windows_native_keyring_store::Store::new()?.build(service, user, None)
}
