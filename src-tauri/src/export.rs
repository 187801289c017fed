//! Files that the page exports. The donor chooses the place in the system's dialog; nothing is written before.

use gogrid_panel_api::RequestError;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};
use tauri::{AppHandle, Manager, Wry};
use tauri_plugin_dialog::DialogExt;

/// The longest text that is saved, in bytes: years of days are a hundredth of it.
const LONGEST: usize = 16 << 20;

/// Asks for a place and writes the text there, instead of a file that the donor agreed to replace. Returns the path;
/// `None` if they decline. Blocks until they have answered.
///
/// # Errors
/// If the name is not that of a CSV file, the text is too long, or the file cannot be written.
pub(crate) fn save(app: &AppHandle<Wry>, name: &str, text: &str) -> Result<Option<String>, RequestError> {
    check(name, text)?;
    let mut dialog = app.dialog().file().set_file_name(name).add_filter("CSV", &["csv"]);
    if let Ok(folder) = app.path().download_dir() {
        dialog = dialog.set_directory(folder);
    }
    let Some(chosen) = dialog.blocking_save_file() else { return Ok(None) };
    let path = chosen.into_path().map_err(|error| RequestError::new(None, format!("Nothing was saved: {error}")))?;
    write(&path, text).map(|path| Some(path.display().to_string()))
}

fn check(name: &str, text: &str) -> Result<(), RequestError> {
    if Path::new(name).file_name().is_none_or(|own| own != name) || !name.ends_with(".csv") {
        return Err(RequestError::new(Some("name"), format!("`{name}` is not the name of a CSV file")));
    }
    if text.len() > LONGEST {
        let message = format!("a text of {} bytes is too long: {LONGEST} at most", text.len());
        return Err(RequestError::new(Some("text"), message));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<PathBuf, RequestError> {
    replace(path, text)
        .map(|()| path.to_owned())
        .map_err(|error| RequestError::new(None, format!("Nothing was saved as {}: {error}", path.display())))
}

/// Writes a file beside it and renames that: a full disk costs no file that was there.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // The file that a link leads to, if there is one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new().prefix(".gogrid-").tempfile_in(folder)?;
    beside.write_all(text.as_bytes())?;
    beside.as_file().sync_all()?;
    beside.persist(&path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_of_a_csv_file_is_offered() {
        check("gogrid-2026-11-25.csv", "a").unwrap();
        for name in ["", "..", "../a.csv", "/etc/a.csv", "a/b.csv", ".bashrc", "a.csv/"] {
            assert_eq!(check(name, "a").unwrap_err().field.as_deref(), Some("name"), "{name}");
        }
        assert_eq!(check("a.csv", &"a".repeat(LONGEST + 1)).unwrap_err().field.as_deref(), Some("text"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_there_is_replaced_as_a_whole() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.csv"), folder.path().join("link.csv"));
        write(&path, "old").unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_ne!(fs::metadata(&path).unwrap().ino(), before, "renamed over it, not written into it");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn a_failure_names_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        write(&path, "date\r\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "date\r\n");
        let refused = write(&folder.path().join("missing/a.csv"), "date").unwrap_err();
        assert!(refused.message.contains("missing/a.csv"), "{}", refused.message);
    }
}
