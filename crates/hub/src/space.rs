//! What is free on a disk.

use crate::HubError;
use std::path::Path;

/// Refuses what does not fit the disk of this folder.
///
/// # Errors
/// When fewer bytes are free than are needed. Where that cannot be told, nothing is refused.
pub(crate) fn check(folder: &Path, needed: u64) -> Result<(), HubError> {
    match free(folder) {
        Some(free) if free < needed => Err(HubError::Space { folder: folder.to_owned(), needed, free }),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}
