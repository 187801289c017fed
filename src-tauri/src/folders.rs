//! Where the app keeps what.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The app's folders and files.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// Everything else lies in it.
    pub(crate) data: PathBuf,
    /// The app's own logs.
    pub(crate) logs: PathBuf,
    /// The worker's data; the worker makes it.
    pub(crate) worker: PathBuf,
    /// The worker's logs; the worker makes it.
    pub(crate) worker_logs: PathBuf,
    /// The app's settings.
    pub(crate) settings: PathBuf,
}

impl Folders {
    /// In the app's data folder, which is made for its owner alone where it is not there yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make(data: &Path) -> io::Result<Self> {
        let folders = Self {
            data: data.to_owned(),
            logs: data.join("logs"),
            worker: data.join("worker"),
            worker_logs: data.join("worker").join("logs"),
            settings: data.join("settings.toml"),
        };
        make_private(&folders.data)?;
        make_private(&folders.logs)?;
        Ok(folders)
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
