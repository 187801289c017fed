use super::{
    Demand, Machine, Placement,
    memory::Sizes,
    seat::{Needs, Role, Seat},
    speed::Speed,
};
use gogrid_model::{DeviceKind, FloatType, Layers};

/// What a stage costs beside delay, computing and the wire: frames, threads that wake up, another batch to wait for.
/// Peers measure 1 to 1.5 ms per stage between desktops; on loopback ours take 0.2 ms.
pub(super) const HOP: f64 = 1.3e-3;

/// Machines and a model, with everything worked out that does not depend on the cut.
pub(super) struct Problem<'a> {
    pub(super) demand: &'a Demand<'a>,
    /// Those that may serve it, those with the most memory first.
    pub(super) machines: Vec<&'a Machine>,
    kinds: Vec<Kind>,
}

/// The model on one kind of device.
struct Kind {
    kind: DeviceKind,
    sizes: Sizes,
    /// What holds for every cut, and what may hold for some.
    careful: Needs,
    hopeful: Needs,
    expected: Speed,
    /// Bytes of one token's activations.
    activation: f64,
}

/// How many layers a machine counts to hold where layers differ in size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// However they are cut.
    Careful,
    /// With the smallest layers: for a bound that no plan is below.
    Hopeful,
}

impl Kind {
    fn new(demand: &Demand<'_>, kind: DeviceKind) -> Self {
        let (config, of) = (&demand.manifest.config, demand.layers());
        let sizes = Sizes::new(demand, kind);
        let bytes = |start, end| sizes.weights(Layers { start, end }) as f64;
        let ends = bytes(0, 0) + bytes(of, of);
        let layer_bytes = ((bytes(0, of) - ends) / of as f64).max(0.0);
        let number = FloatType::of_activations(demand.quant(kind), kind).bytes();
        Self {
            kind,
            careful: Needs::of(&sizes, of, u64::max),
            hopeful: Needs::of(&sizes, of, u64::min),
            expected: Speed::expected(kind, config, layer_bytes, bytes(of, of)),
            activation: (number * config.hidden_size) as f64,
            sizes,
        }
    }
}

impl<'a> Problem<'a> {
    pub(super) fn new(demand: &'a Demand<'a>, machines: &'a [Machine]) -> Self {
        let mut machines: Vec<&Machine> = machines.iter().filter(|machine| demand.allows(machine)).collect();
        machines.sort_by_key(|machine| (std::cmp::Reverse(machine.free), machine.id));
        let mut kinds: Vec<Kind> = Vec::new();
        for machine in &machines {
            let kind = machine.device.kind();
            if !kinds.iter().any(|known| known.kind == kind) {
                let like = machines.iter().filter(|machine| machine.device.kind() == kind);
                let mut new = Kind::new(demand, kind);
                new.expected = new.expected.among(like.filter_map(|machine| machine.measured.as_ref()));
                kinds.push(new);
            }
        }
        Self { demand, machines, kinds }
    }

    pub(super) fn layers(&self) -> usize {
        self.demand.layers()
    }

    /// Whether it makes no difference which layers a stage has, only how many.
    pub(super) fn is_uniform(&self) -> bool {
        self.kinds.iter().all(|kind| kind.careful.equals(&kind.hopeful))
    }

    /// # Panics
    /// When the kind is of no machine.
    fn kind(&self, machine: usize) -> &Kind {
        let wanted = self.machines[machine].device.kind();
        let at = self.kinds.iter().position(|kind| kind.kind == wanted);
        &self.kinds[at.unwrap_or(usize::MAX)]
    }

    /// The least that the machine must lend for the stage.
    pub(super) fn need(&self, machine: usize, layers: Layers) -> u64 {
        self.kind(machine).sizes.need(layers)
    }

    /// The part of the machine's memory that the stage needs.
    pub(super) fn share(&self, machine: usize, layers: Layers) -> f64 {
        self.need(machine, layers) as f64 / self.machines[machine].free.max(1) as f64
    }

    pub(super) fn speed(&self, machine: usize) -> Speed {
        let expected = self.kind(machine).expected;
        self.machines[machine].measured.as_ref().map_or(expected, |measured| expected.measured(measured))
    }

    /// Seconds that a token's activations take for one way through the machine's link.
    pub(super) fn transfer(&self, machine: usize) -> f64 {
        self.kind(machine).activation / self.machines[machine].link.bandwidth
    }

    /// Seconds for taking part, delays aside.
    pub(super) fn fixed(&self, machine: usize, role: Role) -> f64 {
        let head = if role.has_head() { self.speed(machine).head } else { 0.0 };
        HOP + role.transfers() * self.transfer(machine) + head
    }

    /// The machine as the search sees it. A machine that is lost now and then counts as slower by so much: answers on it
    /// are computed again, in part.
    pub(super) fn seat(&self, machine: usize, view: View, delay: f64) -> Seat {
        let (kind, free) = (self.kind(machine), self.machines[machine].free);
        let needs = if view == View::Careful { &kind.careful } else { &kind.hopeful };
        let weight = 1.0 / self.machines[machine].reliability.clamp(0.05, 1.0);
        Seat {
            machine,
            layer: self.speed(machine).layer * weight,
            fixed: Role::ALL.map(|role| self.fixed(machine, role) * weight + 2.0 * delay),
            most: Role::ALL.map(|role| needs.most(role, free)),
        }
    }

    /// All machines, by their places, without any delay.
    pub(super) fn seats_without_delay(&self) -> Vec<Seat> {
        (0..self.machines.len()).map(|machine| self.seat(machine, View::Careful, 0.0)).collect()
    }

    /// All machines that can hold a layer, with what `delay` says of each.
    pub(super) fn seats(&self, view: View, delay: impl Fn(usize) -> f64) -> Vec<Seat> {
        let seats = (0..self.machines.len()).map(|machine| self.seat(machine, view, delay(machine)));
        seats.filter(|seat| seat.most.iter().any(|most| *most > 0)).collect()
    }

    /// Of the machines that may be chosen and have room for a stage, the one that takes least for a token, reliability
    /// counted in.
    pub(super) fn machine_for(&self, layers: Layers, may: impl Fn(usize) -> bool) -> Option<usize> {
        let role = Role::of(layers, self.layers());
        let seconds = |at: usize| {
            let machine = self.machines[at];
            let own = self.fixed(at, role) + self.speed(at).layer * layers.len() as f64;
            (own + 2.0 * machine.link.delay) / machine.reliability.clamp(0.05, 1.0)
        };
        let fits = |at: &usize| may(*at) && self.need(*at, layers) <= self.machines[*at].free;
        (0..self.machines.len()).filter(fits).min_by(|a, b| seconds(*a).total_cmp(&seconds(*b)))
    }

    /// The stage with all the KV memory that is wanted and fits.
    pub(super) fn place(&self, machine: usize, layers: Layers) -> Placement {
        let Machine { id, free, .. } = *self.machines[machine];
        let (memory, kv_tokens) = self.kind(machine).sizes.within(layers, free);
        let role = Role::of(layers, self.layers());
        let seconds_per_token = self.fixed(machine, role) + self.speed(machine).layer * layers.len() as f64;
        Placement { machine: id, layers, kv_budget: memory.kv, kv_tokens, memory, seconds_per_token }
    }
}
