//! Without the graphics card. The page has a few lines that move once a second; the card is the worker's, or somebody
//! else's. The toolkit would load the card's driver for a tray icon already, which is as large as all the rest of the
//! app; and a window that WebKit draws with some drivers stays empty.

/// What GTK and WebKit read when they start. Where somebody has set them, theirs hold.
#[cfg(target_os = "linux")]
const SOFTWARE: [(&str, &str); 2] = [("GDK_GL", "disable"), ("WEBKIT_DISABLE_DMABUF_RENDERER", "1")];

/// Has everything drawn by the processor. Before any thread is started: the environment is every thread's.
#[cfg(target_os = "linux")]
pub(crate) fn use_software() {
    for (name, value) in SOFTWARE {
        if let Err(error) = glib::setenv(name, value, false) {
            eprintln!("warning: {name} cannot be set: {error}");
        }
    }
}

/// Elsewhere the system draws, and loads no driver into the app.
#[cfg(not(target_os = "linux"))]
pub(crate) const fn use_software() {}
