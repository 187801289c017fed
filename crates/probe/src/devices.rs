//! The processors and graphics cards of this machine, and why one of them cannot be lent.

mod cpu;
#[cfg_attr(target_os = "macos", path = "devices/apple.rs")]
#[cfg_attr(not(target_os = "macos"), path = "devices/cards.rs")]
mod gpu;
#[cfg(not(target_os = "macos"))]
mod nvidia;
#[cfg(target_os = "linux")]
mod pci;

/// A processor or a graphics card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDevice {
    /// As `--device` spells it; `None` if no build of the worker can use it.
    pub device: Option<String>,
    /// Its name.
    pub name: String,
    /// Its cores or memory, for people; empty if unknown.
    pub detail: String,
    /// Why it cannot be lent; `None` if it can.
    pub why_not: Option<String>,
}

/// The CPU first, then the graphics cards, or why there is none. Wakes a sleeping card, which takes up to a second: for
/// requests by a user, not for every sample.
pub fn devices() -> Vec<FoundDevice> {
    let mut devices = vec![cpu::found()];
    devices.extend(gpu::found());
    devices
}

/// Bytes for people.
fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there_and_each_device_can_be_lent_or_says_why_not() {
        let devices = devices();
        assert_eq!(devices[0].device.as_deref(), Some("cpu"));
        assert!(devices.len() > 1, "a machine without a graphics card says so");
        for found in devices {
            assert!(!found.name.is_empty());
            assert_eq!(found.device.is_none(), found.why_not.is_some(), "{found:?}");
            assert_ne!(found.why_not.as_deref(), Some(""), "{found:?}");
        }
    }

    #[test]
    fn bytes_are_told_to_a_tenth() {
        assert_eq!(gib(8 << 30), "8.0 GiB");
        assert_eq!(gib(25_757_220_864), "24.0 GiB");
    }
}
