//! Which layers each machine gets, in a given order. Exact dynamic programming over (machines, layers):
//! O(machines · layers²).

use gogrid_model::Layers;

/// The cheapest cuts of layers `0..end` over the first machines of an order.
pub(super) struct Cuts {
    layers: usize,
    /// By machines and end.
    costs: Vec<Vec<f64>>,
    /// Where the last stage of each starts.
    starts: Vec<Vec<usize>>,
}

impl Cuts {
    /// `cost` of some layers on the machine at a place of the order; `None` where they do not fit. A stage has a layer
    /// at least.
    pub(super) fn new(layers: usize, machines: usize, cost: impl Fn(usize, Layers) -> Option<f64>) -> Self {
        let mut costs = vec![vec![f64::INFINITY; layers + 1]];
        costs[0][0] = 0.0;
        let mut starts = Vec::new();
        for machine in 0..machines {
            let before = &costs[machine];
            let (mut next, mut from) = (vec![f64::INFINITY; layers + 1], vec![0; layers + 1]);
            for end in machine + 1..=layers {
                for (start, so_far) in before[..end].iter().enumerate().filter(|(_, so_far)| so_far.is_finite()) {
                    let Some(cost) = cost(machine, Layers { start, end }) else { continue };
                    if so_far + cost < next[end] {
                        (next[end], from[end]) = (so_far + cost, start);
                    }
                }
            }
            costs.push(next);
            starts.push(from);
        }
        Self { layers, costs, starts }
    }

    /// The cheapest over exactly so many machines: its cost, and where each stage ends.
    pub(super) fn of(&self, machines: usize) -> Option<(f64, Vec<usize>)> {
        let cost = self.costs[machines][self.layers];
        let mut ends = vec![self.layers; machines];
        for machine in (1..machines).rev() {
            ends[machine - 1] = self.starts[machine][ends[machine]];
        }
        cost.is_finite().then_some((cost, ends))
    }
}

/// The layers of stages that end there.
pub(super) fn ranges(ends: &[usize]) -> impl Iterator<Item = Layers> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| Layers { start, end: *end })
}
