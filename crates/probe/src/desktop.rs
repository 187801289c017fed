//! The desktop's signals about its user: the time since the last input, and whether a program fills the screen.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod windows;

#[cfg(not(any(target_os = "linux", windows, target_os = "macos")))]
pub(crate) use crate::unsupported::Desktop;
#[cfg(target_os = "linux")]
pub(crate) use linux::Desktop;
#[cfg(target_os = "macos")]
pub(crate) use macos::Desktop;
#[cfg(windows)]
pub(crate) use windows::Desktop;
