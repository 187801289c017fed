//! Which layers each machine gets, for machines in a given order.
//!
//! Dynamic program over (machines, layers): the cheapest way to put layers `0..end` on the first `m` machines is the
//! cheapest over all `start` of layers `0..start` on the first `m - 1`, plus `start..end` on machine `m`. Exact, also
//! if layers differ in size; O(machines · layers²).

use gogrid_model::Layers;

/// The cheapest partitions of layers `0..end` over the first machines of an order.
pub(super) struct PartitionTable {
    layers: usize,
    /// `costs[machines][end]`; infinite if there is no such partition.
    costs: Vec<Vec<f64>>,
    /// `starts[machine][end]`: where the last stage of the cheapest partition starts.
    starts: Vec<Vec<usize>>,
}

impl PartitionTable {
    /// `cost` is the cost of some layers on the machine at an index of the order; `None` if they do not fit. Every
    /// stage has at least one layer.
    pub(super) fn new(layers: usize, machines: usize, cost: impl Fn(usize, Layers) -> Option<f64>) -> Self {
        let mut no_layers = vec![f64::INFINITY; layers + 1];
        no_layers[0] = 0.0;
        let mut table = Self { layers, costs: vec![no_layers], starts: Vec::new() };
        for machine in 0..machines {
            table.add_machine(|layers| cost(machine, layers));
        }
        table
    }

    fn add_machine(&mut self, cost: impl Fn(Layers) -> Option<f64>) {
        let machine = self.starts.len();
        let before = &self.costs[machine];
        let mut costs = vec![f64::INFINITY; self.layers + 1];
        let mut starts = vec![0; self.layers + 1];
        for end in machine + 1..=self.layers {
            for (start, cost_before) in before[..end].iter().enumerate() {
                if cost_before.is_infinite() {
                    continue;
                }
                let Some(stage) = cost(Layers { start, end }) else { continue };
                if cost_before + stage < costs[end] {
                    (costs[end], starts[end]) = (cost_before + stage, start);
                }
            }
        }
        self.costs.push(costs);
        self.starts.push(starts);
    }

    /// The cheapest partition over exactly the first `machines` machines: its cost, and where each stage ends.
    pub(super) fn cheapest(&self, machines: usize) -> Option<(f64, Vec<usize>)> {
        let cost = self.costs[machines][self.layers];
        let mut ends = vec![self.layers; machines];
        for machine in (1..machines).rev() {
            ends[machine - 1] = self.starts[machine][ends[machine]];
        }
        cost.is_finite().then_some((cost, ends))
    }
}

/// The layers of consecutive stages that end at `ends`.
pub(super) fn layer_ranges(ends: &[usize]) -> impl Iterator<Item = Layers> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| Layers { start, end: *end })
}
