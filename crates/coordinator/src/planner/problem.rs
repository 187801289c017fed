//! A model and machines, with everything worked out that does not depend on which layers go where.

use super::{
    candidate_cost::{CandidateCost, LayerSizes, Role, RoleMemory},
    demand::Demand,
    machine::Machine,
    memory::Sizes,
    placement::Placement,
    speed::Speed,
};
use gogrid_model::{FloatType, Footprint, Layers};
use gogrid_wire::PeerId;

/// Seconds that a stage adds to a token besides delay, computing and transfer: frames, threads that wake up, a batch to
/// wait for. Between desktops 1 to 1.5 ms were measured per stage; on loopback it is 0.2 ms.
pub(super) const HOP: f64 = 1.3e-3;

pub(super) struct Problem<'a> {
    pub(super) demand: &'a Demand<'a>,
    /// The machines that may serve the model, those with the most memory first. The search knows them by their index.
    pub(super) machines: Vec<&'a Machine>,
    kinds: Vec<Kind>,
    /// By machine, the index of its kind.
    kind_of: Vec<usize>,
}

/// The model on devices that take the same memory.
struct Kind {
    sizes: Sizes,
    /// By [`LayerSizes`]: assuming the largest layers, and the smallest ones.
    largest: RoleMemory,
    smallest: RoleMemory,
    expected: Speed,
    /// Bytes of one token's activations.
    activation: f64,
}

impl Kind {
    fn new(demand: &Demand<'_>, footprint: &Footprint) -> Self {
        let (config, of, kind) = (&demand.manifest.config, demand.layers(), footprint.device);
        let sizes = Sizes::new(demand, footprint);
        let bytes = |start, end| sizes.weights(Layers { start, end }) as f64;
        let ends = bytes(0, 0) + bytes(of, of);
        let layer_bytes = ((bytes(0, of) - ends) / of as f64).max(0.0);
        let number = FloatType::of_activations(demand.quant(kind), kind).bytes();
        Self {
            largest: RoleMemory::new(&sizes, of, LayerSizes::Largest),
            smallest: RoleMemory::new(&sizes, of, LayerSizes::Smallest),
            expected: Speed::expected(kind, config, layer_bytes, bytes(of, of)),
            activation: (number * config.widest_row()) as f64,
            sizes,
        }
    }
}

impl<'a> Problem<'a> {
    pub(super) fn new(demand: &'a Demand<'a>, machines: &'a [Machine]) -> Self {
        let mut machines: Vec<&Machine> = machines.iter().filter(|machine| demand.allows(machine)).collect();
        machines.sort_by_key(|machine| (std::cmp::Reverse(machine.free), machine.id));
        let mut footprints: Vec<&Footprint> = Vec::new();
        let kind_of = machines.iter().map(|machine| {
            let footprint = &machine.device.footprint;
            footprints.iter().position(|known| *known == footprint).unwrap_or_else(|| {
                footprints.push(footprint);
                footprints.len() - 1
            })
        });
        let kind_of = kind_of.collect();
        let kinds = footprints.into_iter().map(|footprint| {
            let of_kind = machines.iter().filter(|machine| machine.device.kind() == footprint.device);
            let mut kind = Kind::new(demand, footprint);
            kind.expected = kind.expected.calibrated(of_kind.filter_map(|machine| machine.measured.as_ref()));
            kind
        });
        Self { demand, kinds: kinds.collect(), kind_of, machines }
    }

    /// The model's number of layers.
    pub(super) fn layers(&self) -> usize {
        self.demand.layers()
    }

    /// The index of a machine.
    pub(super) fn index_of(&self, id: PeerId) -> Option<usize> {
        self.machines.iter().position(|machine| machine.id == id)
    }

    /// Whether a stage's memory depends on its number of layers alone, not on which ones they are.
    pub(super) fn is_uniform(&self) -> bool {
        self.kinds.iter().all(|kind| kind.largest == kind.smallest)
    }

    /// # Panics
    /// If no machine has this index.
    fn kind(&self, machine: usize) -> &Kind {
        &self.kinds[self.kind_of[machine]]
    }

    /// Bytes that the machine must lend for the stage.
    pub(super) fn memory_needed(&self, machine: usize, layers: Layers) -> u64 {
        self.kind(machine).sizes.need(layers)
    }

