//! The system's key store: Secret Service on Linux, Keychain on macOS, Credential Manager on Windows.

use super::{MachineKey, Vault, VaultError};
use keyring_core::{Entry, Error, api::CredentialStoreApi};
use zeroize::Zeroizing;

/// The name under which the key is kept.
const SERVICE: &str = "org.gogrid.desktop";
const USER: &str = "machine-key";

/// The system's key store. Every call looks for it, because one that is missing at login may be there a minute later.
#[derive(Debug)]
pub(crate) struct SystemVault;

impl Vault for SystemVault {
    fn open(&self) -> Result<MachineKey, VaultError> {
        let entry = entry().map_err(|error| VaultError::Missing(error.to_string()))?;
        match entry.get_password().map(Zeroizing::new) {
            Ok(digits) => MachineKey::from_hex(&digits).ok_or(VaultError::Damaged),
            Err(Error::NoEntry) => make(&entry),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Creates the key at the first start. It is used only if the store returns it.
fn make(entry: &Entry) -> Result<MachineKey, VaultError> {
    let key = MachineKey::generate().map_err(|error| VaultError::Failed(error.to_string()))?;
    entry.set_password(&key.to_hex()).map_err(failed)?;
    let kept = Zeroizing::new(entry.get_password().map_err(failed)?);
    if MachineKey::from_hex(&kept).as_ref() != Some(&key) {
        return Err(VaultError::Failed("it did not keep what it was given".into()));
    }
    Ok(key)
}

#[cfg(target_os = "linux")]
fn entry() -> Result<Entry, Error> {
    zbus_secret_service_keyring_store::Store::new()?.build(SERVICE, USER, None)
}

#[cfg(target_os = "macos")]
fn entry() -> Result<Entry, Error> {
    apple_native_keyring_store::keychain::Store::new()?.build(SERVICE, USER, None)
}

#[cfg(windows)]
fn entry() -> Result<Entry, Error> {
    windows_native_keyring_store::Store::new()?.build(SERVICE, USER, None)
}

fn failed(error: Error) -> VaultError {
    match error {
        Error::NoStorageAccess(why) => VaultError::Denied(why.to_string()),
        Error::NoDefaultStore => VaultError::Missing(error.to_string()),
        // These errors carry what was found, which may be a key.
        Error::BadEncoding(_) | Error::BadDataFormat(..) => VaultError::Damaged,
        error => VaultError::Failed(error.to_string()),
    }
}
