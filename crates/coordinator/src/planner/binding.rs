//! What keeps a plan from being another, in words.

use super::{
    Delays, Machine,
    cut::ranges,
    fill::{self, shared},
    problem::{Problem, View},
    search::Found,
    seat::{Role, Seat},
};
use gogrid_model::Layers;
use std::fmt;

/// Why so many machines, and why no more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Binding {
    stages: usize,
    why: Why,
    more: More,
}

/// Why not fewer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Why {
    /// One holds all.
    One,
    /// Fewer do not hold it. In bytes: what the model needs in one piece, and the most that a machine lends.
    Memory { needed: u64, most: u64 },
    /// The operator asks for so many; fewer would do.
    Asked { fewest: usize },
    /// Fewer would hold it, and take longer.
    Speed { fewest: usize },
}

/// Why no more.
#[derive(Debug, Clone, Copy, PartialEq)]
enum More {
    /// Another machine would make a token slower, by so many seconds.
    Delay(f64),
    /// No other machine holds a layer.
    Machines,
    /// Every layer has a machine of its own.
    Layers,
}

impl Binding {
    pub(super) fn of(problem: &Problem<'_>, delays: &Delays, found: &Found) -> Self {
        let stages = found.order.len();
        Self { stages, why: why(problem, stages), more: more(problem, delays, found) }
    }
}

fn why(problem: &Problem<'_>, stages: usize) -> Why {
    if stages == 1 {
        return Why::One;
    }
    // When a stage costs one and nothing else does, the cheapest plan has the fewest stages.
    let count = |seat: Seat| Seat { layer: 0.0, fixed: [1.0; 4], ..seat };
    let seats: Vec<Seat> = problem.seats(View::Careful, |_| 0.0).into_iter().map(count).collect();
    let fewest = fill::cheapest(&seats, problem.layers(), 1).map_or(stages, |found| found.order.len());
    if fewest >= stages {
        let needed = problem.need(0, Layers::all(problem.layers()));
        return Why::Memory { needed, most: problem.machines[0].free };
    }
    if stages <= problem.demand.stages { Why::Asked { fewest } } else { Why::Speed { fewest } }
}

/// What the best further machine would change, between the stages that are there.
fn more(problem: &Problem<'_>, delays: &Delays, found: &Found) -> More {
    let of = problem.layers();
    if found.order.len() >= of {
        return More::Layers;
    }
    let seats = problem.seats_without_delay();
    let mut has = vec![false; seats.len()];
    found.order.iter().for_each(|at| has[*at] = true);
    let roles = ranges(&found.ends).map(|layers| Role::of(layers, of));
    let stages: Vec<(Seat, Role)> = found.order.iter().map(|at| seats[*at]).zip(roles).collect();
    let machine = |seat: &Seat| problem.machines[seat.machine];
    let way = delays.route(stages.iter().map(|(seat, _)| machine(seat)));
    let with = |new: &Seat| {
        if let [(one, Role::Whole)] = stages[..] {
            // One machine that holds all becomes the first or the last of two.
            let orders = [[(one, Role::First), (*new, Role::Last)], [(*new, Role::First), (one, Role::Last)]];
            let way = delays.route([machine(&one), machine(new)]);
            return orders.iter().filter_map(|order| Some(shared(order, of)? + way)).reduce(f64::min);
        }
        // Among more, the newcomer goes between two of them, where the detour is shortest.
        let detour = |(a, b): (&Machine, &Machine)| {
            delays.between(a, machine(new)) + delays.between(machine(new), b) - delays.between(a, b)
        };
        let pairs = stages.windows(2).map(|pair| (machine(&pair[0].0), machine(&pair[1].0)));
        let all = [&stages[..], &[(*new, Role::Middle)]].concat();
        Some(shared(&all, of)? + way + pairs.map(detour).reduce(f64::min)?)
    };
    let others = seats.iter().filter(|seat| !has[seat.machine]);
    match others.filter_map(with).reduce(f64::min) {
        Some(cost) => More::Delay(cost - found.cost),
        None => More::Machines,
    }
}

/// Bytes for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1 << 20) as f64;
        let mib = self.0 as f64 / MIB;
        if mib < 1024.0 { write!(f, "{mib:.0} MiB") } else { write!(f, "{:.1} GiB", mib / 1024.0) }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.stages;
        match self.why {
            Why::One => write!(f, "one machine holds it all")?,
            Why::Memory { needed, most } => {
                let (needed, most) = (Size(needed), Size(most));
                write!(
                    f,
                    "memory: {stages} machines, because no fewer hold the {needed} that it needs in one piece with a fifth of headroom, and none lends more than {most}"
                )?;
            }
            Why::Asked { fewest } => write!(f, "the operator: {stages} stages are asked for, {fewest} would do")?,
            Why::Speed { fewest } => {
                write!(f, "speed: {fewest} would hold it, but a token takes less on {stages} machines")?;
            }
        }
        match self.more {
            More::Delay(seconds) if seconds >= 0.0 => {
                write!(f, "; delay: one machine more would cost {:.2} ms a token more than it brings", seconds * 1e3)
            }
            // What is given for room, or lost to a search that is not exact.
            More::Delay(seconds) => write!(f, "; one machine more would bring {:.2} ms a token", -seconds * 1e3),
            More::Machines => write!(f, "; no other machine can take a part of it"),
            More::Layers => write!(f, "; every layer has a machine of its own"),
        }
    }
}
