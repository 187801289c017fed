use gogrid_panel_api::Mark;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tauri::{image::Image, include_image};

/// Whether the system recolours the icon for its menu bar.
pub(super) const TEMPLATE: bool = cfg!(target_os = "macos");

/// The icon of a mark: black with transparency, recoloured by the system.
#[cfg(target_os = "macos")]
pub(super) const fn image(mark: Mark) -> Image<'static> {
    match mark {
        Mark::NotJoined => include_image!("../icons/tray/template/not-joined.png"),
        Mark::Connecting => include_image!("../icons/tray/template/connecting.png"),
        Mark::Idle => include_image!("../icons/tray/template/idle.png"),
        Mark::Working => include_image!("../icons/tray/template/working.png"),
        Mark::Throttled => include_image!("../icons/tray/template/throttled.png"),
        Mark::Paused => include_image!("../icons/tray/template/paused.png"),
        Mark::Error => include_image!("../icons/tray/template/error.png"),
    }
}

/// The icon of a mark, for dark and for light bars.
#[cfg(not(target_os = "macos"))]
pub(super) const fn image(mark: Mark) -> Image<'static> {
    match mark {
        Mark::NotJoined => include_image!("../icons/tray/not-joined.png"),
        Mark::Connecting => include_image!("../icons/tray/connecting.png"),
        Mark::Idle => include_image!("../icons/tray/idle.png"),
        Mark::Working => include_image!("../icons/tray/working.png"),
        Mark::Throttled => include_image!("../icons/tray/throttled.png"),
        Mark::Paused => include_image!("../icons/tray/paused.png"),
        Mark::Error => include_image!("../icons/tray/error.png"),
    }
}

/// Creates the folder of the icon's files, which trays on Linux read. It is this process's own, because panels cache
/// files by name. Folders of killed processes are removed: only one app runs at a time.
///
/// # Errors
/// When the folder cannot be created.
pub(super) fn folder(data: &Path) -> io::Result<PathBuf> {
    let parent = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if !runtime.is_empty() => PathBuf::from(runtime).join("gogrid-desktop"),
        _ => data.join("tray"),
    };
    match fs::remove_dir_all(&parent) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = parent.join(std::process::id().to_string());
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
