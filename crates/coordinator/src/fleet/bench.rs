//! How long the core takes for each kind of event.

use super::{
    Timing,
    driver::{Driver, demo_model},
    event::Event,
};
use crate::registry::Member;
use gogrid_wire::{
    PeerId,
    control::{Lends, StopReason, ToCoordinator},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Memory that a machine lends: a stage of the demo model with the KV memory of 64 sessions, and not much more.
const MEMORY: u64 = 600 << 20;
/// Models, with the fewest stages and the most pipelines of each.
const MODELS: [(&str, usize, usize); 4] = [("a", 3, 64), ("b", 2, 64), ("c", 1, 64), ("d", 4, 32)];
/// How often a machine beats that has sessions.
const BEAT: Duration = Duration::from_millis(250);
/// Events of each kind, at least.
const SAMPLES: usize = 200;

/// What events of one kind took.
pub struct Row {
    /// What happened.
    pub kind: &'static str,
    /// How often.
    pub count: usize,
    /// The median.
    pub p50: Duration,
    /// What 99 of 100 stayed below.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

struct Bench {
    driver: Driver,
    took: BTreeMap<&'static str, Vec<Duration>>,
}

impl Bench {
    fn step(&mut self, kind: &'static str, event: Event) {
        let took = self.driver.step(event);
        self.took.entry(kind).or_default().push(took);
    }

    /// Lets everything follow that an event has caused. What is planned is not the core's time, and has its own row.
    fn settle(&mut self) {
        loop {
            if let Some(event) = self.driver.events.pop_front() {
                self.step("report of a worker (loaded, started, attached)", event);
            } else if let Some(request) = self.driver.plans.pop_front() {
                let (start, job) = (Instant::now(), request.job());
                let outcome = request.run();
                self.took.entry("(a plan, on a thread of its own)").or_default().push(start.elapsed());
                self.step("a plan arrives", Event::Planned { job, outcome });
            } else {
                return;
            }
        }
    }

    fn tick(&mut self, kind: &'static str) {
        self.step(kind, Driver::tick());
        self.settle();
    }

    fn beats(&mut self, peers: &[PeerId]) {
        for peer in peers {
            let beat = self.driver.beat(*peer);
            self.step("a beat", beat);
        }
    }

    /// So much time passes, in which machines beat four times a second.
    fn pass(&mut self, time: Duration, peers: &[PeerId]) {
        let until = self.driver.now + time;
        while self.driver.now < until {
            self.driver.now += BEAT;
            self.beats(peers);
            self.tick("a tick");
        }
    }

    /// Machines fall silent, the others beat, and nobody looks.
    fn silence(&mut self, heard: &[PeerId]) {
        let until = self.driver.now + Timing::default().lost_after;
        while self.driver.now <= until {
            self.driver.now += BEAT;
            self.beats(heard);
        }
    }

    fn connect(&mut self, peer: PeerId) {
        let hello = self.driver.hello(peer, "cpu", MEMORY);
        self.step("a machine connects", hello);
        self.settle();
    }

    fn status(&mut self, peers: &[PeerId]) {
        let member = |id: &PeerId| Member { id: *id, name: id.short() };
        for _ in 0..SAMPLES {
            let members = peers.iter().map(member).collect();
            let start = Instant::now();
            let status = self.driver.core.status(members, &BTreeMap::new());
            self.took.entry("status").or_default().push(start.elapsed());
            drop(status);
        }
    }

    fn lends(&mut self, peer: PeerId, stopped: Option<StopReason>) {
        let lends = Lends { memory: MEMORY, stopped, computes: stopped.is_none() };
        let event = self.driver.message(peer, ToCoordinator::Lends(lends));
        self.step("an owner stops or resumes a machine", event);
        self.settle();
    }

    fn rows(self) -> Vec<Row> {
        let row = |(kind, mut took): (&'static str, Vec<Duration>)| {
            took.sort_unstable();
            let at = |part: f64| took[((took.len() - 1) as f64 * part).round() as usize];
            Row { kind, count: took.len(), p50: at(0.5), p99: at(0.99), max: at(1.0) }
        };
        self.took.into_iter().map(row).collect()
    }
}

/// Runs a fleet of this many machines and four models through connects, beats, losses and plans.
pub fn measure(machines: u16) -> Vec<Row> {
    let models = MODELS.map(|(name, stages, replicas)| demo_model(name, stages, replicas));
    let mut bench = Bench { driver: Driver::new(&models), took: BTreeMap::new() };
    let peers: Vec<PeerId> = (0..machines).map(peer).collect();
    peers.iter().for_each(|peer| bench.connect(*peer));
    let Timing { replan_window, improve_every, .. } = Timing::default();
    // A replica of each model in each window.
    for _ in 0..MODELS.iter().map(|(_, _, replicas)| *replicas).max().unwrap_or(0) {
        bench.driver.now += replan_window;
        bench.beats(&peers);
        bench.tick("a tick");
    }
    bench.pass(Duration::from_secs(5), &peers);
    bench.status(&peers);
    let some = &peers[..peers.len().min(SAMPLES)];
    for peer in some {
        bench.lends(*peer, Some(StopReason::Limited));
        bench.lends(*peer, None);
    }
    for peer in some {
        let gone = bench.driver.gone(*peer);
        bench.step("a machine is lost", gone);
        bench.settle();
        bench.connect(*peer);
    }
    for _ in 0..5 {
        let (silent, heard) = peers.split_at(peers.len() / 10);
        // The coordinator was away for so long, which nobody is blamed for.
        bench.driver.now += improve_every;
        bench.beats(&peers);
        bench.silence(heard);
        bench.tick("a tick that loses a tenth of the machines, with all else due");
        silent.iter().for_each(|peer| bench.connect(*peer));
    }
    bench.rows()
}

/// The key of a machine by its number.
fn peer(number: u16) -> PeerId {
    let mut id = [number.wrapping_mul(31) as u8; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    PeerId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_is_measured() {
        let rows = measure(40);
        let kinds: Vec<&str> = rows.iter().map(|row| row.kind).collect();
        assert_eq!(kinds.len(), 10, "{kinds:?}");
        assert!(rows.iter().all(|row| row.count > 0 && row.p50 <= row.p99 && row.p99 <= row.max));
    }
}
