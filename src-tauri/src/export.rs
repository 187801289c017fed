//! Files that the page exports. The donor chooses the place in the system's dialog; nothing is written before.

use gogrid_panel_api::RequestError;
use std::{
    fs,
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
    fs::write(path, text)
        .map(|()| path.to_owned())
        .map_err(|error| RequestError::new(None, format!("Nothing was saved as {}: {error}", path.display())))
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
