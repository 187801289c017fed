//! A file of machines (TOML) for `gogrid plan --machines`.

use super::DryFleet;
use crate::planner::{Device, Link, Machine, Measured};
use bytesize::ByteSize;
use gogrid_model::{DeviceNameError, DeviceSpec};
use gogrid_wire::PeerId;
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(super) const EXAMPLE: &str = "\
[[machine]]
name = \"pc\"              # with count: pc-1, pc-2, …
count = 3                # default 1
device = \"cuda:0\"        # default \"cpu\"
memory = \"6GiB\"          # lent for weights, KV caches and workspace
delay_ms = 0.15          # one way to the coordinator
bandwidth_mbit = 1000
reliability = 0.99       # the probability that it is still there in a minute; default 1
# Measured for the model at the machine's allowance; all three, or none:
layer_ms = 0.4           # of one layer, for one decoded token
head_ms = 0.9            # of the head, for one decoded token
prompt_layer_ms = 0.01   # of one layer, for one prompt token";

/// The most machines in a file: more than any company lends, and planned in a second.
const MOST_MACHINES: usize = 100_000;

/// Why a file of machines cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FleetFileError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not TOML, or has an unknown key; the message names key and line.
    #[error("{path} has a mistake: {message}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// A value is out of its range.
    #[error("{field} of {of} is {value}, but must be {expected}")]
    Range {
        /// Which field.
        field: &'static str,
        /// Of which machine.
        of: String,
        /// Its value.
        value: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A device's name.
    #[error("the device of {of}")]
    Device {
        /// Of which machine.
        of: String,
        /// What is wrong with it.
        #[source]
        source: DeviceNameError,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    machine: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    count: Option<usize>,
    device: Option<String>,
    memory: String,
    delay_ms: Option<f64>,
    bandwidth_mbit: Option<f64>,
    reliability: Option<f64>,
    layer_ms: Option<f64>,
    head_ms: Option<f64>,
    prompt_layer_ms: Option<f64>,
}

pub(super) fn read_fleet_file(path: &Path) -> Result<DryFleet, FleetFileError> {
    let text = fs::read_to_string(path).map_err(|source| FleetFileError::Read { path: path.to_owned(), source })?;
    let file: File = toml::from_str(&text)
        .map_err(|error| FleetFileError::Parse { path: path.to_owned(), message: error.to_string() })?;
    fleet(file)
}

fn fleet(file: File) -> Result<DryFleet, FleetFileError> {
    let mut fleet = DryFleet::default();
    for entry in file.machine {
        let machine = entry.machine()?;
        let count = entry.count.unwrap_or(1);
        if count > MOST_MACHINES - fleet.machines.len() {
            return Err(range("count", &entry.name, &count, "so small that there are 100000 machines at most"));
        }
        for at in 1..=count {
            let name = if entry.count.is_some() { format!("{}-{at}", entry.name) } else { entry.name.clone() };
            // The id depends on the name only, so that the same file always gives the same plan.
            let id = PeerId(*blake3::hash(name.as_bytes()).as_bytes());
            if fleet.names.insert(id, name.clone()).is_some() {
                return Err(range("name", &name, &name, "of one machine only"));
            }
            fleet.machines.push(Machine { id, ..machine.clone() });
        }
    }
    Ok(fleet)
}

impl Entry {
    fn machine(&self) -> Result<Machine, FleetFileError> {
        let of = &self.name;
        let device = self.device.as_deref().map_or(Ok(DeviceSpec::default()), str::parse);
        let device = device.map_err(|source| FleetFileError::Device { of: of.clone(), source })?;
        let memory = self.memory.parse::<ByteSize>();
        let memory = memory.map_err(|_| range("memory", of, &self.memory, "a number with a unit, such as 6GiB"))?;
        let usual = Link::default();
        let delay = self.delay_ms.map_or(Ok(usual.delay), |ms| Ok(not_negative("delay_ms", of, ms)? / 1e3))?;
        let bandwidth = match self.bandwidth_mbit {
            Some(mbit) if mbit.is_finite() && mbit > 0.0 => mbit * 1e6 / 8.0,
            Some(mbit) => return Err(range("bandwidth_mbit", of, &mbit, "a number above 0")),
            None => usual.bandwidth,
        };
        let reliability = self.reliability.unwrap_or(1.0);
        if !(reliability > 0.0 && reliability <= 1.0) {
            return Err(range("reliability", of, &reliability, "above 0, and 1 at most"));
        }
        let measured = match (self.layer_ms, self.head_ms, self.prompt_layer_ms) {
            (None, None, None) => None,
            (Some(layer), Some(head), Some(prompt)) => Some(Measured {
                layer: not_negative("layer_ms", of, layer)? / 1e3,
                head: Some(not_negative("head_ms", of, head)? / 1e3),
                prompt_layer: Some(not_negative("prompt_layer_ms", of, prompt)? / 1e3),
            }),
            _ => {
                let fields = "given as all of layer_ms, head_ms and prompt_layer_ms, or none";
                return Err(range("what was measured", of, &"incomplete", fields));
            }
        };
        Ok(Machine {
            id: PeerId([0; 32]),
            device: Arc::new(Device::expected(device)),
            free: memory.as_u64(),
            measured,
            link: Link { delay, bandwidth },
            reliability,
            groups: Vec::new(),
        })
    }
}

fn not_negative(field: &'static str, of: &str, value: f64) -> Result<f64, FleetFileError> {
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(range(field, of, &value, "a number, 0 or more")) }
}

fn range(field: &'static str, of: &str, value: &impl ToString, expected: &'static str) -> FleetFileError {
    FleetFileError::Range { field, of: of.to_owned(), value: value.to_string(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DryFleet, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        fleet(file).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_can_be_used() {
        let fleet = parse(EXAMPLE).expect("fine");
        assert_eq!(fleet.machines(), 3);
        assert_eq!(fleet.machines[2].free, 6 << 30);
        assert_eq!(fleet.machines[0].measured.map(|speed| speed.layer), Some(0.4e-3));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| parse(text).expect_err("a mistake");
        let machine = "[[machine]]\nname = 'a'\n";
        assert!(error(&format!("{machine}memory = 'lots'")).contains("memory of a is lots"));
        assert!(error(&format!("{machine}memory = '1GiB'\nspeed = 3")).contains("speed"));
        assert!(error(&format!("{machine}memory = '1GiB'\nreliability = 0")).contains("above 0"));
        assert!(error(&format!("{machine}memory = '1GiB'\nlayer_ms = 1")).contains("prompt_layer_ms"));
        assert!(error(&format!("{machine}memory = '1GiB'\ndevice = 'gpu'")).contains("device of a"));
        let twice = format!("{machine}memory = '1GiB'\n");
        assert!(error(&format!("{twice}{twice}")).contains("one machine only"));
        assert!(error("[[delay]]\nms = 1").contains("delay"), "an unknown table");
    }
}
