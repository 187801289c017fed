//! Software rendering. The page has a few lines that move once a second, and the graphics card is there for the worker
//! or for other programs. Otherwise the toolkit would load the card's driver for the tray icon alone, which takes as
//! much memory as the rest of the app; and with some drivers WebKit's window stays empty.

/// Variables that GTK and WebKit read when they start. Values that are already set are kept.
#[cfg(target_os = "linux")]
const SOFTWARE: [(&str, &str); 2] = [("GDK_GL", "disable"), ("WEBKIT_DISABLE_DMABUF_RENDERER", "1")];

/// Turns software rendering on. Must be called before any thread starts, because threads share the environment.
#[cfg(target_os = "linux")]
pub(crate) fn use_software() {
    for (name, value) in SOFTWARE {
        if let Err(error) = glib::setenv(name, value, false) {
            eprintln!("warning: {name} cannot be set: {error}");
        }
    }
}

/// Other systems draw outside the app and load no driver into it.
#[cfg(not(target_os = "linux"))]
pub(crate) const fn use_software() {}
