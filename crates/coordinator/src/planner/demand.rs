use super::machine::Machine;
use gogrid_model::{DeviceKind, Manifest, Quant};

/// A model to place, and what its pipeline must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand<'a> {
    pub(crate) manifest: &'a Manifest,
    /// The weight type; `None` is each device's default.
    pub(crate) quant: Option<Quant>,
    /// The fewest stages.
    pub(crate) stages: usize,
    /// Concurrent sessions that must fit, each with KV memory for a whole context.
    pub(crate) concurrency: usize,
    /// Concurrent sessions that KV memory is planned for as far as the machines' memory allows.
    pub(crate) sessions: usize,
    /// Groups whose machines may serve the model; empty means all machines.
    pub(crate) groups: &'a [String],
}

impl Demand<'_> {
    pub(super) fn quant(&self, kind: DeviceKind) -> Quant {
        self.quant.unwrap_or_else(|| self.manifest.default_quant(kind))
    }

    pub(super) fn layers(&self) -> usize {
        self.manifest.config.layers.len()
    }

    pub(super) fn allows(&self, machine: &Machine) -> bool {
        let device = &machine.device;
        self.is_of_groups(machine) && device.loads(self.quant(device.kind())) && device.reads(self.manifest)
    }

    pub(super) fn is_of_groups(&self, machine: &Machine) -> bool {
        self.groups.is_empty() || machine.groups.iter().any(|group| self.groups.contains(group))
    }
}
