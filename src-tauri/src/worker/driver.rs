//! Finds NVIDIA's driver. It is never loaded, so that a fault of the driver cannot end the tray.

#[cfg(any(target_os = "linux", windows))]
use std::path::Path;

/// NVIDIA's driver on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Its library is installed.
    Found,
    /// It is not installed.
    Missing {
        /// Whether there is an NVIDIA card all the same.
        card: bool,
    },
}

impl Driver {
    /// Looks for it.
    pub(crate) fn find() -> Self {
        if library_is_there() { Self::Found } else { Self::Missing { card: card_is_there() } }
    }
}

/// The driver's library, which every program that uses CUDA loads.
#[cfg(target_os = "linux")]
pub(super) const LIBRARY: &str = "libcuda.so.1";
#[cfg(windows)]
pub(super) const LIBRARY: &str = "nvcuda.dll";
#[cfg(not(any(target_os = "linux", windows)))]
pub(super) const LIBRARY: &str = "CUDA";

/// Searches the loader's cache, and the folders that the loader searches without it.
#[cfg(target_os = "linux")]
fn library_is_there() -> bool {
    const LIST: &str = "/etc/ld.so.cache";
    const PLACES: &[&str] = &["/usr/lib64", "/usr/lib", "/usr/lib/wsl/lib", "/run/opengl-driver/lib"];
    let listed = std::fs::read(LIST).is_ok_and(|list| names(&list, LIBRARY));
    let by_environment = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    listed
        || PLACES.iter().any(|place| Path::new(place).join(LIBRARY).exists())
        || std::env::split_paths(&by_environment).any(|place| place.join(LIBRARY).exists())
}

/// Whether the cache has this name among its strings, each of which ends with a zero byte.
#[cfg(target_os = "linux")]
fn names(list: &[u8], name: &str) -> bool {
    list.split(|byte| *byte == 0).any(|text| text == name.as_bytes())
}

#[cfg(windows)]
fn library_is_there() -> bool {
    std::env::var_os("SystemRoot").is_some_and(|root| Path::new(&root).join("System32").join(LIBRARY).exists())
}

#[cfg(not(any(target_os = "linux", windows)))]
fn library_is_there() -> bool {
    false
}

/// Whether an NVIDIA graphics card is on the PCI bus.
#[cfg(target_os = "linux")]
fn card_is_there() -> bool {
    const DEVICES: &str = "/sys/bus/pci/devices";
    const NVIDIA: &str = "0x10de";
    /// The class of display controllers; the cards' sound devices have another.
    const DISPLAY: &str = "0x03";
    let is = |device: &Path, file: &str, start: &str| {
        std::fs::read_to_string(device.join(file)).is_ok_and(|text| text.starts_with(start))
    };
    std::fs::read_dir(DEVICES).is_ok_and(|devices| {
        devices.flatten().any(|device| is(&device.path(), "vendor", NVIDIA) && is(&device.path(), "class", DISPLAY))
    })
}

/// Other systems come with the driver.
#[cfg(not(target_os = "linux"))]
fn card_is_there() -> bool {
    false
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_in_the_loaders_list_by_its_whole_name() {
        let list = b"glibc-ld.so.cache1.1\0\x01\x02libcuda.so.12\0libc.so.6\0libcuda.so.1\0/usr/lib/libcuda.so.1\0";
        assert!(names(list, "libcuda.so.1"));
        assert!(names(list, "libc.so.6"));
        assert!(!names(list, "libcuda.so"));
        assert!(!names(b"", "libcuda.so.1"));
    }
}
