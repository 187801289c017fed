use std::{io, path::Path};

/// Bytes of the file system that holds this path.
///
/// # Errors
/// If the system does not say.
#[cfg(unix)]
pub fn disk_size(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_blocks.saturating_mul(found.f_frsize))
}

/// Bytes of the file system that holds this path.
///
/// # Errors
/// If the system does not say.
#[cfg(windows)]
pub fn disk_size(path: &Path) -> io::Result<u64> {
    use std::os::windows::ffi::OsStrExt;
    use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;
    let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let mut total = 0u64;
    #[expect(
        unsafe_code,
        reason = "no safe function returns it; the name ends with a zero, and the only place written is ours"
    )]
    let found =
        unsafe { GetDiskFreeSpaceExW(wide.as_ptr(), std::ptr::null_mut(), &raw mut total, std::ptr::null_mut()) };
    if found == 0 { Err(io::Error::last_os_error()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_folder_lies_on_some_disk() {
        assert!(disk_size(Path::new(".")).unwrap() > 1 << 20);
        assert!(disk_size(Path::new("no/such/folder")).is_err());
    }
}
