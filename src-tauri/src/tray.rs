//! The tray's icon and menu.
//!
//! What they show is a pure function of what the app knows ([`view`]); one small file applies it ([`Tray`]), and touches
//! only what differs. Clicks become requests ([`Click`]), which go to the worker by the shortest way.

mod apply;
mod click;
mod icon;
mod morning;
mod view;
mod words;

pub(crate) use apply::{Tray, follow};
pub(crate) use click::Click;
