use gogrid_model::{DeviceKind, DeviceSpec, Footprint, FootprintError, Manifest, Needs, Quant};
use gogrid_wire::hello::{Capabilities, feature};

/// What computes on a machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Device {
    pub(crate) spec: DeviceSpec,
    /// What stages take in memory there.
    pub(crate) footprint: Footprint,
    /// Weight types that it loads; `None` where it does not say, which counts as all.
    weight_types: Option<Vec<Quant>>,
    /// Whether its stages keep complete answers.
    pub(crate) supports_prefix_cache: bool,
    /// Whether its stages know constrained answers.
    pub(crate) constrains: bool,
    /// What of models its program reads; `None`: all that there is.
    reads: Option<Needs>,
}

impl Device {
    /// A device of which nothing but its name is known.
    pub(crate) fn expected(spec: DeviceSpec) -> Self {
        Self {
            spec,
            footprint: Footprint::expected(spec.kind()),
            weight_types: None,
            reads: None,
            supports_prefix_cache: false,
            constrains: false,
        }
    }

    /// The device of a worker that says this of itself. A footprint of a form that is not known, as a later program may
    /// have, counts as what is usual for the kind of device. Weight types that are not known are left out.
    ///
    /// # Errors
    /// The footprint has a value out of its range.
    pub(crate) fn of(spec: DeviceSpec, capabilities: &Capabilities) -> Result<Self, FootprintError> {
        let mut device = Self::expected(spec);
        device.supports_prefix_cache = capabilities.has(feature::PREFIX_CACHE);
        device.constrains = capabilities.has(feature::CONSTRAINTS);
        if let Some(said) = &capabilities.footprint {
            match serde_json::from_value::<Footprint>(said.clone()) {
                Ok(footprint) => {
                    footprint.validate(spec.kind())?;
                    device.footprint = footprint;
                }
                Err(error) => tracing::info!(%error, "a worker's memory is counted as usual for its kind of device"),
            }
        }
        if !capabilities.weight_types.is_empty() {
            let known = capabilities.weight_types.iter().filter_map(|name| name.parse().ok());
            device.weight_types = Some(known.collect());
        }
        let reads = match capabilities.models.as_slice() {
            [] => Needs::known_before(),
            names => Needs::from_names(names),
        };
        device.reads = (!reads.cover(&Needs::known())).then_some(reads);
        Ok(device)
    }

    pub(crate) fn kind(&self) -> DeviceKind {
        self.spec.kind()
    }

    /// Whether it loads weights of that type.
    pub(super) fn loads(&self, quant: Quant) -> bool {
        self.weight_types.as_ref().is_none_or(|known| known.contains(&quant))
    }

    /// Whether its program reads a model: its architecture, and its weights as they are stored.
    pub(super) fn reads(&self, manifest: &Manifest) -> bool {
        self.reads.as_ref().is_none_or(|known| known.cover(&Needs::of(manifest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saying(footprint: serde_json::Value) -> Result<Device, FootprintError> {
        let capabilities = Capabilities { footprint: Some(footprint), ..Capabilities::default() };
        Device::of(DeviceSpec::Cpu, &capabilities)
    }

    #[test]
    fn a_footprint_is_taken_over_if_it_is_known_and_in_range() {
        let amx = Footprint::reference(DeviceKind::Cpu, Footprint::x86_copies(true));
        let said = serde_json::to_value(&amx).expect("json");
        assert_eq!(saying(said.clone()).expect("in range").footprint, amx);
        let mut later = said.clone();
        later["pages"] = 16.into();
        let expected = Footprint::expected(DeviceKind::Cpu);
        assert_eq!(saying(later).expect("expected").footprint, expected);
        let mut wrong = said;
        wrong["scores"] = 0.into();
        assert_eq!(saying(wrong), Err(FootprintError::Scores(0)));
    }

    #[test]
    fn programs_read_what_they_name_or_what_there_was_before() {
        let device = |models: Needs| {
            let capabilities = Capabilities { models: models.names(), ..Capabilities::default() };
            Device::of(DeviceSpec::Cpu, &capabilities).expect("no footprint")
        };
        assert_eq!(device(Needs::known()).reads, None);
        assert_eq!(device(Needs::default()).reads, Some(Needs::known_before()));
    }

    #[test]
    fn weight_types_that_are_not_named_are_not_loaded() {
        let device = |weight_types: &[&str]| {
            let weight_types = weight_types.iter().map(|name| (*name).to_owned()).collect();
            let capabilities = Capabilities { weight_types, ..Capabilities::default() };
            Device::of(DeviceSpec::Cpu, &capabilities).expect("no footprint")
        };
        assert!(device(&[]).loads(Quant::Q4K), "an older program names none");
        let some = device(&["q8_0", "q3_of_later"]);
        assert!(some.loads(Quant::Q8_0) && !some.loads(Quant::Q4K));
    }
}
