//! Opening the device that a stage computes on.

use candle_core::Device;
use gogrid_model::DeviceSpec;

/// A device that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// This program cannot use devices of that kind.
    #[error(
        "this program was built without the `{feature}` feature: {device} needs a program built with `--features {feature}`"
    )]
    NotBuilt {
        /// The device.
        device: DeviceSpec,
        /// The missing feature.
        feature: &'static str,
    },
    /// The device does not open.
    #[error("the device {device} cannot be opened")]
    Open {
        /// The device.
        device: DeviceSpec,
        /// Why.
        source: Box<candle_core::Error>,
    },
}

/// Checks that this program was built with what the device needs. Does not look for the device.
///
/// # Errors
/// [`DeviceError::NotBuilt`], which says what to build.
pub fn check_built(device: DeviceSpec) -> Result<(), DeviceError> {
    match device {
        DeviceSpec::Cuda(_) if !cfg!(feature = "cuda") => Err(DeviceError::NotBuilt { device, feature: "cuda" }),
        DeviceSpec::Metal(_) if !cfg!(feature = "metal") => Err(DeviceError::NotBuilt { device, feature: "metal" }),
        _ => Ok(()),
    }
}

/// Opens the device.
pub(crate) fn open(device: DeviceSpec) -> Result<Device, DeviceError> {
    check_built(device)?;
    let opened = match device {
        DeviceSpec::Cpu => Ok(Device::Cpu),
        DeviceSpec::Cuda(index) => Device::new_cuda(index),
        DeviceSpec::Metal(index) => Device::new_metal(index),
    };
    opened.map_err(|source| DeviceError::Open { device, source: Box::new(source) })
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_cuda_says_what_is_missing() {
        let error = open(DeviceSpec::Cuda(0)).unwrap_err().to_string();
        assert!(error.contains("built without the `cuda` feature"), "{error}");
    }
}
