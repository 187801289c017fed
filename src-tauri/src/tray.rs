//! The tray's icon and menu.
//!
//! What they show is a pure function of the app's state ([`view`], [`figures`]). One small file applies it ([`Tray`]) and changes
//! only what differs. Clicks become requests to the worker ([`MenuEntry`]).

mod apply;
mod entry;
mod figures;
mod icon;
mod morning;
mod view;
mod words;

pub(crate) use apply::{Tray, follow};
pub(crate) use entry::MenuEntry;