    pub(super) fn fits(&self, machine: usize, layers: Layers) -> bool {
        self.memory_needed(machine, layers) <= self.machines[machine].free
    }

    /// The part of the machine's memory that the stage needs.
    pub(super) fn memory_share(&self, machine: usize, layers: Layers) -> f64 {
        self.memory_needed(machine, layers) as f64 / self.machines[machine].free.max(1) as f64
    }

    /// The machine's times: measured, or expected of its kind of device.
    pub(super) fn speed(&self, machine: usize) -> Speed {
        let expected = self.kind(machine).expected;
        self.machines[machine].measured.as_ref().map_or(expected, |measured| expected.measured(measured))
    }

    /// Seconds that one token's activations take through the machine's link, one way.
    pub(super) fn transfer_seconds(&self, machine: usize) -> f64 {
        self.kind(machine).activation / self.machines[machine].link.bandwidth
    }

    /// Seconds of one decoded token on a stage, apart from its layers.
    pub(super) fn fixed_seconds(&self, machine: usize, role: Role) -> f64 {
        let delays = 2.0 * self.machines[machine].link.delay;
        let transfers = role.transfers() * self.transfer_seconds(machine);
        let head = if role.has_head() { self.speed(machine).head } else { 0.0 };
        HOP + delays + transfers + head
    }

    /// Seconds of one decoded token on a stage.
    pub(super) fn stage_seconds(&self, machine: usize, layers: Layers) -> f64 {
        let role = Role::of(layers, self.layers());
        self.fixed_seconds(machine, role) + self.speed(machine).layer * layers.len() as f64
    }

    /// [`stage_seconds`](Self::stage_seconds) divided by the machine's reliability: if it is lost, answers on it are
    /// partly computed again.
    pub(super) fn stage_cost(&self, machine: usize, layers: Layers) -> f64 {
        self.stage_seconds(machine, layers) / self.machines[machine].cost_divisor()
    }

    /// The machine as the search sees it.
    pub(super) fn candidate(&self, machine: usize, assume: LayerSizes) -> CandidateCost {
        let (kind, free) = (self.kind(machine), self.machines[machine].free);
        let memory = match assume {
            LayerSizes::Largest => &kind.largest,
            LayerSizes::Smallest => &kind.smallest,
        };
        let divisor = self.machines[machine].cost_divisor();
        CandidateCost {
            machine,
            layer: self.speed(machine).layer / divisor,
            fixed: Role::ALL.map(|role| self.fixed_seconds(machine, role) / divisor),
            max_layers: Role::ALL.map(|role| memory.max_layers(role, free)),
        }
    }

    /// All machines by their index, also those that hold no layer.
    pub(super) fn all_candidates(&self) -> Vec<CandidateCost> {
        (0..self.machines.len()).map(|machine| self.candidate(machine, LayerSizes::Largest)).collect()
    }

    /// The machines that can hold a layer.
    pub(super) fn candidates(&self, assume: LayerSizes) -> Vec<CandidateCost> {
        let all = (0..self.machines.len()).map(|machine| self.candidate(machine, assume));
        all.filter(|candidate| candidate.max_layers.iter().any(|layers| *layers > 0)).collect()
    }

    /// The machine that holds the stage at the least cost, of those that `is_allowed` and have the memory.
    pub(super) fn cheapest_machine(&self, layers: Layers, is_allowed: impl Fn(usize) -> bool) -> Option<usize> {
        let fitting = (0..self.machines.len()).filter(|machine| is_allowed(*machine) && self.fits(*machine, layers));
        fitting.min_by(|a, b| self.stage_cost(*a, layers).total_cmp(&self.stage_cost(*b, layers)))
    }

    /// The stage on a machine, with the KV memory that is wanted as far as it fits.
    pub(super) fn placement(&self, machine: usize, layers: Layers) -> Placement {
        let Machine { id, free, .. } = *self.machines[machine];
        let (memory, kv_tokens) = self.kind(machine).sizes.within(layers, free);
        let seconds_per_token = self.stage_seconds(machine, layers);
        let least = self.kind(machine).sizes.need(layers);
        Placement { machine: id, layers, kv_budget: memory.kv, kv_tokens, memory, least, seconds_per_token }
    }
}
