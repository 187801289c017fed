use super::MachineKey;

/// A place that keeps the machine's key.
pub(crate) trait Vault: Send + Sync + 'static {
    /// The machine's key; a fresh one where there is none yet. May wait for ever, for somebody who unlocks it.
    ///
    /// # Errors
    /// When there is no key to be had.
    fn open(&self) -> Result<MachineKey, VaultError>;
}

/// Why there is no key to be had. Its text is for the donor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VaultError {
    /// There is no key store.
    #[error("This computer has no key store that GoGrid can use ({0})")]
    Missing(String),
    /// It is locked, and was not unlocked; or it does not let the app in.
    #[error("The key store did not let GoGrid in ({0})")]
    Denied(String),
    /// It holds something else under the key's name.
    #[error("The key store holds something under GoGrid's name that is no key")]
    Damaged,
    /// Anything else.
    #[error("The key store failed ({0})")]
    Failed(String),
}

impl VaultError {
    /// Whether trying again may help: somebody may answer the prompt this time.
    pub(crate) fn is_lock(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}
