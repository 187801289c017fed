use super::Measured;
use gogrid_model::DeviceSpec;
use gogrid_wire::PeerId;
use std::collections::HashMap;

/// A machine that stages can go to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Machine {
    pub(crate) id: PeerId,
    pub(crate) device: DeviceSpec,
    /// Lent memory that no other stage has, in bytes. What the device's runtime takes is not in it: a worker does not
    /// lend that.
    pub(crate) free: u64,
    /// What the model takes there at the machine's allowance, where it was measured; else the device's kind tells.
    pub(crate) measured: Option<Measured>,
    pub(crate) link: Link,
    /// The probability that it is still there in a minute, above 0.
    pub(crate) reliability: f64,
    pub(crate) groups: Vec<String>,
}

/// How a machine is connected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Link {
    /// Seconds, one way, to the middle of the network: from one machine to another takes the sum of both.
    pub(crate) delay: f64,
    /// Bytes per second.
    pub(crate) bandwidth: f64,
}

/// Until it is measured: an office's wired network.
impl Default for Link {
    fn default() -> Self {
        // A ping from desk to desk through a switch or two takes some 0.6 ms, which is four times this way.
        const DELAY: f64 = 150e-6;
        // 1 Gb/s.
        const BANDWIDTH: f64 = 125e6;
        Self { delay: DELAY, bandwidth: BANDWIDTH }
    }
}

/// Delays of pairs of machines, where they are known and not the sum of both machines' own: two sites.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Delays(HashMap<(PeerId, PeerId), f64>);

impl Delays {
    /// Seconds, one way, between two machines.
    pub(crate) fn set(&mut self, a: PeerId, b: PeerId, seconds: f64) {
        self.0.insert((a.min(b), a.max(b)), seconds);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn between(&self, a: &Machine, b: &Machine) -> f64 {
        let pair = (a.id.min(b.id), a.id.max(b.id));
        self.0.get(&pair).copied().unwrap_or(a.link.delay + b.link.delay)
    }

    /// The shortest known delay of each machine that has one.
    pub(super) fn shortest(&self) -> HashMap<PeerId, f64> {
        let mut shortest: HashMap<PeerId, f64> = HashMap::new();
        for ((a, b), delay) in &self.0 {
            for id in [a, b] {
                shortest.entry(*id).and_modify(|known| *known = known.min(*delay)).or_insert(*delay);
            }
        }
        shortest
    }

    /// What all hops through these machines take, from the coordinator and back to it. The coordinator is in the middle.
    pub(super) fn route<'m>(&self, machines: impl IntoIterator<Item = &'m Machine>) -> f64 {
        let (mut sum, mut before): (f64, Option<&Machine>) = (0.0, None);
        for machine in machines {
            sum += before.map_or(machine.link.delay, |before| self.between(before, machine));
            before = Some(machine);
        }
        sum + before.map_or(0.0, |last| last.link.delay)
    }
}
