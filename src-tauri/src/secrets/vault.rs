use super::MachineKey;

/// A store for the machine's key.
pub(crate) trait Vault: Send + Sync + 'static {
    /// The machine's key, created if there is none yet. May block for ever, until somebody unlocks the store.
    ///
    /// # Errors
    /// When it cannot be read or created.
    fn open(&self) -> Result<MachineKey, VaultError>;
}

/// Why the key cannot be loaded. The text is for the donor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VaultError {
    /// There is no key store.
    #[error("This computer has no key store that GoGrid can use ({0})")]
    Missing(String),
    /// It was not unlocked, or does not let the app in.
    #[error("The key store did not let GoGrid in ({0})")]
    Denied(String),
    /// What it holds under the key's name is no key.
    #[error("The key store holds something under GoGrid's name that is no key")]
    Damaged,
    /// Another failure.
    #[error("The key store failed ({0})")]
    Failed(String),
}

impl VaultError {
    /// Whether trying again may help, because somebody may answer the prompt this time.
    pub(crate) fn is_lock(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}
