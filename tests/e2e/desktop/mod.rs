//! The desktop app as an employee sees it: its icon in a tray, its window on a screen, its worker in a grid.
//!
//! `cargo build --package gogrid --package gogrid-desktop` comes first; `cargo xtask test` does that, and installs the
//! screen, the bus, the tray and the key store that these stories need.

mod bundle;
mod cost;
mod first_day;
mod joins;
mod key_store;
mod kills;
mod link;
mod pause;
mod session;
mod settings;
mod starts;

/// Whether times are checked, as on an otherwise idle machine; `cargo xtask desktop-figures` sets this.
fn figures_count() -> bool {
    std::env::var_os("GOGRID_FIGURES_COUNT").is_some()
}
