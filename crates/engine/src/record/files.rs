//! Files of the record: read whole within a bound, replaced whole or appended to, set aside when they are damaged. Only
//! the donor may read them: they tell when somebody used the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// The longest file that is read, in bytes: ten times what the record's bounds allow.
const LONGEST: u64 = 8 << 20;

/// What is in the file; `None` if there is none.
///
/// # Errors
/// If it cannot be read, or is longer than any that was written here.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(found) if found.len() > LONGEST => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} bytes are too many", found.len())))
        }
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the file as a whole: after a crash it holds the old content or the new.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_added_extension("new");
    let mut file = open(&new, OpenOptions::new().write(true).create(true).truncate(true))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// Adds to the end of the file. It is not forced onto the disk: the system writes it when that suits the disk, and a
/// killed process loses nothing.
pub(super) fn append(path: &Path, content: &[u8]) -> io::Result<()> {
    open(path, OpenOptions::new().append(true).create(true))?.write_all(content)
}

/// Moves a damaged file out of the way, as `….broken`, so that somebody can look at it. The record goes on without it.
pub(super) fn set_aside(path: &Path, error: &io::Error) {
    let aside = path.with_added_extension("broken");
    tracing::warn!(%error, file = %path.display(), aside = %aside.display(), "a file of the record is damaged and set aside");
    if let Err(error) = fs::rename(path, aside) {
        tracing::warn!(%error, file = %path.display(), "it cannot be set aside");
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}
