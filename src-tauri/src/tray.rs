//! The tray's icon and menu.
//!
//! What they show is a pure function of what the app knows ([`view`]); one small file applies it ([`Tray`]), and touches
//! only what differs. Clicks become requests ([`MenuEntry`]), which go to the worker by the shortest way.

mod apply;
mod entry;
mod icon;
mod morning;
mod view;
mod words;

pub(crate) use apply::{Tray, follow};
pub(crate) use entry::MenuEntry;
