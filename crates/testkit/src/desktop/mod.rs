//! The desktop app on a desktop of its own: a home folder, a session bus, a screen, a tray and a key store, all real
//! and all apart from the tester's.
//!
//! ```no_run
//! # async fn story() -> anyhow::Result<()> {
//! use gogrid_testkit::{SOON, desktop::{App, Desktop, TrayHost}};
//! let desktop = Desktop::start().await?;
//! let tray = TrayHost::start(desktop.bus()).await?;
//! let _app = App::start(&desktop, &["--background"])?;
//! tray.item(SOON).await?.click(&["Pause"]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The order matters, because an app looks for the tray when it starts. Dropping a value ends what it stands for; drop
//! the desktop last.

mod app;
mod control;
mod display;
mod figures;
mod key_store;
mod menu;
mod page;
mod processes;
mod tray_host;
mod webdriver;

pub use app::{App, IDENTIFIER, desktop_path};
pub use control::Control;
pub use display::Desktop;
pub use figures::{Figures, measure};
pub use key_store::{KeyRing, SilentPrompter};
pub use menu::{Entry, find};
pub use page::{ENTER, Page};
pub use processes::{Process, tree};
pub use tray_host::{TrayError, TrayHost, TrayItem};
pub use webdriver::WebDriver;
