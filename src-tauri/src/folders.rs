//! The app's folders and files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The app's folders and files.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// The data folder, which holds all the others.
    pub(crate) data: PathBuf,
    /// The app's own log folder.
    pub(crate) logs: PathBuf,
    /// The worker's data folder; the worker creates it.
    pub(crate) worker: PathBuf,
    /// The worker's log folder; the worker creates it.
    pub(crate) worker_logs: PathBuf,
    /// The settings file.
    pub(crate) settings: PathBuf,
}

impl Folders {
    /// Those in this data folder, which is created for its owner alone if it is missing.
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
