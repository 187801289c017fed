//! Machines that did not do what they were told for a model, and are left out of its plans for a while: the first time
//! shortly, and twice as long each time after that, until they have worked for it.

use gogrid_wire::PeerId;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Times that the quarantine doubles at most: of half a minute, to half an hour.
const DOUBLINGS: u32 = 6;

/// A model's machines in quarantine.
#[derive(Default)]
pub(super) struct Quarantine(BTreeMap<PeerId, Entry>);

struct Entry {
    faults: u32,
    until: Instant,
    why: &'static str,
    over: bool,
}

impl Quarantine {
    /// Takes in a machine's fault. The first costs it `first`.
    pub(super) fn fault(&mut self, peer: PeerId, why: &'static str, first: Duration, now: Instant) {
        let faults = self.0.get(&peer).map_or(0, |entry| entry.faults);
        let until = now + first * 2_u32.pow(faults.min(DOUBLINGS));
        self.0.insert(peer, Entry { faults: faults + 1, until, why, over: false });
    }

    /// The machine works for the model: what it did before is forgotten once its quarantine is over.
    pub(super) fn worked(&mut self, peer: PeerId) {
        if self.0.get(&peer).is_some_and(|entry| entry.over) {
            self.0.remove(&peer);
        }
    }

    pub(super) fn holds(&self, peer: PeerId) -> bool {
        self.0.get(&peer).is_some_and(|entry| !entry.over)
    }

    /// Ends what is over by now; true if something was.
    pub(super) fn release(&mut self, now: Instant) -> bool {
        let mut released = false;
        for entry in self.0.values_mut().filter(|entry| !entry.over && entry.until <= now) {
            entry.over = true;
            released = true;
        }
        released
    }

    /// The machines that it holds, each with its fault.
    pub(super) fn held(&self) -> impl Iterator<Item = (PeerId, &'static str)> + '_ {
        self.0.iter().filter(|(_, entry)| !entry.over).map(|(peer, entry)| (*peer, entry.why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_costs_twice_as_long_until_the_machine_has_worked() {
        let (mut quarantine, peer) = (Quarantine::default(), PeerId([1; 32]));
        let (mut now, first) = (Instant::now(), Duration::from_secs(30));
        for doubled in [1, 2, 4] {
            quarantine.fault(peer, "it was late", first, now);
            quarantine.worked(peer);
            assert!(quarantine.holds(peer), "work elsewhere does not end it");
            assert!(!quarantine.release(now + first * doubled - Duration::from_millis(1)));
            now += first * doubled;
            assert!(quarantine.release(now) && !quarantine.holds(peer));
        }
        quarantine.worked(peer);
        quarantine.fault(peer, "it was late", first, now);
        assert!(quarantine.release(now + first), "it starts from the beginning");
    }

    #[test]
    fn it_has_an_end_however_often_a_machine_fails() {
        let (mut quarantine, peer, now) = (Quarantine::default(), PeerId([1; 32]), Instant::now());
        (0..100).for_each(|_| quarantine.fault(peer, "it was late", Duration::from_secs(30), now));
        assert!(quarantine.release(now + Duration::from_secs(32 * 60)));
    }
}
