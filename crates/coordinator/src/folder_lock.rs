//! One coordinator at a time uses a data folder. It holds `coordinator.lock` there for as long as it runs.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

const NAME: &str = "coordinator.lock";

/// The lock of a running coordinator. The system releases it when the process ends, however it ends.
pub(crate) struct FolderLock(#[allow(dead_code, reason = "held, not used")] File);

impl FolderLock {
    /// Takes the lock and makes the folder if needed; `None` if another coordinator holds it.
    ///
    /// # Errors
    /// When the folder or the lock's file cannot be made.
    pub(crate) fn take(folder: &Path) -> io::Result<Option<Self>> {
        std::fs::create_dir_all(folder)?;
        let file = File::create(folder.join(NAME))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether a coordinator runs in the folder.
    pub(crate) fn is_held(folder: &Path) -> bool {
        let Ok(file) = File::open(folder.join(NAME)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_coordinator_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!FolderLock::is_held(folder.path()), "nobody has run there");
        let lock = FolderLock::take(folder.path()).expect("usable").expect("free");
        assert!(FolderLock::is_held(folder.path()));
        assert!(FolderLock::take(folder.path()).expect("usable").is_none());
        drop(lock);
        assert!(!FolderLock::is_held(folder.path()));
        FolderLock::take(folder.path()).expect("usable").expect("free again");
    }
}
