//! Which device a stage computes on.

use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A device by name: `cpu`, `cuda:0`, `metal:0`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceSpec {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU with this index.
    Cuda(usize),
    /// The Apple GPU with this index.
    Metal(usize),
}

/// What sort of device it is; weights and KV cache have other types on other sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// An Apple GPU.
    Metal,
}

/// A device that is not named rightly or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The name is not one of a device.
    #[error("\"{0}\" is no device: expected cpu, cuda, cuda:N, metal or metal:N")]
    Unknown(String),
    /// This program cannot use devices of that sort.
    #[error(
        "this program was built without the `{feature}` feature: {device} needs a program built with `--features {feature}`"
    )]
    NotBuilt {
        /// The device.
        device: DeviceSpec,
        /// The feature that is missing.
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

impl DeviceSpec {
    /// The device's sort.
    pub fn kind(self) -> DeviceKind {
        match self {
            DeviceSpec::Cpu => DeviceKind::Cpu,
            DeviceSpec::Cuda(_) => DeviceKind::Cuda,
            DeviceSpec::Metal(_) => DeviceKind::Metal,
        }
    }

    /// Whether this program was built with what the device needs. Says nothing of whether the device is there.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`], which says what to build.
    pub fn check_built(self) -> Result<(), DeviceError> {
        match self {
            DeviceSpec::Cuda(_) if !cfg!(feature = "cuda") => {
                Err(DeviceError::NotBuilt { device: self, feature: "cuda" })
            }
            DeviceSpec::Metal(_) if !cfg!(feature = "metal") => {
                Err(DeviceError::NotBuilt { device: self, feature: "metal" })
            }
            _ => Ok(()),
        }
    }

    /// Opens the device.
    pub(crate) fn open(self) -> Result<Device, DeviceError> {
        self.check_built()?;
        let opened = match self {
            DeviceSpec::Cpu => Ok(Device::Cpu),
            DeviceSpec::Cuda(index) => Device::new_cuda(index),
            DeviceSpec::Metal(index) => Device::new_metal(index),
        };
        opened.map_err(|source| DeviceError::Open { device: self, source: Box::new(source) })
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Cpu => f.write_str("cpu"),
            DeviceSpec::Cuda(index) => write!(f, "cuda:{index}"),
            DeviceSpec::Metal(index) => write!(f, "metal:{index}"),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.to_owned());
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, index.parse().map_err(|_| unknown())?),
            None => (text, 0),
        };
        match kind {
            "cpu" if text == "cpu" => Ok(DeviceSpec::Cpu),
            "cuda" => Ok(DeviceSpec::Cuda(index)),
            "metal" => Ok(DeviceSpec::Metal(index)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DeviceSpec {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<DeviceSpec> for String {
    fn from(device: DeviceSpec) -> String {
        device.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for (text, device) in
            [("cpu", DeviceSpec::Cpu), ("cuda:1", DeviceSpec::Cuda(1)), ("metal:0", DeviceSpec::Metal(0))]
        {
            assert_eq!(text.parse::<DeviceSpec>().unwrap(), device);
            assert_eq!(device.to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
        assert_eq!("metal".parse::<DeviceSpec>().unwrap(), DeviceSpec::Metal(0));
        for wrong in ["", "gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(matches!(wrong.parse::<DeviceSpec>(), Err(DeviceError::Unknown(_))), "{wrong}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_program_without_cuda_says_what_is_missing() {
        let error = DeviceSpec::Cuda(0).open().unwrap_err().to_string();
        assert!(error.contains("built without the `cuda` feature"), "{error}");
    }
}
