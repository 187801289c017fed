//! The processes of this machine, by name.
//!
//! On Linux `/proc` is read here: sysinfo reads several files for each process, a name needs one or two.

#[cfg_attr(target_os = "linux", path = "processes/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "processes/sysinfo.rs")]
mod system;

pub(crate) use system::{Processes, user_programs};
