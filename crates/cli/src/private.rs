//! Data folders are their owner's alone: keys, members and logs are nobody else's business. What this program makes it
//! makes so, and what earlier versions made is changed when a coordinator or worker starts.
//!
//! On Windows a folder of a user's profile is private as it is.

use std::{io, path::Path};

/// From now on nobody else may read what this process makes.
pub(crate) fn make_files_private() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Makes a data folder, and takes others' rights away from it and from the files that belong to GoGrid. Files of other
/// names stay as they are: a folder may be shared with other things.
///
/// # Errors
/// The folder cannot be made or read.
#[cfg(unix)]
pub(crate) fn protect(folder: &Path) -> io::Result<()> {
    use std::{
        fs,
        io::ErrorKind::{NotFound, PermissionDenied},
        os::unix::fs::PermissionsExt,
    };
    const FILES: [&str; 12] = [
        "machine.key",
        "membership.json",
        "limits.toml",
        "record.json",
        "worker.lock",
        "coordinator.lock",
        "coordinator.toml",
        "operator.json",
        "registry.db",
        "registry.db-wal",
        "registry.db-shm",
        "app.toml",
    ];
    let allow = |path: &Path, mode: u32, is_ours: fn(&fs::Metadata) -> bool| match fs::symlink_metadata(path) {
        // What a link points to is not ours to change, and a folder or socket has rights of its own.
        Ok(found) if is_ours(&found) && found.permissions().mode() & 0o077 != 0 => {
            match fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
                // Another user's, or of a file system without rights: it works as before.
                Err(error) if error.kind() == PermissionDenied => {
                    // No log is there yet.
                    eprintln!("warning: others may read {}, and its rights cannot be changed", path.display());
                    Ok(())
                }
                // Removed meanwhile.
                Err(error) if error.kind() == NotFound => Ok(()),
                changed => changed,
            }
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == NotFound => Ok(()),
        Err(error) => Err(error),
    };
    fs::create_dir_all(folder)?;
    allow(folder, 0o700, fs::Metadata::is_dir)?;
    FILES.iter().try_for_each(|name| allow(&folder.join(name), 0o600, fs::Metadata::is_file))?;
    for inner in ["logs", "weights"].map(|name| folder.join(name)).iter().filter(|inner| inner.is_dir()) {
        allow(inner, 0o700, fs::Metadata::is_dir)?;
        for file in fs::read_dir(inner)? {
            allow(&file?.path(), 0o600, fs::Metadata::is_file)?;
        }
    }
    Ok(())
}

/// See above.
///
/// # Errors
/// The folder cannot be made.
#[cfg(not(unix))]
pub(crate) fn protect(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_an_earlier_version_left_open_is_closed_and_other_files_stay() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("data");
        fs::create_dir_all(folder.join("logs")).expect("made");
        let own = ["registry.db", "membership.json", "logs/worker.2026-11-01.log"].map(|name| folder.join(name));
        let other = folder.join("script.sh");
        for path in own.iter().chain([&other]) {
            fs::write(path, "").expect("written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
        }
        for open in [&folder, &folder.join("logs")] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).expect("set");
        }
        protect(&folder).expect("protected");
        assert_eq!([mode(&folder), mode(&folder.join("logs"))], [0o700; 2]);
        assert!(own.iter().all(|path| mode(path) == 0o600));
        assert_eq!(mode(&other), 0o755);
        protect(&folder).expect("again");
    }
}
