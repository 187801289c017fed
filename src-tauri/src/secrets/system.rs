//! What the app keeps in the system's key store.

use super::{GridKey, GridKeyVault, MachineKey, Vault, VaultError};
use gogrid_key_store::{Entry, Error};
use zeroize::Zeroizing;

/// The name under which everything is kept.
const SERVICE: &str = "org.gogrid.desktop";
const MACHINE_KEY: &str = "machine-key";
/// Before the coordinator's id.
const GRID_KEY: &str = "grid-key";

/// The system's key store. Every call looks for it, because one that is missing at login may be there a minute later.
#[derive(Debug)]
pub(crate) struct SystemVault;

impl Vault for SystemVault {
    fn open(&self) -> Result<MachineKey, VaultError> {
        let entry = entry(MACHINE_KEY).map_err(|error| VaultError::Missing(error.to_string()))?;
        match entry.get_password().map(Zeroizing::new) {
            Ok(digits) => MachineKey::from_hex(&digits).ok_or(VaultError::Damaged),
            Err(Error::NoEntry) => make(&entry),
            Err(error) => Err(failed(error)),
        }
    }
}

impl GridKeyVault for SystemVault {
    fn read(&self, coordinator: &str) -> Result<Option<GridKey>, VaultError> {
        match grid_entry(coordinator)?.get_password().map(Zeroizing::new) {
            Ok(key) => GridKey::typed(&key).map(Some).ok_or(VaultError::Damaged),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn write(&self, coordinator: &str, key: Option<&GridKey>) -> Result<(), VaultError> {
        let entry = grid_entry(coordinator)?;
        match key {
            Some(key) => entry.set_password(key.secret()).map_err(failed),
            None => match entry.delete_credential() {
                Ok(()) | Err(Error::NoEntry) => Ok(()),
                Err(error) => Err(failed(error)),
            },
        }
    }
}

fn grid_entry(coordinator: &str) -> Result<Entry, VaultError> {
    entry(&format!("{GRID_KEY} {coordinator}")).map_err(|error| VaultError::Missing(error.to_string()))
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

fn entry(user: &str) -> Result<Entry, Error> {
    gogrid_key_store::entry(SERVICE, user)
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
